"""The JSON Schema of the study file: what it takes, what it refuses, and what it explains."""

import copy
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import jsonschema
import pytest

from ctkd_study.spec import StudySpec, document
from ctkd_study.spec.schema import json_schema
from trainables.config import TEACHERS
from trainables.curriculum import CURRICULA
from trainables.data import DATASETS
from trainables.distillers import DISTILLERS
from trainables.models import MODELS
from trainables.recipe import SCHEDULES
from trainables.temperatures import TEMPERATURES

STUDIES = sorted((Path(__file__).parents[3] / "studies").rglob("*.yaml"))
REGISTRIES = (DATASETS, MODELS, TEACHERS, DISTILLERS, TEMPERATURES, CURRICULA, SCHEDULES)

SEARCH = {"by": "tpe", "settings": 3}


@pytest.fixture
def validator() -> jsonschema.Draft202012Validator:
    """Of the schema, made anew for each test: docs/mutants.md says why."""
    return jsonschema.Draft202012Validator(json_schema())


def quickstart() -> dict[str, Any]:
    """The shipped example, to be changed."""
    (path,) = (path for path in STUDIES if path.name == "quickstart.yaml")
    return copy.deepcopy(document.read(path).data)


def test_it_is_a_schema_and_says_which() -> None:
    full = json_schema()
    jsonschema.Draft202012Validator.check_schema(full)
    assert (full["$schema"], full["title"]) == (
        "https://json-schema.org/draft/2020-12/schema",
        "A study file of ctkd-study",
    )


@pytest.mark.parametrize("path", STUDIES, ids=lambda path: path.stem)
def test_every_shipped_study_validates(path: Path, validator: jsonschema.Draft202012Validator) -> None:
    assert list(validator.iter_errors(document.read(path).data)) == []


def set_in(data: dict[str, Any], path: str, value: Any) -> dict[str, Any]:
    """The data with a value put in at a dotted path."""
    inner = data
    *before, last = path.split(".")
    for key in before:
        inner = inner.setdefault(key, {})
    inner[last] = value
    return data


@pytest.mark.parametrize(
    ("path", "value"),
    [
        ("seeds", [3, 5]),
        ("teacher", {"model": "resnet8", "checkpoint": "t.pth"}),
        ("teacher.recipe", {"schedule": {"kind": "step", "milestones": [3]}}),
        ("temperature", {"kind": "global"}),
        ("arms.new", {}),
        ("arms.new", {"recipe": {"lr": {"grid": [0.1, 0.2]}}, "student": {"model": "resnet20"}}),
        ("arms.new", {"curriculum": {"end": {"grid": [0.5, 1]}}}),
        ("arms.new", {"temperature": {"kind": "fixed", "value": 4}, "scheduler": "asha"}),
        ("arms.new", {"temperature": {"kind": "fixed", "value": 4}, "scheduler": {"by": "median", "grace": 2}}),
        ("arms.new", {"temperature": {"kind": "fixed", "value": {"loguniform": [1, 16]}}, "search": SEARCH}),
        ("arms.new", {"temperature": {"kind": {"choice": ["global", "instance"]}}, "search": SEARCH}),
        ("arms.new", {"temperature": {"kind": {"grid": ["global", "instance"]}}}),
        ("arms.new", {"temperature": {"kind": "instance", "hidden": {"grid": [None, 4]}}}),
        ("arms.new", {"student": {"widths": [4, {"grid": [4, 8]}, 8, 8]}}),
        ("arms.new", {"temperature": None}),
        ("arms.new", {"recipe": {"schedule": {"milestones": [{"grid": [1, 2]}, 3]}}}),
    ],
)
def test_right_files_validate(path: str, value: Any, validator: jsonschema.Draft202012Validator) -> None:
    assert list(validator.iter_errors(set_in(quickstart(), path, value))) == []


