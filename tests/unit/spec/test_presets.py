"""Presets: the literature's recipes as data, and what they mean in a study file."""

from pathlib import Path

import jsonschema
import pytest

from ctkd_study.errors import SpecError
from ctkd_study.spec import StudySpec, from_mapping
from ctkd_study.spec.schema import json_schema
from tests.support.studies import file_with, only, plain, read
from trainables.presets import PRESETS, expanded
from trainables.recipe import Recipe

FIXED = {"temperature": {"kind": "fixed", "value": 4}}

#: Epochs, batch, momentum, weight decay, and the learning rate in some epochs, as published.
TABLE = {
    "cifar100": (240, 64, 0.9, 5e-4, {1: 0.05, 150: 0.05, 151: 0.005, 181: 5e-4, 211: 5e-5, 240: 5e-5}),
    "cifar100_mobile": (240, 64, 0.9, 5e-4, {1: 0.01, 150: 0.01, 151: 0.001, 181: 1e-4, 211: 1e-5, 240: 1e-5}),
    "imagenet": (120, 256, 0.9, 1e-4, {1: 0.1, 30: 0.1, 31: 0.01, 61: 1e-3, 91: 1e-4, 120: 1e-4}),
}


def test_each_preset_has_its_row() -> None:
    assert set(PRESETS) == set(TABLE)


@pytest.mark.parametrize("name", PRESETS)
def test_the_recipe_is_the_published_one(name: str) -> None:
    recipe = Recipe.model_validate({"preset": name})
    epochs, batch, momentum, decay, rates = TABLE[name]
    assert (recipe.epochs, recipe.batch_size, recipe.momentum, recipe.weight_decay) == (epochs, batch, momentum, decay)
    assert {epoch: recipe.lr_at(epoch) for epoch in rates} == pytest.approx(rates)


@pytest.mark.parametrize("name", PRESETS)
def test_a_preset_says_every_key_and_its_source(name: str) -> None:
    preset = PRESETS[name]
    assert set(preset.recipe) == set(Recipe.model_fields) - {"preset"}
    assert "20" in preset.source or "the same" in preset.source


def test_it_is_its_keys_and_nothing_else() -> None:
    written = {**PRESETS["cifar100"].recipe, "lr": 0.02}
    recipe = Recipe.model_validate({"preset": "cifar100", "lr": 0.02})
    assert recipe == Recipe.model_validate(written)
    assert recipe.plain() == written
    assert expanded({"preset": "cifar100", "lr": 0.02}) == written
    assert "preset" not in recipe.plain()


def test_its_data_cannot_be_changed_through_a_study() -> None:
    first = expanded({"preset": "cifar100"})
    first["schedule"]["milestones"].append(220)
    assert expanded({"preset": "cifar100"})["schedule"]["milestones"] == [150, 180, 210]


@pytest.mark.parametrize("value", [None, 4, ["preset"], {"epochs": 2}, {"preset": "other"}, {"preset": 4}])
def test_what_names_no_preset_is_left_to_those_who_validate_it(value: object) -> None:
    assert expanded(value) == value


# -- in a study file -------------------------------------------------------------------------------------------------


def lengths(spec: StudySpec) -> tuple[int, int]:
    """Epochs of student and teacher."""
    assert spec.teacher is not None
    assert spec.teacher.recipe is not None
    return spec.recipe.epochs, spec.teacher.recipe.epochs


def test_the_fingerprint_sees_the_keys() -> None:
    short = from_mapping(plain(recipe={"preset": "cifar100"}))
    long = from_mapping(plain(recipe=dict(PRESETS["cifar100"].recipe)))
    assert [s.config.fingerprint() for s in short.settings()] == [s.config.fingerprint() for s in long.settings()]
    assert short.plain() == long.plain()
    assert from_mapping(short.plain()).settings() == short.settings()


def test_keys_beside_it_override_it() -> None:
    spec = from_mapping(plain(recipe={"preset": "cifar100", "epochs": 120, "schedule": {"kind": "cosine"}}))
    assert (spec.recipe.epochs, spec.recipe.batch_size, spec.recipe.schedule.plain()) == (120, 64, {"kind": "cosine"})


