"""What an arm's block and its grids mean on top of the study: merged settings, keys and labels."""

import dataclasses
import itertools
from pathlib import Path
from typing import Any

import pytest

from ctkd_study.errors import SpecError
from ctkd_study.spec import from_mapping, grid, load
from tests.support.studies import file_with, only, plain, read
from trainables.config import TrialConfig
from trainables.models import MODELS
from trainables.models.resnet import ResNetOptions
from trainables.recipe import StepSchedule
from trainables.temperatures import TEMPERATURES
from trainables.temperatures.fixed import FixedOptions

FIXED = {"temperature": {"kind": "fixed", "value": 4}}
QUICKSTART = Path(__file__).parents[3] / "studies" / "digits" / "quickstart.yaml"


def test_blocks_merge_key_by_key() -> None:
    spec = from_mapping(
        plain(
            student={"model": "resnet8", "widths": [4, 4, 8, 16]},
            recipe={"epochs": 3, "lr": 0.5, "schedule": {"kind": "step", "milestones": [2], "gamma": 0.5}},
            arms={
                "a": {
                    "temperature": {"kind": "global"},
                    "student": {"model": "resnet20"},
                    "recipe": {"schedule": {"milestones": [1]}},
                    "distiller": {"kd_weight": 2},
                }
            },
        )
    )
    config = only(spec, "a").config
    assert config.student == ResNetOptions(model="resnet20", widths=(4, 4, 8, 16))
    assert config.recipe == spec.recipe.model_copy(update={"schedule": StepSchedule(milestones=(1,), gamma=0.5)})
    assert config.distiller.plain() == {"name": "kd", "ce_weight": 0.1, "kd_weight": 2.0}


def test_a_changed_kind_replaces_the_block() -> None:
    spec = from_mapping(
        plain(
            temperature={"kind": "global", "tau_init": 2.0},
            recipe={"epochs": 3, "schedule": {"kind": "step", "milestones": [2]}},
            arms={
                "a": {"temperature": {"kind": "fixed", "value": 4}, "recipe": {"schedule": {"kind": "cosine"}}},
                "b": {"temperature": {"kind": "global", "initial": 0.5}},
                "c": {"temperature": {"kind": "instance"}},
            },
        )
    )
    assert only(spec, "a").config.temperature == FixedOptions(value=4)
    assert only(spec, "a").config.recipe.schedule.plain() == {"kind": "cosine"}
    assert getattr(only(spec, "b").config.temperature, "tau_init", None) == 2.0
    assert getattr(only(spec, "c").config.temperature, "tau_init", None) == 1.0


def test_another_family_of_networks_replaces_the_student() -> None:
    other = next(
        name for name, options in MODELS.classes.items() if options is not ResNetOptions and not name.endswith(":")
    )
    spec = from_mapping(
        plain(
            student={"model": "resnet8", "widths": [4, 4, 8, 16]},
            arms={"a": {"temperature": {"kind": "global"}, "student": {"model": other}}},
        )
    )
    assert only(spec, "a").config.student == MODELS.parse({"model": other})


def test_an_arm_never_changes_the_teacher() -> None:
    arms = {
        "a": {"temperature": {"kind": "global"}, "recipe": {"epochs": 9, "lr": 0.5}, "student": {"model": "resnet20"}}
    }
    spec = from_mapping(plain(arms=arms))
    assert spec.teacher is not None
    assert spec.teacher.recipe is not None
    assert (spec.teacher.recipe.epochs, spec.teacher.recipe.lr) == (2, 0.05)
    assert only(spec, "a").config.teacher == spec.teacher


def test_the_teachers_recipe_replaces_what_it_changes() -> None:
    teacher = {"model": "resnet8", "recipe": {"epochs": 2, "schedule": {"kind": "constant"}}}
    recipe = {"epochs": 3, "batch_size": 32, "schedule": {"kind": "step", "milestones": [1]}}
    spec = from_mapping(plain(teacher=teacher, recipe=recipe))
    assert spec.teacher is not None
    assert spec.teacher.recipe is not None
    assert spec.teacher.recipe.batch_size == 32
    assert spec.teacher.recipe.schedule.plain() == {"kind": "constant"}


