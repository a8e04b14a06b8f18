"""A study as plain values that know where they were written: in a YAML file, in overrides, or in a Python mapping.

YAML is composed to a graph of nodes: every fault has its line, and nothing is ever built but text, numbers, lists and
mappings. Scalars follow YAML 1.2's core schema (section 10.3.2): ``5e-4`` is a number, ``no`` is text.
"""

import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from ruamel.yaml import YAML
from ruamel.yaml.composer import Composer, ComposerError, MaxDepthExceededError
from ruamel.yaml.error import MarkedYAMLError, YAMLError
from ruamel.yaml.events import AliasEvent
from ruamel.yaml.nodes import MappingNode, Node, ScalarNode

from ctkd_study.errors import Fault, KeyPath, Place, SpecError, dotted
from trainables.options import Options

MAX_BYTES = 1_000_000
MAX_DEPTH = 20

# Control characters, line ends that only some programs know, and half surrogates.
_UNPRINTABLE = re.compile("[^\t\n\r\x20-\x7e\xa0-\u2027\u202a-\ud7ff\ue000-\ufefe\uff00-\ufffd\U00010000-\U0010ffff]")

# ruamel also takes 1_000, 0b1 and -0x1 for numbers, but not .5e3.
_INTEGER = re.compile(r"[-+]?[0-9]+|0o[0-7]+|0x[0-9a-fA-F]+")
_FLOAT = re.compile(r"[-+]?(\.[0-9]+|[0-9]+(\.[0-9]*)?)([eE][-+]?[0-9]+)?|[-+]?\.(inf|Inf|INF)|\.(nan|NaN|NAN)")
_LONGEST_INTEGER = 40
_TOO_LARGE = 2**63

_TOO_DEEP = f"a study is at most {MAX_DEPTH} levels deep"
_NO_CONTROL = "text must hold no control characters and no half surrogates"
_TOO_LONG = "whole numbers have at most 63 bits"
_NO_ALIAS = "anchors and aliases are not allowed: write the value again"


class Document:
    """Plain values, where each was written, and what is wrong with the writing itself."""

    def __init__(self) -> None:
        self.data: Any = None
        self.places: dict[KeyPath, Place] = {}
        self.faults: list[Fault] = []
        self.broken: set[KeyPath] = set()
        """Paths whose value is unknown because its writing is at fault; no other fault is reported there."""

    def place(self, path: KeyPath) -> Place:
        """Return where the value was written, or, if it was not, the nearest part around it."""
        while path and path not in self.places:
            path = path[:-1]
        return self.places.get(path, Place())

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
        value = _compose(value_text, None)
        for fault in value.faults:
            key = ".".join(part for part in (dotted(path), fault.key) if part)
            self.faults.append(Fault(key, fault.value, fault.message, place))
        target: dict[str, Any] = self.data
        for depth, part in enumerate(path[:-1], start=1):
            inner = target.setdefault(str(part), {})
            if not isinstance(inner, dict):
                message = f"{dotted(path[:depth])} is no mapping, it has no key {path[depth]!r}"
                return self.fault(path, value.data, message, place)
            target = inner
        target[str(path[-1])] = value.data
        below = len(path)
        self.places = {at: where for at, where in self.places.items() if at[:below] != path}
        self.places |= {(*path, *at): place for at in value.places} | {path: place}
        for depth in range(below):  # blocks that the override opened
            self.places.setdefault(path[:depth], place)
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
        reason = error.strerror if isinstance(error, OSError) and error.strerror else str(error)
        raise SpecError([Fault("", None, f"the study file cannot be read: {reason}", Place(name))]) from error
    return parse(content, name)


def parse(content: bytes | str, name: str | None = None) -> Document:
    """Read YAML, given as text or in UTF-8; ``name`` is the file to name in faults.

    Raises:
        SpecError: as for ``read``.
    """
    data = content.encode(errors="surrogatepass") if isinstance(content, str) else content
    if len(data) > MAX_BYTES:
        raise SpecError(
            [Fault("", None, f"a study file has at most {MAX_BYTES:,} bytes, but this one has more", Place(name))]
        )
    try:
        text = data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        place = Place(name, data[: error.start].count(b"\n") + 1)
        message = f"a study file must be in UTF-8, but got byte {data[error.start]:#04x}"
        raise SpecError([Fault("", None, message, place)]) from error
    if found := _UNPRINTABLE.search(text):
        place = Place(name, text[: found.start()].count("\n") + 1)
        message = f"a study file must hold no control characters, but got U+{ord(found.group()):04X}"
        raise SpecError([Fault("", None, message, place)])
    document = _compose(text, name)
    if () not in document.broken and not isinstance(document.data, dict):
        got = "nothing" if document.data is None else _kind(document.data)
        place = Place(name, document.place(()).line)
        document.refuse((), None, f"a study file must be a mapping of keys to values, but got {got}", place)
    if () in document.broken:
        raise SpecError(document.faults)
    return document


def from_plain(data: Mapping[str, Any]) -> Document:
    """Copy Python values; options objects count as the mappings they are.

    Raises:
        SpecError: it is no mapping.
    """
    document = Document()
    document.data = _copied(data, (), document)
    if not isinstance(document.data, dict):
        message = f"a study must be a mapping of keys to values, but got {_kind(data)}"
        raise SpecError(document.faults or [Fault("", None, message)])
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
        return int(value) if abs(value) < _TOO_LARGE else document.refuse(path, None, _TOO_LONG)
    message = f"must be text, a number, true, false, null, a list or a mapping, but got {type(value).__name__}"
    return document.refuse(path, None, message)


# -- YAML ------------------------------------------------------------------------------------------------------------


