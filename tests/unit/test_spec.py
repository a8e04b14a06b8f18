"""Study files to types: every fault, with its line; what arms mean."""

import dataclasses
import itertools
import time
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import pytest

from ctkd_study import study_file
from ctkd_study.errors import SpecError
from ctkd_study.spec import Setting, StudySpec, from_mapping, grid, load, warnings
from tests.unit.test_study_file import assert_faults
from trainables.config import TrialConfig
from trainables.curriculum import Cosine
from trainables.data import DATASETS
from trainables.models import MODELS
from trainables.models.resnet import ResNetOptions
from trainables.recipe import StepSchedule
from trainables.temperatures import TEMPERATURES
from trainables.temperatures.fixed import FixedOptions

QUICKSTART = Path(__file__).parents[2] / "studies" / "digits" / "quickstart.yaml"

LINES = """\
name: small
data: {name: digits, validation: 100}
teacher: {model: resnet8, recipe: {epochs: 2}}
student: {model: resnet8}
recipe: {epochs: 3}
distiller: {name: kd}
seeds: 3
margin: 5
arms:
  four: {temperature: {kind: fixed, value: 4}}""".splitlines()


def file_with(changes: dict[int, str] | None = None) -> str:
    """The small study, some of its lines replaced; line 11 and later are added."""
    lines = dict(enumerate(LINES, start=1)) | (changes or {})
    return "\n".join(lines[number] for number in sorted(lines)) + "\n"


def read(tmp_path: Path, text: str, *overrides: str) -> StudySpec:
    """Loads a text."""
    path = tmp_path / "study.yaml"
    path.write_text(text)
    return load(path, overrides)


def plain(**changes: Any) -> dict[str, Any]:
    """The small study as a mapping, some keys replaced."""
    return {**study_file.parse(file_with()).data, **changes}


def only(spec: StudySpec, arm: str) -> Setting:
    """The setting of an arm that has one."""
    (setting,) = (setting for setting in spec.settings() if setting.arm == arm)
    return setting


# -- the quickstart --------------------------------------------------------------------------------------------------


def test_quickstart_settings_and_their_keys_stay_as_they_are() -> None:
    settings = load(QUICKSTART).settings()
    # The keys are part of the ids under which people's records lie: a change here loses them.
    assert [(setting.arm, setting.label, setting.key) for setting in settings] == [
        ("grid", "T=1", "88db7b9c"),
        ("grid", "T=2", "e999e8fd"),
        ("grid", "T=4", "ef9668bb"),
        ("grid", "T=8", "3565315a"),
        ("grid", "T=16", "86a50aa9"),
        ("global", "global", "09f68887"),
        ("instance", "instance", "b1200d77"),
        ("student_alone", "student_alone", "b7893e84"),
    ]


def test_quickstart_is_what_it_says() -> None:
    spec = load(QUICKSTART)
    assert spec.seeds == tuple(range(8))
    assert spec.teacher is not None
    assert spec.teacher.recipe is not None
    assert (spec.teacher.recipe.epochs, spec.teacher.recipe.batch_size) == (25, 32)
    alone = only(spec, "student_alone").config
    assert (alone.teacher, alone.teacher_source, alone.temperature, alone.curriculum) == (None, None, None, None)
    taught = only(spec, "global").config
    assert (taught.teacher, taught.teacher_source) == (spec.teacher, "bank32")
    assert warnings(spec) == []


def test_the_same_study_in_python() -> None:
    curriculum = {"kind": "cosine", "start": 0.0, "end": 1.0, "epochs": 10}
    spec = from_mapping(
        {
            "name": "quickstart",
            "question": "Does a learned temperature save the grid search on digits?",
            "data": {"name": "digits", "validation": 200, "train_examples": 300},
            "teacher": {"model": "resnet20", "recipe": {"epochs": 25}},
            "student": ResNetOptions(model="resnet8", widths=(4, 4, 8, 16)),
            "recipe": {"epochs": 30, "batch_size": 32},
            "distiller": {"name": "kd"},
            "seeds": range(8).stop,
            "margin": 1.5,
            "arms": {
                "grid": {"temperature": {"kind": "fixed", "value": grid(1, 2, 4, 8, 16)}},
                "global": {"temperature": {"kind": "global"}, "curriculum": curriculum},
                "instance": {"temperature": {"kind": "instance"}, "curriculum": curriculum},
                "student_alone": {"distiller": {"name": "none"}},
            },
        }
    )
    assert spec == load(QUICKSTART)
    assert spec.settings() == load(QUICKSTART).settings()


