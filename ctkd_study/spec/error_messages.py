"""What is wrong with a value, in words: from pydantic's errors to the rule, then the value.

A ``Problem`` is a fault that knows its key but not yet its line; once the line is looked up, it becomes a ``Fault``,
which users see.
"""

import difflib
import json
import re
from collections.abc import Iterable, Mapping
from types import MappingProxyType
from typing import Any, Literal, NamedTuple, get_args

from pydantic import ValidationError
from pydantic.fields import FieldInfo
from pydantic_core import ErrorDetails

from ctkd_study.errors import KeyPath
from ctkd_study.spec.values import text
from trainables.options import Options
from trainables.registry import OneOf, Registry

VariedKind = Literal["grid", "uniform", "loguniform", "choice"]

#: The keys that make a scalar of an arm vary, and what each is called.
VARIED: Mapping[VariedKind, str] = MappingProxyType(
    {"grid": "a grid", "uniform": "a distribution", "loguniform": "a distribution", "choice": "a distribution"}
)
_SHOWN = 60

#: The rule of each of pydantic's error types; the limits are in the error's context.
_RULES: Mapping[str, str] = {
    "greater_than": "be greater than {gt}",
    "greater_than_equal": "be at least {ge}",
    "less_than": "be less than {lt}",
    "less_than_equal": "be at most {le}",
    "finite_number": "be a finite number",
    "string_pattern_mismatch": "match {pattern}",
    **dict.fromkeys(("string_too_short", "too_short"), "have a length of at least {min_length}"),
    **dict.fromkeys(("string_too_long", "too_long"), "have a length of at most {max_length}"),
    "none_required": "be null",
    **dict.fromkeys(("int_type", "int_from_float", "int_parsing", "int_parsing_size"), "be a whole number"),
    **dict.fromkeys(("float_type", "float_parsing"), "be a number"),
    **dict.fromkeys(("bool_type", "bool_parsing"), "be true or false"),
    "string_type": "be text",
    **dict.fromkeys(("list_type", "tuple_type"), "be a list"),
    **dict.fromkeys(("dict_type", "model_type", "model_attributes_type"), "be a mapping"),
}


class Problem(NamedTuple):
    """A fault before its line is known."""

    path: KeyPath
    value: Any
    message: str
    at: KeyPath | None = None
    """Whose line to name, where it is not that of ``path``."""


def problems_of(error: ValidationError, owner: type[Options], prefix: KeyPath = ()) -> list[Problem]:
    """Return what the validation of an options class found, or that of its field at ``prefix``."""
    found: dict[KeyPath, list[Problem]] = {}
    rules: dict[KeyPath, list[str]] = {}
    for detail in error.errors(include_url=False):
        path, field, keys = _located(owner, (*prefix, *detail["loc"]))
        if (rule := _rule(detail)) is None:
            found.setdefault(path, []).append(_problem(detail, path, field, keys))
        else:
            rules.setdefault(path, []).append(rule)  # the members of a union have one rule each
            must = " or ".join(rules[path]).replace(" or be ", " or ")
            value = detail["input"]
            message = f"must {must}, but got {show(value)}{suggestion(value, _choices(detail))}"
            found[path] = [Problem(path, value, message)]
    return [problem for problems in found.values() for problem in problems]


def unknown_key(path: KeyPath, value: Any, known: Iterable[str]) -> Problem:
    """Return the problem of a key that is not one of the known."""
    known, key = list(known), str(path[-1])
    if (varied := next((kind for kind in VARIED if kind == key), None)) is not None:
        return Problem(path, value, elsewhere(varied))
    return Problem(path, value, f"unknown key{suggestion(key, known) or '.'} Known: {', '.join(known)}")


def elsewhere(kind: VariedKind) -> str:
    """Return the rule where grids and distributions may stand."""
    return f"{VARIED[kind]} may stand only at a scalar of an arm"


def suggestion(text: Any, known: Iterable[str]) -> str:
    """Return ``; did you mean 'x'?``, or nothing."""
    near = difflib.get_close_matches(text, list(known), n=1) if isinstance(text, str) else []
    return f"; did you mean {near[0]!r}?" if near else ""


