"""A study as plain values that know where they were written: in a YAML file, in overrides, or in a Python mapping.

YAML is read event by event: every fault has its line, and nothing is built but text, numbers, lists and mappings.
Scalars follow YAML 1.2's core schema (section 10.3.2): ``5e-4`` is a number, ``no`` is text.
"""

import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from ruamel.yaml import YAML
from ruamel.yaml import events as yaml
from ruamel.yaml.error import MarkedYAMLError, YAMLError

from ctkd_study.errors import Fault, KeyPath, Place, SpecError, dotted
from trainables.options import Options

MAX_BYTES = 1_000_000
MAX_DEPTH = 20

# Control characters, line ends that only some programs know, and half surrogates.
_UNPRINTABLE = re.compile("[^\t\n\r\x20-\x7e\xa0-\u2027\u202a-\ud7ff\ue000-\ufefe\uff00-\ufffd\U00010000-\U0010ffff]")

_WORDS: Mapping[str, bool | None] = dict.fromkeys(("", "~", "null", "Null", "NULL")) | {
    **dict.fromkeys(("true", "True", "TRUE"), True),
    **dict.fromkeys(("false", "False", "FALSE"), False),
}
_INTEGER = re.compile(r"[-+]?[0-9]+|0o[0-7]+|0x[0-9a-fA-F]+")
_FLOAT = re.compile(r"[-+]?(\.[0-9]+|[0-9]+(\.[0-9]*)?)([eE][-+]?[0-9]+)?|[-+]?\.(inf|Inf|INF)|\.(nan|NaN|NAN)")
_LONGEST_INTEGER = 40

_TOO_DEEP = f"a study is at most {MAX_DEPTH} levels deep"
_NO_CONTROL = "text must hold no control characters and no half surrogates"
_TOO_LONG = "whole numbers have at most 63 bits"
_NO_ALIAS = "anchors and aliases are not allowed: write the value again"


class Document:
    """Plain values, where each was written, and what is wrong with the writing itself."""

    def __init__(self) -> None:
        self.data: Any = None
        self.places: dict[KeyPath, Place] = {(): Place()}
        self.faults: list[Fault] = []
        self.broken: set[KeyPath] = set()
        """Paths whose value is unknown because its writing is at fault; no other fault is reported there."""

    def place(self, path: KeyPath) -> Place:
        """Return where the value was written, or, if it was not, the nearest part around it."""
        while path not in self.places:
            path = path[:-1]
        return self.places[path]

    def fault(self, path: KeyPath, value: Any, message: str, place: Place | None = None) -> None:
        """Add a fault of the writing."""
        self.faults.append(Fault(dotted(path), value, message, place or Place()))

    def refuse(self, path: KeyPath, value: Any, message: str, place: Place | None = None) -> None:
        """Add a fault that leaves the value unknown."""
        self.fault(path, value, message, place)
        self.broken.add(path)

    def override(self, text: str) -> None:
        """Apply one ``PATH=VALUE``: a dotted path, and a value in YAML. Its faults are added."""
        place = Place(override=ascii(text) if _UNPRINTABLE.search(text) else text)
        name, separator, value_text = text.partition("=")
        path: KeyPath = tuple(name.strip().split("."))
        if not separator or not all(path):
            return self.fault((), None, "an override must be PATH=VALUE, with a dotted path", place)
        try:
            value = _from_yaml(value_text, None)
        except SpecError as error:
            value = Document()
            value.faults, value.broken = list(error.faults), {()}
        for fault in value.faults:
            key = ".".join(part for part in (dotted(path), fault.key) if part)
            self.faults.append(Fault(key, fault.value, fault.message, place))
        target: dict[str, Any] = self.data
        for depth, part in enumerate(path[:-1], start=1):
            inner = target.setdefault(str(part), {})
            if not isinstance(inner, dict):
                message = f"{dotted(path[:depth])} is no mapping, it has no key {path[depth]!r}"
                return self.fault(path, value.data, message, place)
            self.places.setdefault(path[:depth], place)  # of a block that the override opens
            target = inner
        target[str(path[-1])] = value.data
        below = len(path)
        self.places = {at: where for at, where in self.places.items() if at[:below] != path}
        self.places |= {(*path, *at): place for at in value.places}
        self.broken = {at for at in self.broken if at[:below] != path} | {(*path, *at) for at in value.broken}
        return None