def test_a_study_survives_its_plain_form() -> None:
    spec = load(QUICKSTART)
    again = from_mapping(spec.plain())
    assert again == spec
    assert again.settings() == spec.settings()
    assert again.plain() == spec.plain()


# -- faults ----------------------------------------------------------------------------------------------------------

Expected = list[tuple[int | None, str, str]]

FAULTS: dict[str, tuple[dict[int, str], Expected]] = {
    "name": ({1: "name: Small Study"}, [(1, "name", 'but got "Small Study"')]),
    "name is required": ({1: "protocol: validation"}, [(1, "name", "is required")]),
    "unknown key": ({8: "marginn: 5"}, [(1, "margin", "is required"), (8, "marginn", "did you mean 'margin'?")]),
    "merge key": ({8: "margin: 5\n<<: {}"}, [(9, "<<", "unknown key")]),
    "margin": ({8: "margin: 0"}, [(8, "margin", "greater than 0 and of at most 100, but got 0")]),
    "margin is no text": (
        {8: "margin: '5'"},
        [(8, "margin", 'must be a number greater than 0 and of at most 100, but got "5"')],
    ),
    "infinite margin": ({8: "margin: .inf"}, [(8, "margin", "but got Infinity")]),
    "data set": (
        {2: "data: {name: digit, validation: 9}"},
        [(2, "data.name", f"must be one of {', '.join(DATASETS)}")],
    ),
    "data without a name": (
        {2: "data: {validation: 9}"},
        [(2, "data.name", f"is required: one of {', '.join(DATASETS)}")],
    ),
    "data is text": (
        {2: "data: digits"},
        [(2, "data", f"must be a mapping with 'name', one of {', '.join(DATASETS)}")],
    ),
    "number as a name": ({2: "data: {name: 3, validation: 9}"}, [(2, "data.name", "but got 3")]),
    "misspelt tag": ({4: "student: {modle: resnet8}"}, [(4, "student.modle", "did you mean 'model'?")]),
    "number as text": (
        {5: "recipe: {epochs: '3'}"},
        [(5, "recipe.epochs", 'a whole number from 1 to 100000, but got "3"')],
    ),
    "fraction": (
        {5: "recipe: {epochs: 3.5}"},
        [(5, "recipe.epochs", "must be a whole number from 1 to 100000, but got 3.5")],
    ),
    "truth as a number": ({5: "recipe: {epochs: true}"}, [(5, "recipe.epochs", "but got true")]),
    "nested key": (
        {5: "recipe:\n  epochs: 3\n  schedule:\n    kind: step\n    milestone: [1]"},
        [
            (7, "recipe.schedule.milestones", "is required"),
            (9, "recipe.schedule.milestone", "did you mean 'milestones'?"),
        ],
    ),
    "list item": (
        {5: "recipe: {epochs: 3, schedule: {kind: step, milestones: [1,\n  x]}}"},
        [(6, "recipe.schedule.milestones[1]", 'must be a whole number, but got "x"')],
    ),
    "choice": (
        {11: "numerics: {device: cud}"},
        [(11, "numerics.device", "auto, cpu, cuda, but got \"cud\"; did you mean 'cuda'?")],
    ),
    "no teacher": ({3: "teacher: null"}, [(3, "teacher", "distiller 'kd' needs a teacher")]),
    "teacher left out": ({3: "question: why?"}, [(1, "teacher", "distiller 'kd' needs a teacher")]),
    "teacher from nowhere": (
        {3: "teacher: {model: resnet8}"},
        [(3, "teacher", "either a recipe (train it) or a checkpoint")],
    ),
    "teacher's own recipe": (
        {3: "teacher: {model: resnet8, recipe: {epochs: 0}}"},
        [(3, "teacher.recipe.epochs", "must be a whole number from 1 to 100000, but got 0")],
    ),
    "study's recipe is at fault once": ({5: "recipe: {epochs: 3, lr: -1}"}, [(5, "recipe.lr", "but got -1")]),
    "recipe lacks epochs": ({5: "recipe: {lr: 0.1}"}, [(5, "recipe.epochs", "is required")]),
    "validation in the paper's protocol": (
        {1: "name: small\nprotocol: paper"},
        [(3, "data.validation", "must be 0, but got 100")],
    ),
    "no validation": ({2: "data: {name: digits, validation: 0}"}, [(2, "data.validation", "must be at least 1")]),
    "bank of many views": (
        {2: "data: {name: digits, validation: 9, views: {kind: crop}}", 11: "teacher_source: bank32"},
        [(11, "teacher_source", "bank32 holds data sets of one view, but an example of this one has 162")],
    ),
    "seeds": ({7: "seeds: 0"}, [(7, "seeds", "must be a number of seeds from 1 to 10000")]),
    "seeds twice": ({7: "seeds: [1, 2, 1]"}, [(7, "seeds", "a list of different whole numbers, but got [1, 2, 1]")]),
    "no seeds": ({7: "seeds: []"}, [(7, "seeds", "but got []")]),
    "fractional seeds": ({7: "seeds: [0.5]"}, [(7, "seeds", "but got [0.5]")]),
    "fewer planned": ({11: "seeds_planned: 2"}, [(11, "seeds_planned", "at least the number of seeds, 3, but got 2")]),
    "baseline": ({11: "baseline: for"}, [(11, "baseline", "must be one of the arms: four; did you mean 'four'?")]),
    "later: search": ({11: "search: {by: tpe}"}, [(11, "search", "unknown key")]),
    "later: workers": ({11: "resources: {workers: 2}"}, [(11, "resources.workers", "unknown key")]),
    "grid outside arms": (
        {5: "recipe: {epochs: {grid: [1, 2]}}", 7: "seeds: {grid: [1]}"},
        [(5, "recipe.epochs", "a grid may stand only"), (7, "seeds", "a grid may stand only")],
    ),
    "no arms": ({9: "arms: {}", 10: ""}, [(9, "arms", "must be a mapping that is not empty, but got {}")]),
    "arms are a list": ({10: "  - four"}, [(9, "arms", "must be a mapping")]),
    "arm's name": (
        {10: "  Four: {temperature: {kind: fixed, value: 4}}"},
        [(10, "arms.Four", "the name of an arm must match")],
    ),
    "arm is text": ({10: "  four: 4"}, [(10, "arms.four", "must be a mapping with any of student, recipe")]),
    "arm without temperature": (
        {10: "  four: {}"},
        [(10, "arms.four.temperature", "distiller 'kd' needs a temperature")],
    ),
    "arm overrides data": (
        {11: "  b: {data: {validation: 3}, seeds: 4, margin: 1, teacher: null, temperature: {kind: global}}"},
        [(11, f"arms.b.{key}", f"may not override '{key}'") for key in ("data", "seeds", "margin", "teacher")],
    ),
    "arm's unknown key": (
        {11: "  b: {temprature: {kind: global}}"},
        [(11, "arms.b.temprature", "did you mean 'temperature'?"), (11, "arms.b.temperature", "needs a temperature")],
    ),
    "arm's kind": (
        {10: "  four: {temperature: {kind: fixd, value: 4}}"},
        [(10, "arms.four.temperature.kind", "did you mean 'fixed'?")],
    ),
    "arm lacks a value": (
        {10: "  four:\n    temperature:\n      kind: fixed"},
        [(11, "arms.four.temperature.value", "is required: a number")],
    ),
    "value of another kind": (
        {11: "temperature: {kind: fixed, value: 2}", 10: "  four: {temperature: {kind: global, value: 4}}"},
        [(10, "arms.four.temperature.value", "unknown key")],
    ),
    "stated temperature that cannot apply": (
        {11: "  b: {distiller: {name: none}, temperature: {kind: global}}"},
        [(11, "arms.b.temperature", "distiller 'none' takes no temperature")],
    ),
    "stated curriculum that cannot apply": (
        {11: "  b: {temperature: {kind: fixed, value: 1}, curriculum: {kind: cosine}}"},
        [(11, "arms.b.curriculum", "needs a learned temperature")],
    ),
    "inherited fault": (
        {5: "recipe: {epochs: 3, lr: 0}", 11: "  b: {recipe: {epochs: 9}, temperature: {kind: global}}"},
        [(5, "recipe.lr", "but got 0")],
    ),
    "arm's list item": (
        {11: "  b: {temperature: {kind: global}, student: {widths: [1, 2,\n 0, 4]}}"},
        [(12, "arms.b.student.widths[2]", "but got 0")],
    ),
    "grid's values": (
        {10: "  four: {temperature: {kind: fixed, value: {grid: [1,\n -2,\n 4,\n x]}}}"},
        [(11, "arms.four.temperature.value", "but got -2"), (13, "arms.four.temperature.value", 'but got "x"')],
    ),
    "grid is empty": (
        {10: "  four: {temperature: {kind: fixed, value: {grid: []}}}"},
        [(10, "arms.four.temperature.value", "a list of at least one value, but got []")],
    ),
    "grid is a number": (
        {10: "  four: {temperature: {kind: fixed, value: {grid: 4}}}"},
        [(10, "arms.four.temperature.value", "a list of at least one value, but got 4")],
    ),
    "grid holds a value twice": (
        {10: "  four: {temperature: {kind: fixed, value: {grid: [1, 4, 4.0]}}}"},
        [(10, "arms.four.temperature.value.grid[2]", "no value twice, but got 4 again")],
    ),
    "grid of grids": (
        {10: "  four: {temperature: {kind: fixed, value: {grid: [1, {grid: [2]}, [3]]}}}"},
        [
            (10, "arms.four.temperature.value.grid[1]", "plain values alone"),
            (10, "arms.four.temperature.value.grid[2]", "plain values alone, but got [3]"),
        ],
    ),
    "grid has a neighbour": (
        {10: "  four: {temperature: {kind: fixed, value: {grid: [1], also: 2}}}"},
        [(10, "arms.four.temperature.value.grid", "with no other key beside it")],
    ),
    "grid of blocks": (
        {10: "  four: {temperature: {grid: [{kind: global}]}}"},
        [(10, "arms.four.temperature.grid[0]", "plain values alone")],
    ),
    "grid in place of a block": (
        {10: "  four: {temperature: {grid: [1]}}"},
        [(10, "arms.four.temperature", "must be a mapping")],
    ),
    "grid in place of an arm": (
        {11: "  b: {grid: [1, 2]}"},
        [(11, "arms.b.grid", "a grid may stand only"), (11, "arms.b.temperature", "needs a temperature")],
    ),
    "grid is too large": (
        {
            10: f"  four: {{temperature: {{kind: fixed, value: {{grid: {list(range(1, 102))}}}}}, "
            f"recipe: {{epochs: {{grid: {list(range(1, 102))}}}}}}}"
        },
        [(10, "arms.four", "at most 10,000 settings, but the grids of this one make 10,201")],
    ),
    "later: searches": (
        {10: "  four: {temperature: {kind: fixed, value: {uniform: [1, 8]}}, search: {by: tpe}}"},
        [(10, "arms.four.search", "unknown key"), (10, "arms.four.temperature.value", 'but got {"uniform": [1, 8]}')],
    ),
    "nothing is said of what could not be read": (
        {4: "student: &s {model: resnet8}", 10: "  four: {student: *s, temperature: !x {kind: y}}"},
        [(4, "student", "anchors"), (10, "arms.four.student", "anchors"), (10, "arms.four.temperature", "tags")],
    ),
}