@pytest.mark.parametrize(
    ("path", "value"),
    [
        ("name", "Quick Start"),
        ("margin", 0),
        ("margins", 1),
        ("seeds", [1, 1]),
        ("seeds", 0),
        ("data", {"name": "digits"}),
        ("data", {"validation": 3}),
        ("data", {"name": "unheard-of", "validation": 3}),
        ("recipe.lr", {"grid": [0.1, 0.2]}),
        ("recipe.schedule", {"kind": "step"}),
        ("teacher.recipe", {"epoch": 3}),
        ("teacher.recipe", {"epochs": {"grid": [3]}}),
        ("arms", {}),
        ("arms.new", {"data": {"validation": 3}}),
        ("arms.New", {}),
        ("arms.new", {"temperature": {"kind": "unheard-of"}}),
        ("arms.new", {"temperature": {"kind": "fixed", "value": -1}}),
        ("arms.new", {"temperature": {"kind": "fixed", "value": {"grid": [1, -1]}}}),
        ("arms.new", {"temperature": {"kind": "fixed", "value": {"grid": []}}}),
        ("arms.new", {"temperature": {"kind": "fixed", "value": {"grid": [1, 1]}}}),
        ("arms.new", {"temperature": {"kind": "fixed", "value": {"uniform": [8]}}, "search": SEARCH}),
        ("arms.new", {"temperature": {"kind": "fixed", "value": {"uniform": [-1, 8]}}, "search": SEARCH}),
        ("arms.new", {"temperature": {"kind": {"uniform": [1, 8]}}, "search": SEARCH}),
        ("arms.new", {"temperature": {"kind": "fixed", "value": {"uniform": [1, 8]}}, "search": {"by": "best"}}),
        ("arms.new", {"temperature": {"grid": [1]}}),
        ("arms.new", {"temperature": {"kind": {"grid": [1]}}}),
        ("arms.new", {"temperature": {"kind": "fixed", "value": 4}, "scheduler": "best"}),
        ("arms.new", 4),
    ],
)
def test_wrong_files_do_not(path: str, value: Any, validator: jsonschema.Draft202012Validator) -> None:
    assert list(validator.iter_errors(set_in(quickstart(), path, value))) != []


def test_required_keys_are_required(validator: jsonschema.Draft202012Validator) -> None:
    for key in [name for name, field in StudySpec.model_fields.items() if field.is_required()]:
        data = quickstart()
        del data[key]
        assert [error.validator for error in validator.iter_errors(data)] == ["required"]


def nodes(node: Any, wanted: Callable[[dict[str, Any]], bool]) -> Iterator[dict[str, Any]]:
    """Every part of a schema that is wanted."""
    if isinstance(node, dict):
        if wanted(node):
            yield node
        for inner in node.values():
            yield from nodes(inner, wanted)
    elif isinstance(node, list):
        for inner in node:
            yield from nodes(inner, wanted)


@pytest.mark.parametrize("registry", REGISTRIES, ids=lambda registry: f"{registry.base.__name__}")
def test_every_registered_part_is_in_it_with_what_it_means(registry: Any) -> None:
    definitions = json_schema()["$defs"]
    assert len(registry.classes) > 0
    for options in registry.classes.values():
        definition = definitions[options.__name__]
        assert definition["description"]
        assert registry.tag in definition["required"]
        assert "default" not in definition["properties"][registry.tag], "a file has to say it"
        for key, value in definition["properties"].items():
            assert key == registry.tag or value.get("description"), f"{options.__name__}.{key}"


def test_keys_of_a_study_are_explained() -> None:
    full = json_schema()
    for key, value in full["properties"].items():
        referred = full["$defs"].get(str(value.get("$ref")).rpartition("/")[2], {})
        assert value.get("description") or referred.get("description"), key


def test_an_option_of_an_arm_is_a_value_a_grid_or_a_distribution() -> None:
    definitions = json_schema()["$defs"]
    assert "merged key by key" in definitions["Arm"]["description"]
    written = definitions["FixedOptions"]["properties"]["value"]
    limits = {key: value for key, value in written.items() if key not in ("title", "description")}
    found = definitions["FixedOptionsInArm"]["properties"]["value"]
    assert (found["title"], found["description"]) == (written["title"], written["description"])
    assert found["anyOf"][0] == limits
    assert found["anyOf"][1] == {
        "type": "object",
        "description": "One setting for each value; several grids in an arm make a product.",
        "additionalProperties": False,
        "required": ["grid"],
        "properties": {"grid": {"type": "array", "items": limits, "minItems": 1, "uniqueItems": True}},
    }
    assert [each["required"] for each in found["anyOf"][2:]] == [["choice"], ["uniform"], ["loguniform"]]
    assert found["anyOf"][3]["properties"]["uniform"] == {
        "type": "array",
        "items": limits,
        "minItems": 2,
        "maxItems": 2,
        "uniqueItems": True,
    }


def test_what_is_left_out_of_a_merged_block_has_no_default() -> None:
    definitions = json_schema()["$defs"]
    for name in ("GlobalOptionsInArm", "StepScheduleTaught"):
        assert [key for key, value in definitions[name]["properties"].items() if "default" in value] == []
        assert definitions[name]["title"] == name


def test_references_lead_somewhere() -> None:
    full = json_schema()
    references = [node["$ref"] for node in nodes(full, lambda node: isinstance(node.get("$ref"), str))]
    assert {reference.removeprefix("#/$defs/") for reference in references} <= full["$defs"].keys()
    assert "#/$defs/Arm" in references