def read(path: str | Path) -> Document:
    """Read a YAML file.

    Raises:
        SpecError: it cannot be read as a mapping at all. Lesser faults are in the document.
    """
    name = str(path)
    try:
        with Path(path).open("rb") as file:
            content = file.read(MAX_BYTES + 1)
    except (OSError, ValueError) as error:
        reason = getattr(error, "strerror", None) or error
        raise _unreadable(f"the study file cannot be read: {reason}", Place(name)) from error
    return parse(content, name)


def parse(content: bytes | str, name: str | None = None) -> Document:
    """Read YAML, given as text or in UTF-8; ``name`` is the file to name in faults.

    Raises:
        SpecError: as for ``read``.
    """
    data = content.encode("utf-8", "surrogatepass") if isinstance(content, str) else content
    if len(data) > MAX_BYTES:
        raise _unreadable(f"a study file has at most {MAX_BYTES:,} bytes, but this one has more", Place(name))
    try:
        text = data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        place = Place(name, data.count(b"\n", 0, error.start) + 1)
        raise _unreadable(f"a study file must be in UTF-8, but got byte {data[error.start]:#04x}", place) from error
    if found := _UNPRINTABLE.search(text):
        place = Place(name, text.count("\n", 0, found.start()) + 1)
        got = f"U+{ord(found.group()):04X}"
        raise _unreadable(f"a study file must hold no control characters, but got {got}", place)
    return _checked(_from_yaml(text, name), "a study file")


def from_plain(data: Mapping[str, Any]) -> Document:
    """Copy Python values; options objects count as the mappings they are.

    Raises:
        SpecError: it is no mapping.
    """
    document = Document()
    document.data = _copied(data, (), document)
    return _checked(document, "a study")


def _unreadable(message: str, place: Place) -> SpecError:
    return SpecError([Fault("", None, message, place)])


def _checked(document: Document, noun: str) -> Document:
    if () not in document.broken and not isinstance(document.data, dict):
        known = {type(None): "nothing", list: "a list", str: "text"}
        got = known.get(type(document.data), type(document.data).__name__)
        message = f"{noun} must be a mapping of keys to values, but got {got}"
        document.refuse((), None, message, document.place(()))
    if () in document.broken:
        raise SpecError(document.faults)
    return document


def _copied(value: Any, path: KeyPath, document: Document) -> Any:
    if isinstance(value, Options):
        value = value.plain()
    if len(path) > MAX_DEPTH:
        return document.refuse(path, None, _TOO_DEEP)
    if isinstance(value, Mapping):
        copied = {}
        for key, item in value.items():
            if isinstance(key, str) and not _UNPRINTABLE.search(key):
                copied[str(key)] = _copied(item, (*path, str(key)), document)
            else:
                rule = "keys must be text without control characters"
                document.refuse(path, None, f"{rule}, but got {ascii(key)[:60]}")
        return copied
    if isinstance(value, list | tuple):
        return [_copied(item, (*path, number), document) for number, item in enumerate(value)]
    if value is None or isinstance(value, bool):
        return value
    if isinstance(value, str):
        return str(value) if not _UNPRINTABLE.search(value) else document.refuse(path, ascii(value), _NO_CONTROL)
    if isinstance(value, float):
        return float(value)
    if isinstance(value, int):
        return int(value) if abs(value) < 2**63 else document.refuse(path, None, _TOO_LONG)
    message = f"must be text, a number, true, false, null, a list or a mapping, but got {type(value).__name__}"
    return document.refuse(path, None, message)


# -- YAML ------------------------------------------------------------------------------------------------------------


def _from_yaml(text: str, name: str | None) -> Document:
    """Read YAML into a document.

    Raises:
        SpecError: the text can't be read to its end.
    """
    reader = _Reader(text, name)
    try:
        return reader.read()
    except MarkedYAMLError as error:
        problem = ", ".join(part for part in (error.context, error.problem) if part)
        if mark := error.problem_mark or error.context_mark:
            reader.line = mark.line + 1
    # The parser's other failures (an escape beyond Unicode, a version it does not know) have neither a mark nor a
    # common type; all are faults of the text.
    except (YAMLError, ValueError, AssertionError, LookupError) as error:
        problem = str(error).partition("\n")[0] or type(error).__name__
    raise _unreadable(f"this is not YAML: {problem}", Place(name, reader.line))


