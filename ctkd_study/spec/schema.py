"""The JSON Schema of the study file, for editors: what each key means, and what it may be.

Pydantic makes it from the options classes. Where a file may differ from them, the schema is changed here: an arm's
block may leave out any key and hold grids and distributions, and the teacher's recipe may leave out what the study's
recipe states.
"""

from typing import Any, get_args

from ctkd_study.spec.error_messages import VariedKind
from ctkd_study.spec.resolver import ARM_KEYS, SCHEDULER, SEARCH
from ctkd_study.spec.scheduling import SchedulerName, SchedulerOptions
from ctkd_study.spec.search import SearchOptions
from ctkd_study.spec.study_spec import StudySpec
from ctkd_study.spec.values import NAME
from trainables.config import TeacherOptions

Schema = dict[str, Any]

_DIALECT = "https://json-schema.org/draft/2020-12/schema"
_REF = "#/$defs/"
_TAGS = ("name", "kind", "model")
_PRESET = "preset"
_SCALARS = ("string", "number", "integer", "boolean")


def json_schema() -> Schema:
    """Return the JSON Schema of a study file, draft 2020-12."""
    study = StudySpec.model_json_schema()
    definitions: dict[str, Schema] = study["$defs"]
    for definition in definitions.values():
        _require_tags(definition)
    taught = _Partial(definitions, "Taught", varied=False)
    for properties in [definition["properties"] for definition in definitions.values()]:
        if TeacherOptions.model_fields.keys() <= properties.keys():
            properties["recipe"] = taught.of(properties["recipe"])
    block = _Partial(definitions, "InArm", varied=True)
    definitions["Arm"] = {
        "type": "object",
        "description": "What this arm changes of the study; merged key by key, unless it changes `name` or `kind`.",
        "additionalProperties": False,
        "properties": {
            **{key: block.of(study["properties"][key]) for key in ARM_KEYS},
            SEARCH: SearchOptions.model_json_schema(),
            SCHEDULER: {"anyOf": [{"enum": list(get_args(SchedulerName))}, SchedulerOptions.model_json_schema()]},
        },
    }
    study["properties"]["arms"]["additionalProperties"] = {"$ref": f"{_REF}Arm"}
    study["properties"]["arms"]["propertyNames"] = {"pattern": f"^{NAME.pattern}$"}
    recipe = definitions["Recipe"]  # a preset gives the keys that are required otherwise
    recipe["anyOf"] = [{"required": recipe.pop("required")}, {"required": [_PRESET]}]
    return {"$schema": _DIALECT, **study, "title": "A study file of ctkd-study"}


def _require_tags(definition: Schema) -> None:
    """Require the tag of a part (its name, kind or model) in a file; in Python, the class knows it."""
    for tag in _TAGS:
        if tag in definition["properties"]:
            definition["properties"][tag].pop("default", None)
            definition["required"] = list(dict.fromkeys([tag, *definition.get("required", [])]))


class _Partial:
    """Schemas of blocks that are merged over others: nothing is required, and nothing has a default of its own."""

    def __init__(self, definitions: dict[str, Schema], suffix: str, *, varied: bool) -> None:
        self._definitions = definitions
        """Those of the whole schema; the partial ones are added, their names with the suffix."""
        self._suffix, self._varied = suffix, varied

    def of(self, node: Schema) -> Schema:
        """Return the partial schema of a schema; what it refers to is added to the definitions."""
        node = {key: value for key, value in node.items() if key not in ("default", "required")}
        if "$ref" in node:
            return {**node, "$ref": _REF + self._defined(node["$ref"].removeprefix(_REF))}
        if _is_scalar(node):
            about: Schema = {key: node.pop(key) for key in ("title", "description") if key in node}
            return {**about, **self._or_varied(node, node)}
        for union in ("anyOf", "oneOf"):
            if union in node:
                members = [self.of(member) for member in node.pop(union)]
                return {**node, "anyOf": members}  # without its tag, a block may be a part of several
        for items in ("items", "additionalProperties"):
            if isinstance(node.get(items), dict):
                node[items] = self.of(node[items])
        if "prefixItems" in node:
            node["prefixItems"] = [self.of(item) for item in node["prefixItems"]]
        if "properties" in node:
            name: Schema = {"type": "string"}  # in a grid, it may be of any part
            node["properties"] = {
                key: self._or_varied(value, name) if key in _TAGS else value if key == _PRESET else self.of(value)
                for key, value in node["properties"].items()
            }
        return node

    def _defined(self, name: str) -> str:
        partial = name + self._suffix
        if partial not in self._definitions:
            self._definitions[partial] = {}  # a definition may hold itself
            self._definitions[partial] = self.of(self._definitions[name]) | {"title": partial}
        return partial

    def _or_varied(self, node: Schema, items: Schema) -> Schema:
        if not self._varied:
            return node
        kinds = [_varied("grid", items), _varied("choice", items)]
        if _is_number(node):
            ends: Schema = {"type": "number"} if "anyOf" in node else node
            kinds += [_varied("uniform", ends), _varied("loguniform", ends)]
        return {"anyOf": [node, *kinds]}


def _is_scalar(node: Schema) -> bool:
    if "anyOf" in node:
        return all(_is_scalar(member) or member.get("type") == "null" for member in node["anyOf"])
    return node.get("type") in _SCALARS or "const" in node or "enum" in node


def _is_number(node: Schema) -> bool:
    if "anyOf" in node:
        return any(_is_number(member) for member in node["anyOf"])
    return node.get("type") in ("number", "integer")


_MEANINGS = {
    "grid": "One setting for each value; several grids in an arm make a product.",
    "choice": "Searched: one of the values.",
    "uniform": "Searched: a number from the first to the second.",
    "loguniform": "Searched: a number from the first to the second, each factor alike.",
}


def _varied(kind: VariedKind, items: Schema) -> Schema:
    values: Schema = {"type": "array", "items": items, "minItems": 1 if kind == "grid" else 2, "uniqueItems": True}
    if kind in ("uniform", "loguniform"):
        values["maxItems"] = 2
    return {
        "type": "object",
        "description": _MEANINGS[kind],
        "additionalProperties": False,
        "required": [kind],
        "properties": {kind: values},
    }