def test_study_level_defaults_reach_the_arms_that_can_use_them() -> None:
    spec = from_mapping(
        plain(
            temperature={"kind": "global"},
            curriculum={"kind": "linear", "end": 0.5},
            arms={
                "a": {},
                "alone": {"distiller": {"name": "none"}},
                "fixed": {"temperature": {"kind": "fixed", "value": 4}},
            },
        )
    )
    assert only(spec, "a").config.temperature == TEMPERATURES.parse({"kind": "global"})
    assert only(spec, "a").config.curriculum == spec.curriculum
    assert only(spec, "alone").config.temperature is None
    assert only(spec, "alone").config.curriculum is None
    assert only(spec, "fixed").config.curriculum is None


def test_teacher_source_is_the_studys_unless_the_distiller_decides_it() -> None:
    def source(distiller: str, stated: str | None) -> str | None:
        arms = {"a": {"distiller": {"name": distiller}, **({} if distiller == "none" else FIXED)}}
        return only(from_mapping(plain(arms=arms, teacher_source=stated)), "a").config.teacher_source

    for stated in (None, "bank16", "bank32", "online"):
        assert source("none", stated) is None
        assert source("kd", stated) == source("pkt", stated) == stated
        assert source("sp", stated) == "online", "no bank holds feature maps"


def test_changes_of_student_and_epochs_are_marked() -> None:
    block = {"temperature": {"kind": "global"}}
    arms = {
        "plain": block,
        "restated": {**block, "student": {"model": "resnet8"}, "recipe": {"epochs": 3, "lr": 0.2}},
        "student": {**block, "student": {"model": "resnet20"}},
        "epochs": {**block, "recipe": {"epochs": {"grid": [2, 3]}}},
    }
    marks = [(s.arm, s.overrides_student, s.overrides_epochs) for s in from_mapping(plain(arms=arms)).settings()]
    assert marks == [
        ("plain", False, False),
        ("restated", False, False),
        ("student", True, False),
        ("epochs", False, True),
        ("epochs", False, False),
    ]


def keys(block: dict[str, Any], **study: Any) -> list[str]:
    """The keys of an arm's settings."""
    return [setting.key for setting in from_mapping(plain(arms={"a": block}, **study)).settings()]


def test_keys_depend_on_the_arms_own_values_alone() -> None:
    one = keys({"temperature": {"kind": "fixed", "value": 4}, "recipe": {"lr": 0.1, "epochs": 2}})
    assert one == keys({"recipe": {"epochs": 2, "lr": 0.1}, "temperature": {"value": 4.0, "kind": "fixed"}})
    assert one == keys(
        {"temperature": {"kind": "fixed", "value": 4}, "recipe": {"lr": 0.1, "epochs": 2}},
        student={"model": "resnet20"},
        seeds=[9],
        margin=1,
    )
    assert one != keys(
        {"temperature": {"kind": "fixed", "value": 4}, "recipe": {"lr": 0.1, "epochs": 2, "momentum": 0.9}}
    )
    grid_keys = keys({"temperature": {"kind": "fixed", "value": grid(2, 4)}})
    assert grid_keys[1:] == keys({"temperature": {"kind": "fixed", "value": 4}}) == ["ef9668bb"]


def labels(block: dict[str, Any]) -> list[str]:
    """The labels of an arm's settings."""
    return [setting.label for setting in from_mapping(plain(arms={"a": block})).settings()]


def test_labels_say_what_varies() -> None:
    learned = {"kind": "global"}
    assert labels({"temperature": {"kind": "fixed", "value": 4.5}}) == ["T=4.5"]
    assert labels({"temperature": learned}) == ["a"]
    assert labels({"distiller": {"name": "none"}, "temperature": None}) == ["a"]
    assert labels({"temperature": learned, "curriculum": {"kind": "cosine", "end": grid(0.5, 1.0)}}) == [
        "end=0.5",
        "end=1",
    ]
    assert labels({"temperature": {"kind": grid("global", "instance")}}) == ["kind=global", "kind=instance"]
    assert labels({"temperature": {"kind": "instance", "hidden": grid(None, 8)}}) == ["hidden=null", "hidden=8"]
    assert labels({"temperature": {"kind": "fixed", "value": grid(1, 2)}, "recipe": {"lr": grid(0.1, 5e-4)}}) == [
        "T=1, lr=0.1",
        "T=1, lr=0.0005",
        "T=2, lr=0.1",
        "T=2, lr=0.0005",
    ]
    same_name = {
        "temperature": learned,
        "curriculum": {"kind": "cosine", "epochs": grid(1, 2)},
        "recipe": {"epochs": grid(2)},
    }
    assert labels(same_name) == ["curriculum.epochs=1, recipe.epochs=2", "curriculum.epochs=2, recipe.epochs=2"]
    in_a_list = {"temperature": learned, "student": {"widths": [4, grid(4, 8), 8, 8]}}
    assert labels(in_a_list) == ["widths[1]=4", "widths[1]=8"]