class _Reader:
    """Reads the events of a YAML text into a document."""

    def __init__(self, text: str, name: str | None) -> None:
        self.line = 1
        self._name, self._depth, self._document = name, 0, Document()
        self._events = YAML(typ="safe", pure=True).parse(text)

    def read(self) -> Document:
        """Return the document of the whole text."""
        document = self._document
        document.places[()] = Place(self._name)
        self._next()  # the start of the stream
        if not isinstance(start := self._next(), yaml.DocumentStartEvent):
            return document
        if start.version not in (None, (1, 2)):
            version = ".".join(str(part) for part in start.version)
            document.fault((), None, f"a study file is YAML 1.2, but got {version}", self._place())
        if start.tags:
            message = f"tags are not allowed, but got a %TAG directive for {', '.join(start.tags)}"
            document.fault((), None, message, self._place())
        root = self._next()
        document.data = self._value(root, (), self._place())
        self._next()  # the end of the document
        if isinstance(self._next(), yaml.DocumentStartEvent):
            raise _unreadable("a study file holds one document, but another begins here", self._place())
        return document

    def _next(self) -> Any:
        event = next(self._events)
        self.line = event.start_mark.line + 1
        if isinstance(event, yaml.NodeEvent) and self._depth > MAX_DEPTH:
            raise _unreadable(_TOO_DEEP, self._place())
        self._depth += isinstance(event, yaml.CollectionStartEvent) - isinstance(event, yaml.CollectionEndEvent)
        return event

    def _place(self) -> Place:
        return Place(self._name, self.line)

    def _skip(self, event: Any) -> None:
        """Pass over the rest of a value that begins with this event."""
        outside = self._depth - isinstance(event, yaml.CollectionStartEvent)
        while self._depth > outside:
            self._next()

    def _value(self, event: Any, path: KeyPath, place: Place) -> Any:
        """Return the value that begins with this event, and note its place and faults."""
        document = self._document
        document.places[path] = place
        if isinstance(event, yaml.AliasEvent):
            document.refuse(path, f"*{event.anchor}", _NO_ALIAS, place)
            return ""
        if event.anchor is not None:
            document.fault(path, f"&{event.anchor}", _NO_ALIAS, place)
        if event.ctag is not None:
            document.refuse(path, str(event.ctag), f"tags are not allowed, but got {event.ctag}", place)
        if isinstance(event, yaml.ScalarEvent):
            return self._scalar(event, path, place)
        return self._mapping(path) if isinstance(event, yaml.MappingStartEvent) else self._list(path)

    def _list(self, path: KeyPath) -> list[Any]:
        items: list[Any] = []
        while not isinstance(event := self._next(), yaml.SequenceEndEvent):
            items.append(self._value(event, (*path, len(items)), self._place()))
        return items

    def _mapping(self, path: KeyPath) -> dict[str, Any]:
        items: dict[str, Any] = {}
        fault = self._document.fault
        while not isinstance(event := self._next(), yaml.MappingEndEvent):
            place, key = self._place(), getattr(event, "value", "")
            self._skip(event)
            if not isinstance(event, yaml.ScalarEvent) or event.anchor is not None or event.ctag is not None:
                fault(path, None, "keys must be plain text: no lists, mappings, aliases, anchors or tags", place)
            elif _UNPRINTABLE.search(key):
                fault(path, ascii(key), f"keys must be text without control characters, but got {key!a}", place)
            elif key in items:
                line = self._document.places[(*path, key)].line
                fault((*path, key), None, f"this key is there already, on line {line}", place)
            else:
                items[key] = self._value(self._next(), (*path, key), place)
                continue
            self._skip(self._next())
        return items

    def _scalar(self, event: Any, path: KeyPath, place: Place) -> Any:
        text: str = event.value
        if _UNPRINTABLE.search(text):
            return self._document.refuse(path, ascii(text), _NO_CONTROL, place)
        if event.style is not None or event.ctag is not None:
            return text
        if text in _WORDS:
            return _WORDS[text]
        if _INTEGER.fullmatch(text):
            base = 0 if text[:2] in ("0o", "0x") else 10
            number = int(text, base) if len(text) <= _LONGEST_INTEGER else 2**63
            return number if abs(number) < 2**63 else self._document.refuse(path, text[:60], _TOO_LONG, place)
        if _FLOAT.fullmatch(text):
            return float(text.lower().replace(".inf", "inf").replace(".nan", "nan"))
        return text
