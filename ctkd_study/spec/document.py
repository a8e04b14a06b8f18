"""A study as plain values that know where they were written: in a YAML file, in overrides, or in a Python mapping.

The YAML is read event by event, so that every fault has its line and nothing is ever built but text, numbers, lists and
mappings. Scalars follow YAML 1.2's core schema (section 10.3.2): ``5e-4`` is a number, ``no`` is text.
"""

import re
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from ruamel.yaml import YAML
from ruamel.yaml.error import MarkedYAMLError, YAMLError
from ruamel.yaml.events import (
    AliasEvent,
    DocumentStartEvent,
    Event,
    MappingEndEvent,
    MappingStartEvent,
    ScalarEvent,
    SequenceEndEvent,
    SequenceStartEvent,
    StreamEndEvent,
)
from ruamel.yaml.scanner import Scanner, ScannerError

from ctkd_study.errors import Fault, KeyPath, Place, SpecError, dotted
from trainables.options import Options

MAX_BYTES = 1_000_000
MAX_DEPTH = 20

# Neither control characters nor what only some programs take for the end of a line; nor half surrogates.
_UNPRINTABLE = re.compile("[^\t\n\r\x20-\x7e\xa0-\u2027\u202a-\ud7ff\ue000-\ufefe\uff00-\ufffd\U00010000-\U0010ffff]")

_NULL = re.compile(r"null|Null|NULL|~|")
_TRUE, _FALSE = re.compile(r"true|True|TRUE"), re.compile(r"false|False|FALSE")
_INTEGER = re.compile(r"[-+]?[0-9]+|0o[0-7]+|0x[0-9a-fA-F]+")
_FLOAT = re.compile(r"[-+]?(\.[0-9]+|[0-9]+(\.[0-9]*)?)([eE][-+]?[0-9]+)?")
_INFINITE = re.compile(r"[-+]?\.(inf|Inf|INF)|\.(nan|NaN|NAN)")
_LONGEST_NUMBER = 40


class Document:
    """Plain values, where each was written, and what is wrong with the writing itself."""

    def __init__(
        self, data: dict[str, Any], places: dict[KeyPath, Place], faults: list[Fault], broken: set[KeyPath]
    ) -> None:
        self.data, self.places, self.faults = data, places, faults
        self.broken = broken
        """Paths whose value is not known, because its writing is at fault: nothing more is to be said of them."""

    def place(self, path: KeyPath) -> Place:
        """Where the value was written, or, if it was not, the nearest part around it."""
        while path and path not in self.places:
            path = path[:-1]
        return self.places.get(path, Place())

    def states(self, path: KeyPath) -> bool:
        """Whether the user wrote a value there."""
        value: Any = self.data
        for part in path:
            if isinstance(part, int):
                if not (isinstance(value, list) and part < len(value)):
                    return False
            elif not (isinstance(value, dict) and part in value):
                return False
            value = value[part]
        return True

    def override(self, text: str) -> None:
        """Applies one ``PATH=VALUE``: a dotted path, and a value in YAML. Its faults are added."""
        place = Place(override=ascii(text) if _UNPRINTABLE.search(text) else text)
        name, separator, value_text = text.partition("=")
        path: KeyPath = tuple(name.strip().split("."))
        if not separator or not all(path):
            self.faults.append(Fault("", None, "an override must be PATH=VALUE, with a dotted path", place))
            return
        value = _Reader(value_text, None).read()
        self.faults += [Fault(_join(path, fault.key), fault.value, fault.message, place) for fault in value.faults]
        target: dict[str, Any] = self.data
        for depth, part in enumerate(path[:-1], start=1):
            inner = target.setdefault(str(part), {})
            if not isinstance(inner, dict):
                message = f"{dotted(path[:depth])} is no mapping, it has no key {path[depth]!r}"
                self.faults.append(Fault(dotted(path), value.root, message, place))
                return
            target = inner
        target[str(path[-1])] = value.root
        below = len(path)
        self.places = {at: where for at, where in self.places.items() if at[:below] != path}
        self.places |= {(*path, *at): place for at in value.places} | {path: place}
        # Blocks that the override opened are its own, too.
        for depth in range(1, below):
            self.places.setdefault(path[:depth], place)
        self.broken = {at for at in self.broken if at[:below] != path} | {(*path, *at) for at in value.broken}
        if value.fatal:
            self.broken.add(path)