@pytest.mark.parametrize("case", FAULTS)
def test_faults(case: str, tmp_path: Path) -> None:
    changes, expected = FAULTS[case]
    with pytest.raises(SpecError) as caught:
        read(tmp_path, file_with(changes))
    assert_faults(caught.value.faults, expected)
    assert {fault.file for fault in caught.value.faults} == {str(tmp_path / "study.yaml")}


def test_every_fault_at_once(tmp_path: Path) -> None:
    text = """\
name: A
data: {name: digits, validation: -1, validation: 5}
teacher: {model: resnet8, recipe: {epochs: 2, batchsize: 3}}
student: {model: resnet7}
recipe: {epochs: 0, lr: 0.1, lr: 0.2}
distiller: {name: kd, ce_weight: a}
seeds: none
margin: !!float 4
numerics: {threads: 0}
arms:
  a: {temperature: {kind: fixed, value: {grid: [0, 4]}}, curriculum: {kind: cosin}}
  b: {distiller: {name: none}, temperature: {kind: global, tau: 1}, data: {}}
  B: {distiller: {name: none}, curriculum: {kind: cosine}}
"""
    with pytest.raises(SpecError) as caught:
        read(tmp_path, text, "recipe.momentum=2", "margins=3")
    assert_faults(
        caught.value.faults,
        [
            (1, "name", 'but got "A"'),
            (2, "data.validation", "there already"),
            (2, "data.validation", "but got -1"),
            (3, "teacher.recipe.batchsize", "did you mean 'batch_size'?"),
            (4, "student.model", "did you mean 'resnet"),
            (5, "recipe.lr", "there already"),
            (5, "recipe.epochs", "but got 0"),
            (6, "distiller.ce_weight", 'but got "a"'),
            (7, "seeds", 'but got "none"'),
            (8, "margin", "tags are not allowed"),
            (9, "numerics.threads", "but got 0"),
            (11, "arms.a.temperature.value", "but got 0"),
            (11, "arms.a.curriculum.kind", "did you mean 'cosine'?"),
            (12, "arms.b.data", "may not override"),
            (12, "arms.b.temperature.tau", "unknown key"),
            (13, "arms.B", "must match"),
            (13, "arms.B.curriculum", "needs a learned temperature"),
            (None, "recipe.momentum", "but got 2"),
            (None, "margins", "did you mean 'margin'?"),
        ],
    )
    lines = str(caught.value).splitlines()
    assert lines[0].startswith(f"{tmp_path / 'study.yaml'}:1: name: must be text")
    assert lines[-2].startswith("--set recipe.momentum=2: recipe.momentum: must be a number of at least 0 and less")