def test_a_grid_makes_its_whole_product_in_order() -> None:
    values, rates, epochs = [4, 1, 2], [0.1, 0.05], [3, 2]
    block = {
        "recipe": {"lr": grid(*rates), "epochs": grid(*epochs)},
        "temperature": {"kind": "fixed", "value": grid(*values)},
    }
    settings = from_mapping(plain(arms={"a": block})).settings()
    tried = [(s.config.recipe.lr, s.config.recipe.epochs, fixed_value(s.config)) for s in settings]
    assert tried == list(itertools.product(rates, epochs, values))
    assert len({setting.key for setting in settings}) == len({setting.label for setting in settings}) == len(tried)


def fixed_value(config: TrialConfig) -> float:
    """T of a fixed temperature."""
    assert isinstance(config.temperature, FixedOptions)
    return config.temperature.value


def test_two_ways_to_write_a_number_are_one_value(tmp_path: Path) -> None:
    with pytest.raises(SpecError, match="a grid must hold no value twice"):
        read(tmp_path, file_with({10: "  four: {temperature: {kind: fixed, value: {grid: [1.0e+1, 10]}}}"}))


def test_settings_are_complete_trial_configurations() -> None:
    for setting in load(QUICKSTART).settings():
        assert TrialConfig.model_validate(setting.config.plain()) == setting.config
        assert dataclasses.replace(setting) == setting


# -- faults ----------------------------------------------------------------------------------------------------------


def faults(**study: Any) -> list[tuple[str, Any, str]]:
    """The faults of the small study with these keys: key, value and message of each."""
    with pytest.raises(SpecError) as caught:
        from_mapping(plain(**study))
    return [(fault.key, fault.value, fault.message) for fault in caught.value.faults]


def test_keys_that_an_arm_may_not_hold_are_shown_with_their_values() -> None:
    assert faults(arms={"a": {**FIXED, "data": {"validation": 3}, "recipes": 4}}) == [
        (
            "arms.a.data",
            {"validation": 3},
            "an arm may not override 'data', only student, recipe, distiller, temperature, curriculum",
        ),
        (
            "arms.a.recipes",
            4,
            "unknown key; did you mean 'recipe'? Known: student, recipe, distiller, temperature, curriculum, search, "
            "scheduler",
        ),
    ]


def test_parts_that_do_not_fit_together_are_shown_as_plain_values() -> None:
    arms = {"a": {"distiller": {"name": "none"}, "temperature": {"kind": "fixed", "value": 4}}}
    assert faults(arms=arms, data={"name": "digits", "validation": 0}) == [
        ("arms.a.temperature", {"kind": "fixed", "value": 4.0}, "distiller 'none' takes no temperature"),
        (
            "data.validation",
            0,
            "validation must be at least 1, as it selects epochs and settings (or choose protocol 'paper'), but got 0",
        ),
    ]


def test_an_unknown_distiller_makes_no_other_fault() -> None:
    learned = {"temperature": {"kind": "global"}, "arms": {"a": {"curriculum": {"kind": "linear"}}, "b": {}}}
    assert [key for key, _, _ in faults(distiller={"name": "kt"}, **learned)] == ["distiller.name"]
    data = {key: value for key, value in plain(**learned).items() if key != "distiller"}
    with pytest.raises(SpecError) as caught:
        from_mapping(data)
    assert [fault.key for fault in caught.value.faults] == ["distiller"]


def test_a_fault_below_a_merged_block_is_of_whoever_states_it() -> None:
    schedule = {"kind": "step", "milestones": [1], "gamma": -1}
    arms = {"a": {**FIXED, "recipe": {"schedule": {"milestones": [2]}}}}
    assert [key for key, _, _ in faults(recipe={"epochs": 3, "schedule": schedule}, arms=arms)] == [
        "recipe.schedule.gamma"
    ]


def test_an_unknown_network_of_an_arm_is_the_arms_fault() -> None:
    assert [key for key, _, _ in faults(arms={"a": {**FIXED, "student": {"model": "resnet7"}}})] == [
        "arms.a.student.model"
    ]


def test_a_setting_has_seed_0_and_no_run() -> None:
    config = only(from_mapping(plain(arms={"a": FIXED})), "a").config
    assert (config.seed, config.run.trial) == (0, "")