def read(path: str | Path) -> Document:
    """Reads a YAML file.

    Raises:
        SpecError: it cannot be read as a mapping at all. Lesser faults are in the document.
    """
    name = str(path)
    try:
        with Path(path).open("rb") as file:
            content = file.read(MAX_BYTES + 1)
    except (OSError, ValueError) as error:
        reason = error.strerror if isinstance(error, OSError) and error.strerror else str(error)
        raise SpecError([Fault("", None, f"the study file cannot be read: {reason}", Place(name))]) from error
    return parse(content, name)


def parse(content: bytes | str, name: str | None = None) -> Document:
    """Reads YAML, given as text or in UTF-8; ``name`` is the file to name in faults.

    Raises:
        SpecError: as for ``read``.
    """
    data = content.encode("utf-8", "surrogatepass") if isinstance(content, str) else content
    if len(data) > MAX_BYTES:
        raise SpecError(
            [Fault("", None, f"a study file has at most {MAX_BYTES:,} bytes, but this one has more", Place(name))]
        )
    try:
        text = data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        place = Place(name, data.count(b"\n", 0, error.start) + 1)
        message = f"a study file must be in UTF-8, but got byte {data[error.start]:#04x}"
        raise SpecError([Fault("", None, message, place)]) from error
    if found := _UNPRINTABLE.search(text):
        place = Place(name, text.count("\n", 0, found.start()) + 1)
        message = f"a study file must hold no control characters, but got U+{ord(found.group()):04X}"
        raise SpecError([Fault("", None, message, place)])
    reader = _Reader(text, name).read()
    if not reader.fatal and not isinstance(reader.root, dict):
        got = "nothing" if reader.root is None else _kind(reader.root)
        line = reader.places.get((), Place(name)).line
        reader.faults.append(
            Fault("", None, f"a study file must be a mapping of keys to values, but got {got}", Place(name, line))
        )
        reader.fatal = True
    if reader.fatal:
        raise SpecError(reader.faults)
    return Document(reader.root, reader.places, reader.faults, reader.broken)


def from_plain(data: Mapping[str, Any]) -> Document:
    """The same from Python values, copied; options objects count as the mappings they are.

    Raises:
        SpecError: it is no mapping.
    """
    document = Document({}, {}, [], set())
    plain = _Copier(document).copy(data, ())
    if not isinstance(plain, dict):
        raise SpecError(
            document.faults or [Fault("", None, f"a study must be a mapping of keys to values, but got {_kind(data)}")]
        )
    document.data = plain
    return document


class _Copier:
    def __init__(self, document: Document) -> None:
        self.document = document

    def copy(self, value: Any, path: KeyPath) -> Any:
        if isinstance(value, Options):
            value = value.plain()
        if len(path) > MAX_DEPTH:
            return self._refuse(path, None, _TOO_DEEP)
        if isinstance(value, Mapping):
            return self._mapping(value, path)
        if isinstance(value, list | tuple):
            return [self.copy(item, (*path, number)) for number, item in enumerate(value)]
        if value is None or isinstance(value, bool):
            return value
        if isinstance(value, str):
            return str(value) if not _UNPRINTABLE.search(value) else self._refuse(path, ascii(value), _NO_CONTROL)
        if isinstance(value, float):
            return float(value)
        if isinstance(value, int):
            return int(value) if abs(value) < 2**63 else self._refuse(path, None, _TOO_LONG)
        message = f"must be text, a number, true, false, null, a list or a mapping, but got {type(value).__name__}"
        return self._refuse(path, None, message)

    def _mapping(self, value: Mapping[Any, Any], path: KeyPath) -> dict[str, Any]:
        copied = {}
        for key, item in value.items():
            if isinstance(key, str) and not _UNPRINTABLE.search(key):
                copied[str(key)] = self.copy(item, (*path, str(key)))
            else:
                self._refuse(path, None, f"keys must be text without control characters, but got {ascii(key)[:60]}")
        return copied

    def _refuse(self, path: KeyPath, value: Any, message: str) -> None:
        self.document.faults.append(Fault(dotted(path), value, message))
        self.document.broken.add(path)


