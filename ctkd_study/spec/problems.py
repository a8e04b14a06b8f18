"""What is wrong with a value, in words: from pydantic's errors to the rule, then the value."""

import difflib
import json
import types
from collections.abc import Iterable
from typing import Annotated, Any, Literal, NamedTuple, Union, get_args, get_origin

from pydantic import ValidationError
from pydantic.fields import FieldInfo

from ctkd_study.errors import KeyPath
from trainables.options import Options
from trainables.registry import OneOf, Registry

GRID_ELSEWHERE = "a grid may stand only at a scalar of an arm"
_SHOWN = 60


class Problem(NamedTuple):
    """A fault that does not know yet where it was written."""

    path: KeyPath
    value: Any
    message: str
    at: KeyPath | None = None
    """Whose line to name, where it is not that of ``path``."""


def problems_of(error: ValidationError, owner: type[Options], prefix: KeyPath = ()) -> list[Problem]:
    """What a validation found.

    Args:
        error: of ``owner``, or of its field that ``prefix`` names.
        owner: the options class that was validated.
        prefix: put before every location.
    """
    found = []
    for detail in error.errors(include_url=False):
        where = _Location.of(owner, (*prefix, *detail["loc"]))
        found += _problems(detail["type"], detail["msg"], detail["input"], where)
    return found


def unknown_key(path: KeyPath, value: Any, known: Iterable[str]) -> Problem:
    """A key that is not one of the known."""
    known = list(known)
    key = str(path[-1])
    if key == "grid":
        return Problem(path, value, GRID_ELSEWHERE)
    return Problem(path, value, f"unknown key{suggestion(key, known) or '.'} Known: {', '.join(known)}")


def suggestion(text: str, known: Iterable[str]) -> str:
    """``; did you mean 'x'?``, or nothing."""
    near = difflib.get_close_matches(text, list(known), n=1)
    return f"; did you mean {near[0]!r}?" if near else ""


def show(value: Any) -> str:
    """A value as one would write it in a study file, shortened."""
    text = json.dumps(value, ensure_ascii=False, default=str)
    return text if len(text) <= _SHOWN else f"{text[: _SHOWN - 1]}…"


class _Location(NamedTuple):
    """Where pydantic found something, in the user's terms: without the tags of its unions."""

    path: KeyPath
    field: FieldInfo | None
    """The field at fault; None for an unknown key and for an object as a whole."""
    owner: type[Options] | None
    """The options class that has, or lacks, the last key."""

    @classmethod
    def of(cls, owner: type[Options], location: tuple[str | int, ...]) -> "_Location":
        path: list[str | int] = []
        field: FieldInfo | None = None
        at: type[Options] | None = None
        inner: type[Options] | None = owner
        rest = list(location)
        while rest:
            part = rest.pop(0)
            if inner is None:
                # Below a plain field: items of a list count, names of a union's members do not.
                path += [part] if isinstance(part, int) else []
                continue
            path.append(part)
            at, field = inner, inner.model_fields.get(str(part))
            registry = registry_of(field)
            if registry is None:
                inner = _options_class(field.annotation) if field is not None else None
            else:
                inner = registry.classes.get(str(rest.pop(0))) if rest else None
        return cls(tuple(path), field, at)


def registry_of(field: FieldInfo | None) -> Registry[Any] | None:
    """The registry that a field's value is one of, if it is."""
    if field is None:
        return None
    for part in (*field.metadata, *_nested(field.annotation)):
        if isinstance(part, OneOf):
            return part.registry
    return None


def _nested(annotation: Any) -> list[Any]:
    if get_origin(annotation) is Annotated:
        return [*annotation.__metadata__, *_nested(annotation.__origin__)]
    if get_origin(annotation) in (Union, types.UnionType):
        return [part for member in get_args(annotation) for part in _nested(member)]
    return []


def _options_class(annotation: Any) -> type[Options] | None:
    for member in (annotation, *get_args(annotation)):
        if isinstance(member, type) and issubclass(member, Options):
            return member
    return None


def _problems(kind: str, message: str, value: Any, where: _Location) -> list[Problem]:
    path, field, owner = where
    registry = registry_of(field)
    if kind == "extra_forbidden":
        return [unknown_key(path, value, owner.model_fields if owner is not None else ())]
    if kind == "missing":
        allowed = [expected(field), field.description] if field is not None else []
        return [Problem(path, None, f"is required: {'. '.join(text for text in allowed if text)}")]
    if isinstance(value, dict) and set(value) == {"grid"}:
        return [Problem(path, value, GRID_ELSEWHERE)]
    if kind.startswith("union_tag") and registry is not None:
        return _tag_problems(path, value, registry)
    if kind in _BY_RULE and field is not None:
        rule = f"must be {_expected_item(field, path)}, but got {show(value)}{_near(field, value)}"
    else:
        rule = message.removeprefix("Value error, ").removeprefix("Assertion failed, ")
        # A rule about a mapping as a whole says itself what it is about.
        rule = rule if isinstance(value, dict | Options) else f"{rule}, but got {show(value)}"
    return [Problem(path, value, rule)]