class _Composer(Composer):
    """Keeps what ruamel's composer resolves: aliases, written tags, and directives."""

    def __init__(self, loader: Any = None) -> None:
        super().__init__(loader)
        self.warn_double_anchors = False  # any anchor is a fault
        self.line = 1
        self.faults: list[tuple[str, int]] = []
        self.refused: dict[Node, tuple[str, str]] = {}
        """By node at fault: what is written there, and the message."""

    def compose_document(self) -> Any:
        start = self.parser.peek_event()
        self.line = start.start_mark.line + 1
        if start.version not in (None, (1, 2)):
            version = ".".join(str(part) for part in start.version)
            self.faults.append((f"a study file is YAML 1.2, but got {version}", self.line))
        if start.tags:
            message = f"tags are not allowed, but got a %TAG directive for {', '.join(start.tags)}"
            self.faults.append((message, self.line))
        return super().compose_document()

    def compose_node(self, parent: Any, index: Any) -> Any:
        event = self.parser.peek_event()
        self.line = event.start_mark.line + 1
        if isinstance(event, AliasEvent):
            self.parser.get_event()
            node = ScalarNode(None, "", event.start_mark)
            self.refused[node] = (f"*{event.anchor}", _NO_ALIAS)
            return node
        node = super().compose_node(parent, index)
        if event.ctag is not None:
            self.refused[node] = (str(event.ctag), f"tags are not allowed, but got {event.ctag}")
        return node


def _compose(text: str, name: str | None) -> Document:
    """Read YAML into a document; one that can't be read is broken at its root."""
    document = Document()
    yaml = YAML(typ="safe", pure=True)
    yaml.Composer = _Composer
    yaml.max_depth = MAX_DEPTH + 1  # the root has no level
    composer: _Composer = yaml.composer
    message, line = "", None
    try:
        root = yaml.compose(text)
    except MaxDepthExceededError as error:
        message, line = _TOO_DEEP, error.problem_mark.line
    except ComposerError as error:
        message, line = "a study file holds one document, but another begins here", error.problem_mark.line
    except MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        line = mark.line if mark is not None else None
        message = f"this is not YAML: {', '.join(part for part in (error.context, error.problem) if part)}"
    # The parser's other failures (an escape beyond Unicode, a version it does not know) have neither a mark nor a
    # common type; all are faults of the text.
    except (YAMLError, ValueError, AssertionError, LookupError) as error:
        message = f"this is not YAML: {str(error).splitlines()[0] if str(error) else type(error).__name__}"
    for rule, at in composer.faults:
        document.fault((), None, rule, Place(name, at))
    if message:
        document.refuse((), None, message, Place(name, line + 1 if line is not None else composer.line))
    elif root is not None:
        document.data = _Nodes(document, name, composer.refused).value(root, ())
    return document


class _Nodes:
    """Reads YAML's nodes as plain values into a document."""

    def __init__(self, document: Document, name: str | None, refused: Mapping[Node, tuple[str, str]]) -> None:
        self._document, self._name, self._refused = document, name, refused

    def value(self, node: Node, path: KeyPath, place: Place | None = None) -> Any:
        """Return the value of a node, and note its place and faults."""
        place = self._document.places[path] = place or self._place(node)
        if node.anchor is not None:
            self._document.fault(path, f"&{node.anchor}", _NO_ALIAS, place)
        if node in self._refused:
            self._document.refuse(path, *self._refused[node], place)
        if isinstance(node, ScalarNode):
            return self._scalar(node, path, place)
        if isinstance(node, MappingNode):
            return dict(self._items(node, path))
        return [self.value(item, (*path, number)) for number, item in enumerate(node.value)]

    def _place(self, node: Node) -> Place:
        return Place(self._name, node.start_mark.line + 1)

    def _items(self, mapping: MappingNode, path: KeyPath) -> Iterator[tuple[str, Any]]:
        first: dict[str, Place] = {}
        for key, value in mapping.value:
            place = self._place(key)
            if not isinstance(key, ScalarNode) or key.anchor is not None or key in self._refused:
                rule = "keys must be plain text: no lists, mappings, aliases, anchors or tags"
                self._document.fault(path, None, rule, place)
            elif _UNPRINTABLE.search(key.value):
                rule = f"keys must be text without control characters, but got {key.value!a}"
                self._document.fault(path, ascii(key.value), rule, place)
            elif first.setdefault(key.value, place) is not place:
                rule = f"this key is there already, on line {first[key.value].line}"
                self._document.fault((*path, key.value), None, rule, place)
            else:
                yield key.value, self.value(value, (*path, key.value), place)

    def _scalar(self, node: ScalarNode, path: KeyPath, place: Place) -> Any:
        text: str = node.value
        if _UNPRINTABLE.search(text):
            return self._document.refuse(path, ascii(text), _NO_CONTROL, place)
        if node.style is not None or node in self._refused:
            return text
        if node.tag in ("tag:yaml.org,2002:null", "tag:yaml.org,2002:bool"):
            return text.lower() == "true" if node.tag.endswith("bool") else None
        if _INTEGER.fullmatch(text):
            base = 0 if text[:2] in ("0o", "0x") else 10
            number = int(text, base) if len(text) <= _LONGEST_INTEGER else _TOO_LARGE
            return number if abs(number) < _TOO_LARGE else self._document.refuse(path, text[:60], _TOO_LONG, place)
        if _FLOAT.fullmatch(text):
            return float(text.lower().replace(".inf", "inf").replace(".nan", "nan"))
        return text


def _kind(value: Any) -> str:
    if isinstance(value, list):
        return "a list"
    return "text" if isinstance(value, str) else type(value).__name__ if value is not None else "null"