def test_faults_hold_the_value() -> None:
    with pytest.raises(SpecError) as caught:
        from_mapping(
            plain(margin=-1, seeds=[1, 1], arms={"a": {"temperature": {"kind": "fixed", "value": grid(1, -2)}}})
        )
    assert [(fault.key, fault.value) for fault in caught.value.faults] == [
        ("seeds", [1, 1]),
        ("margin", -1),
        ("arms.a.temperature.value", -2),
    ]


def test_a_mapping_has_the_same_faults_as_a_file(tmp_path: Path) -> None:
    for changes, _ in FAULTS.values():
        text = file_with(changes)
        document = study_file.parse(text)
        if document.faults:
            continue  # what the writing of a file can say wrong, a mapping can't
        with pytest.raises(SpecError) as of_file:
            read(tmp_path, text)
        with pytest.raises(SpecError) as of_mapping:
            from_mapping(document.data)
        assert {(fault.key, fault.message) for fault in of_mapping.value.faults} == {
            (fault.key, fault.message) for fault in of_file.value.faults
        }
        assert all(fault.line is None and fault.file is None for fault in of_mapping.value.faults)


# -- overrides -------------------------------------------------------------------------------------------------------


def test_overrides_change_the_study(tmp_path: Path) -> None:
    spec = read(
        tmp_path, file_with(), "recipe.weight_decay=1e-3", "seeds=[5]", "arms.more={temperature: {kind: global}}"
    )
    assert spec.recipe.weight_decay == 1e-3
    assert spec.teacher is not None
    assert spec.teacher.recipe is not None
    assert spec.teacher.recipe.weight_decay == 1e-3
    assert spec.seeds == (5,)
    assert only(spec, "more").config.curriculum == Cosine()