def _tag_problems(path: KeyPath, value: Any, registry: Registry[Any]) -> list[Problem]:
    tag, known = registry.tag, list(registry)
    choices = f"one of {', '.join(known)}"
    if not isinstance(value, dict):
        return [Problem(path, value, f"must be a mapping with {tag!r}, {choices}, but got {show(value)}")]
    if tag in value:
        given = value[tag]
        near = suggestion(given, known) if isinstance(given, str) else ""
        return [Problem((*path, tag), given, f"must be {choices}, but got {show(given)}{near}")]
    misspelt = difflib.get_close_matches(tag, [key for key in value if isinstance(key, str)], n=1)
    if misspelt:
        return [Problem((*path, misspelt[0]), value[misspelt[0]], f"unknown key; did you mean {tag!r}?")]
    return [Problem((*path, tag), None, f"is required: {choices}")]


def _near(field: FieldInfo | None, value: Any) -> str:
    if field is None or not isinstance(value, str):
        return ""
    literals = [part for part in (field.annotation, *get_args(field.annotation)) if _is_literal(part)]
    return suggestion(value, [str(choice) for literal in literals for choice in get_args(literal)])


def _is_literal(annotation: Any) -> bool:
    return get_origin(annotation) is Literal


#: Pydantic's errors that say no more than the field's declaration does.
_BY_RULE = frozenset(
    """
    greater_than greater_than_equal less_than less_than_equal finite_number literal_error none_required
    int_type int_from_float int_parsing int_parsing_size float_type float_parsing bool_type bool_parsing
    string_type string_too_short string_too_long string_pattern_mismatch
    list_type tuple_type too_short too_long dict_type model_type model_attributes_type
    """.split()  # noqa: SIM905 - one per line would fill a page
)


def expected(field: FieldInfo) -> str:
    """What a field takes: ``a number greater than 0 and at most 1000, or null``."""
    return _describe(field.annotation, list(field.metadata))


def _expected_item(field: FieldInfo, path: KeyPath) -> str:
    """The same of the list's item that the path ends in, if it does."""
    annotation, metadata = field.annotation, list(field.metadata)
    start = max(number for number, part in enumerate(path) if isinstance(part, str))
    for index in path[start + 1 :]:
        item = _item(annotation, index)
        if item is None:
            break
        annotation, metadata = item, []
    return _describe(annotation, metadata)


def _item(annotation: Any, index: str | int) -> Any:
    """What a list's item is, or None for what is no list, or longer than it may be."""
    if get_origin(annotation) is Annotated:
        return _item(annotation.__origin__, index)
    if get_origin(annotation) in (Union, types.UnionType):
        return next((item for member in get_args(annotation) if (item := _item(member, index)) is not None), None)
    if get_origin(annotation) not in (tuple, list):
        return None
    items = _items(annotation)
    return items[0] if _is_open(annotation) else dict(enumerate(items)).get(int(index))


def _items(annotation: Any) -> list[Any]:
    return [member for member in get_args(annotation) if member is not Ellipsis]


def _is_open(annotation: Any) -> bool:
    return get_origin(annotation) is list or Ellipsis in get_args(annotation)


_NAMES = types.MappingProxyType(
    {float: "a number", int: "a whole number", bool: "true or false", str: "text", type(None): "null"}
)


def _describe(annotation: Any, metadata: list[Any]) -> str:
    if get_origin(annotation) is Annotated:
        return _describe(annotation.__origin__, [*metadata, *annotation.__metadata__])
    if get_origin(annotation) in (Union, types.UnionType):
        members = sorted(get_args(annotation), key=lambda member: member is type(None))
        return ", or ".join(_describe(member, metadata if member is not type(None) else []) for member in members)
    if _is_literal(annotation):
        return f"one of {', '.join(str(choice) for choice in get_args(annotation))}"
    limits = _limits(metadata)
    if any(isinstance(part, OneOf) for part in metadata) or _options_class(annotation) is not None:
        return "a mapping"
    if get_origin(annotation) is dict:
        return "a mapping" + _joined(limits)
    if get_origin(annotation) in (tuple, list):
        words = [_describe(item, []) for item in _items(annotation)]
        if _is_open(annotation):
            return f"a list{_joined(limits)}, each item {words[0]}"
        return f"a list of {len(words)}, each {words[0]}" if len(set(words)) == 1 else f"a list of [{', '.join(words)}]"
    return _NAMES.get(annotation, f"a {getattr(annotation, '__name__', annotation)}") + _joined(limits)


def _joined(limits: list[str]) -> str:
    return f" {' and '.join(limits)}" if limits else ""


def _limits(metadata: list[Any]) -> list[str]:
    """The constraints in words, in the order that reads best."""
    flat = [part for given in metadata for part in (given.metadata if isinstance(given, FieldInfo) else [given])]
    bounds = {
        name: show(getattr(part, name)) for part in flat for name in _BOUNDS if getattr(part, name, None) is not None
    }
    if "ge" in bounds and "le" in bounds:
        bounds["from"] = f"{bounds.pop('ge')} to {bounds.pop('le')}"
    if bounds.get("min_length") == "1" and "max_length" not in bounds:
        return ["that is not empty"]
    return [words.format(bounds[name]) for name, words in _BOUNDS.items() if name in bounds]


_BOUNDS = types.MappingProxyType(
    {
        "from": "from {}",
        "gt": "greater than {}",
        "ge": "of at least {}",
        "lt": "less than {}",
        "le": "of at most {}",
        "min_length": "at least {} long",
        "max_length": "at most {} long",
        "pattern": "that matches {}",
    }
)