def show(value: Any) -> str:
    """Return a value as one would write it in a study file, shortened."""
    text = json.dumps(value, ensure_ascii=False, default=str)
    return text if len(text) <= _SHOWN else f"{text[: _SHOWN - 1]}…"


def _located(owner: type[Options], location: KeyPath) -> tuple[KeyPath, FieldInfo | None, list[str]]:
    """Return the key path of pydantic's location, the field at fault, and the keys known beside it.

    The path leaves out the names of union members. The field is None for an unknown key.
    """
    path: list[str | int] = []
    field: FieldInfo | None = None
    keys: list[str] = []
    inner: type[Options] | None = owner
    rest = iter(location)
    for part in rest:
        if inner is None:  # in a plain field: an item of a list, or the name of a union's member
            path += [part] if isinstance(part, int) else []
            continue
        path.append(part)
        keys, field = list(inner.model_fields), inner.model_fields.get(str(part))
        registry = _registry_of(field)
        inner = registry.classes.get(str(next(rest, None))) if registry is not None else _options_of(field)
    return tuple(path), field, keys


def _registry_of(field: FieldInfo | None) -> Registry[Any] | None:
    """Return the registry whose options the field holds, if it does."""
    if field is None:
        return None
    marks = [*field.metadata, *(mark for member in get_args(field.annotation) for mark in get_args(member))]
    return next((mark.registry for mark in marks if isinstance(mark, OneOf)), None)


def _options_of(field: FieldInfo | None) -> type[Options] | None:
    """Return the options class that the field holds, if it does."""
    members = (field.annotation, *get_args(field.annotation)) if field is not None else ()
    return next((member for member in members if isinstance(member, type) and issubclass(member, Options)), None)


def _rule(detail: ErrorDetails) -> str | None:
    """Return what pydantic asks of the value alone, after "must"."""
    if _varied(detail["input"]) is not None:
        return None
    if detail["type"] == "literal_error":
        return f"be one of {', '.join(_choices(detail))}"
    rule = _RULES.get(detail["type"])
    return rule and rule.format(**{key: text(limit) for key, limit in detail.get("ctx", {}).items()})


def _varied(value: Any) -> VariedKind | None:
    """Return the kind of a grid or a distribution; None for another value."""
    return next((kind for kind in VARIED if isinstance(value, dict) and set(value) == {kind}), None)


def _choices(detail: ErrorDetails) -> list[str]:
    return re.findall(r"'([^']*)'", str(detail.get("ctx", {}).get("expected", "")))


def _problem(detail: ErrorDetails, path: KeyPath, field: FieldInfo | None, keys: list[str]) -> Problem:
    kind, value, registry = detail["type"], detail["input"], _registry_of(field)
    if kind == "extra_forbidden":
        return unknown_key(path, value, keys)
    if kind == "missing":
        return Problem(path, None, f"is required{f': {field.description}' if field and field.description else ''}")
    if (varied := _varied(value)) is not None:
        return Problem(path, value, elsewhere(varied))
    if kind.startswith("union_tag") and registry is not None:
        return _tag_problem(path, value, registry)
    rule = detail["msg"].removeprefix("Value error, ").removeprefix("Assertion failed, ")
    # A rule about a mapping as a whole names its keys itself.
    return Problem(path, value, rule if isinstance(value, dict | Options) else f"{rule}, but got {show(value)}")


def _tag_problem(path: KeyPath, value: Any, registry: Registry[Any]) -> Problem:
    tag, known = registry.tag, list(registry)
    choices = f"one of {', '.join(known)}"
    if not isinstance(value, dict):
        return Problem(path, value, f"must be a mapping with {tag!r}, {choices}, but got {show(value)}")
    if tag in value:
        given = value[tag]
        return Problem((*path, tag), given, f"must be {choices}, but got {show(given)}{suggestion(given, known)}")
    if misspelt := difflib.get_close_matches(tag, list(value), n=1):
        return Problem((*path, misspelt[0]), value[misspelt[0]], f"unknown key; did you mean {tag!r}?")
    return Problem((*path, tag), None, f"is required: {choices}")