def test_faults_of_overrides_name_them(tmp_path: Path) -> None:
    with pytest.raises(SpecError) as caught:
        read(tmp_path, file_with({8: "margin: 0"}), "arms.four.temperature.value=x", "seeds")
    assert [str(fault.place) for fault in caught.value.faults] == [
        f"{tmp_path / 'study.yaml'}:8",
        "--set seeds",
        "--set arms.four.temperature.value=x",
    ]


def test_an_override_mends_a_fault(tmp_path: Path) -> None:
    assert read(tmp_path, file_with({8: "margin: 0"}), "margin=2").margin == 2.0


# -- arms ------------------------------------------------------------------------------------------------------------


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


def test_teacher_source_follows_the_views_unless_it_is_said() -> None:
    def source(**changes: Any) -> str | None:
        return only(from_mapping(plain(**changes)), "four").config.teacher_source

    crop = {"name": "digits", "validation": 100, "views": {"kind": "crop"}}
    assert source() == "bank32"
    assert source(data=crop) == "online"
    assert source(teacher_source="online") == "online"


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


def test_settings_that_a_path_makes_equal_are_a_fault(tmp_path: Path) -> None:
    # Two ways to write one number are caught in the grid itself; here the options make the same of different values.
    with pytest.raises(SpecError, match="a grid must hold no value twice"):
        read(tmp_path, file_with({10: "  four: {temperature: {kind: fixed, value: {grid: [1.0e+1, 10]}}}"}))