class _Scanner(Scanner):
    """Stops at depths where ruamel's look-ahead would take minutes."""

    def fetch_flow_collection_start(self, *arguments: Any, **options: Any) -> None:
        self._stop_at(len(self.flow_context))
        super().fetch_flow_collection_start(*arguments, **options)

    def add_indent(self, column: int) -> bool:
        self._stop_at(len(self.indents))
        return bool(super().add_indent(column))

    def _stop_at(self, depth: int) -> None:
        if depth > MAX_DEPTH:
            raise ScannerError(None, None, _TOO_DEEP, self.reader.get_mark())


class _Fatal(Exception):
    """Nothing after this can be made sense of; the fault is recorded."""


class _Reader:
    """Builds plain values from YAML events."""

    def __init__(self, text: str, name: str | None) -> None:
        self.name = name
        self.root: Any = None
        self.places: dict[KeyPath, Place] = {}
        self.faults: list[Fault] = []
        self.broken: set[KeyPath] = set()
        self.fatal = False
        self._line = 1
        self._events = self._parse(text)

    def read(self) -> "_Reader":
        try:
            next(self._events)  # the start of the stream
            start = next(self._events)
            if isinstance(start, DocumentStartEvent):
                self._refuse_directives(start)
                self.root = self._value(next(self._events), ())
                next(self._events)  # the end of the document
                start = next(self._events)
            if not isinstance(start, StreamEndEvent):
                self._fault((), None, "a study file holds one document, but another begins here")
        except _Fatal:
            self.fatal = True
        return self

    def _parse(self, text: str) -> Iterator[Event]:
        try:
            yaml = YAML(typ="safe", pure=True)
            yaml.Scanner = _Scanner
            for event in yaml.parse(text):
                self._line = event.start_mark.line + 1
                yield event
        except MarkedYAMLError as error:
            mark = error.problem_mark or error.context_mark
            self._line = mark.line + 1 if mark is not None else self._line
            problem = ", ".join(part for part in (error.context, error.problem) if part)
            self._fault((), None, problem if problem == _TOO_DEEP else f"this is not YAML: {problem}")
            raise _Fatal from error
        # The parser's other failures (an escape beyond Unicode, a version it does not know) have neither a mark nor a
        # common type; whatever it trips over is the text's fault, and no reason for a traceback.
        except (YAMLError, ValueError, AssertionError, LookupError) as error:
            self._fault(
                (), None, f"this is not YAML: {str(error).splitlines()[0] if str(error) else type(error).__name__}"
            )
            raise _Fatal from error

    def _value(self, event: Event, path: KeyPath, place: Place | None = None) -> Any:
        place = place or Place(self.name, event.start_mark.line + 1)
        self.places[path] = place
        if isinstance(event, AliasEvent):
            return self._break(
                path, f"*{event.anchor}", "anchors and aliases are not allowed: write the value again", place
            )
        if not isinstance(event, ScalarEvent | MappingStartEvent | SequenceStartEvent):
            raise TypeError(f"a value begins with a scalar, a list or a mapping, but got {event}")
        if event.anchor is not None:
            self._fault(path, f"&{event.anchor}", "anchors and aliases are not allowed: write the value again", place)
        if event.tag is not None:
            self._break(path, str(event.tag), f"tags are not allowed, but got {event.tag}", place)
        if isinstance(event, ScalarEvent):
            return self._scalar(event, path, place)
        if len(path) >= MAX_DEPTH:
            self._fault((), None, _TOO_DEEP, place)
            raise _Fatal
        return self._mapping(path) if isinstance(event, MappingStartEvent) else self._sequence(path)

    def _sequence(self, path: KeyPath) -> list[Any]:
        items: list[Any] = []
        while not isinstance(item := next(self._events), SequenceEndEvent):
            items.append(self._value(item, (*path, len(items))))
        return items

    def _mapping(self, path: KeyPath) -> dict[str, Any]:
        mapping: dict[str, Any] = {}
        while not isinstance(event := next(self._events), MappingEndEvent):
            place = Place(self.name, event.start_mark.line + 1)
            key = self._key(event, path, place)
            value = next(self._events)
            if key is None:
                self._discard(value)
            elif key in mapping:
                first = self.places[(*path, key)].line
                self._fault((*path, key), None, f"this key is there already, on line {first}", place)
                self._discard(value)
            else:
                mapping[key] = self._value(value, (*path, key), place)
        return mapping

    def _key(self, event: Event, path: KeyPath, place: Place) -> str | None:
        if not isinstance(event, ScalarEvent) or event.anchor is not None or event.tag is not None:
            self._fault(path, None, "keys must be plain text: no lists, mappings, aliases, anchors or tags", place)
            self._discard(event)
            return None
        if _UNPRINTABLE.search(event.value):
            self._fault(
                path,
                ascii(event.value),
                f"keys must be text without control characters, but got {event.value!a}",
                place,
            )
            return None
        return str(event.value)

    def _discard(self, event: Event) -> None:
        """Passes over a value; only its syntax is looked at."""
        depth = 0
        while True:
            depth += isinstance(event, MappingStartEvent | SequenceStartEvent)
            depth -= isinstance(event, MappingEndEvent | SequenceEndEvent)
            if depth == 0:
                return
            event = next(self._events)

    def _scalar(self, event: ScalarEvent, path: KeyPath, place: Place) -> Any:
        text: str = event.value
        if _UNPRINTABLE.search(text):
            return self._break(path, ascii(text), _NO_CONTROL, place)
        if event.style is not None or event.tag is not None:
            return text
        for pattern, value in ((_NULL, None), (_TRUE, True), (_FALSE, False)):
            if pattern.fullmatch(text):
                return value
        integer = _INTEGER.fullmatch(text)
        if not integer and not _FLOAT.fullmatch(text) and not _INFINITE.fullmatch(text):
            return text
        if not integer:
            return float(text.lower().replace(".inf", "inf").replace(".nan", "nan"))
        number = int(text, 0 if text[:2] in ("0o", "0x") else 10) if len(text) <= _LONGEST_NUMBER else 2**63
        return number if abs(number) < 2**63 else self._break(path, text[:60], _TOO_LONG, place)

    def _refuse_directives(self, start: DocumentStartEvent) -> None:
        if start.version not in (None, (1, 2)):
            self._fault((), None, f"a study file is YAML 1.2, but got {'.'.join(str(part) for part in start.version)}")
        if start.tags:
            self._fault((), None, f"tags are not allowed, but got a %TAG directive for {', '.join(start.tags)}")

    def _break(self, path: KeyPath, value: Any, message: str, place: Place) -> None:
        self._fault(path, value, message, place)
        self.broken.add(path)

    def _fault(self, path: KeyPath, value: Any, message: str, place: Place | None = None) -> None:
        self.faults.append(Fault(dotted(path), value, message, place or Place(self.name, self._line)))


_TOO_DEEP = f"a study is at most {MAX_DEPTH} levels deep"
_NO_CONTROL = "text must hold no control characters and no half surrogates"
_TOO_LONG = "whole numbers have at most 63 bits"


def _kind(value: Any) -> str:
    if isinstance(value, list):
        return "a list"
    return "text" if isinstance(value, str) else type(value).__name__ if value is not None else "null"


def _join(path: Sequence[str | int], key: str) -> str:
    return ".".join(part for part in (dotted(tuple(path)), key) if part)