def test_the_teachers_preset_wins_over_the_studys_keys() -> None:
    teacher = {"model": "resnet8", "recipe": {"preset": "cifar100_mobile", "batch_size": 32}}
    spec = from_mapping(plain(recipe={"epochs": 3, "lr": 0.5}, teacher=teacher))
    assert lengths(spec) == (3, 240)
    assert spec.teacher is not None
    assert spec.teacher.recipe is not None
    assert (spec.teacher.recipe.lr, spec.teacher.recipe.batch_size) == (0.01, 32)


def test_the_teacher_takes_from_the_studys_preset_what_it_leaves_out() -> None:
    teacher = {"model": "resnet8", "recipe": {"epochs": 2}}
    spec = from_mapping(plain(recipe={"preset": "cifar100"}, teacher=teacher))
    assert lengths(spec) == (240, 2)
    assert spec.teacher is not None
    assert spec.teacher.recipe is not None
    assert spec.teacher.recipe.schedule == spec.recipe.schedule


def test_an_arm_is_hashed_by_the_keys() -> None:
    short = {"short": {**FIXED, "recipe": {"preset": "imagenet"}}}
    long = {"short": {**FIXED, "recipe": dict(PRESETS["imagenet"].recipe)}}
    first, second = (only(from_mapping(plain(arms=arms)), "short") for arms in (short, long))
    assert (first.key, first.config.recipe.epochs, first.overrides_epochs) == (second.key, 120, True)


def test_its_keys_may_be_grids_in_an_arm() -> None:
    arm = {**FIXED, "recipe": {"preset": "imagenet", "lr": {"grid": [0.1, 0.2]}}}
    spec = from_mapping(plain(arms={"rates": arm}))
    assert [(s.label, s.config.recipe.lr) for s in spec.settings()] == [("lr=0.1", 0.1), ("lr=0.2", 0.2)]


def test_no_preset_is_as_if_not_written() -> None:
    assert from_mapping(plain(recipe={"preset": None, "epochs": 3})).plain() == from_mapping(plain()).plain()


KNOWN = "must be one of cifar100, cifar100_mobile, imagenet, but got"


@pytest.mark.parametrize(
    ("line", "text", "key", "message"),
    [
        (5, "recipe: {preset: cifar10}", "recipe.preset", f"{KNOWN} \"cifar10\"; did you mean 'cifar100'?"),
        (5, "recipe: {preset: 4}", "recipe.preset", f"{KNOWN} 4"),
        (3, "teacher: {model: resnet8, recipe: {preset: x}}", "teacher.recipe.preset", f'{KNOWN} "x"'),
        (
            10,
            "  four: {temperature: {kind: fixed, value: 4}, recipe: {preset: x}}",
            "arms.four.recipe.preset",
            f'{KNOWN} "x"',
        ),
        (
            10,
            "  four: {temperature: {kind: fixed, value: 4}, recipe: {preset: {grid: [cifar100, imagenet]}}}",
            "arms.four.recipe.preset",
            "a preset must be one name; its keys may be grids",
        ),
        (5, "recipe: {preset: cifar100, lr: -1}", "recipe.lr", "must be greater than 0"),
    ],
)
def test_a_fault_is_named_once_where_it_is_written(
    line: int, text: str, key: str, message: str, tmp_path: Path
) -> None:
    with pytest.raises(SpecError) as refused:
        read(tmp_path, file_with({line: text}))
    (fault,) = refused.value.faults
    assert (fault.line, fault.key) == (line, key)
    assert message in fault.message


def test_editors_know_it() -> None:
    validator = jsonschema.Draft202012Validator(json_schema())

    def valid(**changes: object) -> bool:
        return validator.is_valid(plain(**changes))

    assert valid(recipe={"preset": "cifar100"})
    assert valid(recipe={"preset": "cifar100", "lr": 0.1})
    assert valid(arms={"a": {**FIXED, "recipe": {"preset": "imagenet"}}})
    assert valid(teacher={"model": "resnet8", "recipe": {"preset": "imagenet"}})
    assert not valid(recipe={"preset": "cifar10"})
    assert not valid(recipe={"lr": 0.1})
    assert not valid(arms={"a": {**FIXED, "recipe": {"preset": {"grid": ["imagenet", "cifar100"]}}}})