# -- paths -----------------------------------------------------------------------------------------------------------


def test_paths_are_relative_to_the_file(tmp_path: Path) -> None:
    spec = read(tmp_path, file_with({3: "teacher: {model: resnet8, checkpoint: ../weights/t.pth}"}))
    assert spec.teacher is not None
    assert spec.teacher.checkpoint == str(tmp_path / "../weights/t.pth")
    assert only(spec, "four").config.teacher == spec.teacher
    assert from_mapping(spec.plain(), base_dir="/elsewhere") == spec


def test_paths_of_a_mapping_are_relative_to_the_folder_given(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    teacher = {"model": "resnet8", "checkpoint": "t.pth"}
    spec = from_mapping(plain(teacher=teacher), base_dir=tmp_path)
    assert spec.teacher is not None
    assert spec.teacher.checkpoint == str(tmp_path / "t.pth")
    monkeypatch.chdir(tmp_path)
    assert from_mapping(plain(teacher=teacher)) == spec


# -- the rest --------------------------------------------------------------------------------------------------------


def matching(texts: Iterable[str], fragment: str) -> list[str]:
    """Those that hold a fragment."""
    return [text for text in texts if fragment in text]


def test_warnings() -> None:
    assert warnings(from_mapping(plain(margin=2.1))) == ["there is one arm, and nothing to compare it with"]
    (coarse,) = matching(warnings(from_mapping(plain(margin=1.9))), "validation examples")
    assert "one of 100 validation examples is worth 1 points, more than half the margin of 1.9" in coarse
    assert matching(warnings(from_mapping(plain(seeds=2))), "2 seeds give no interval")
    paper = plain(protocol="paper", data={"name": "digits", "validation": 0})
    assert matching(warnings(from_mapping(paper)), "no verdict")
    fixed, learned = {"temperature": {"kind": "fixed", "value": grid(4)}}, {"temperature": {"kind": "global"}}
    several = warnings(
        from_mapping(plain(arms={"a": fixed, "b": learned, "c": {"temperature": {"kind": "fixed", "value": 4}}}))
    )
    assert several == [
        "arms.a.temperature.value: a grid of one value is no grid",
        "arms a (T=4) and c (T=4) are one setting, trained twice",
        "arm b (b): λ would reach its end in epoch 10, but training ends after 3",
    ]
    alone = warnings(from_mapping(plain(arms={"a": {"distiller": {"name": "none"}}})))
    assert matching(alone, "no arm uses the teacher")


def test_a_copy_resolves_its_settings_anew() -> None:
    spec = from_mapping(plain())
    changed = spec.model_copy(update={"recipe": spec.recipe.model_copy(update={"lr": 0.5})})
    assert only(changed, "four").config.recipe.lr == 0.5
    assert only(spec, "four").config.recipe.lr == 0.05


def test_settings_are_complete_trial_configurations() -> None:
    for setting in load(QUICKSTART).settings():
        assert TrialConfig.model_validate(setting.config.plain()) == setting.config
        assert dataclasses.replace(setting) == setting


def test_a_thousand_settings_take_about_a_second() -> None:
    values, rates = [1 + i / 10 for i in range(100)], [i / 100 for i in range(1, 11)]
    block = {"temperature": {"kind": "fixed", "value": grid(*values)}, "recipe": {"lr": grid(*rates)}}
    began = time.process_time()
    spec = from_mapping(plain(arms={"a": block}))
    assert len(spec.settings()) == 1000
    assert time.process_time() - began < 3  # 0.3 s on a free core
