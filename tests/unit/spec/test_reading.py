"""From a study file to a study: what it holds, its paths, and every fault with its line and no other."""

from pathlib import Path
from typing import Any

import pytest

from ctkd_study.errors import SpecError
from ctkd_study.spec import document, from_mapping, grid
from ctkd_study.spec.error_messages import show
from tests.support.studies import Expected, assert_faults, file_with, only, plain, read
from trainables.curriculum import Cosine
from trainables.data import DATASETS

# -- faults ----------------------------------------------------------------------------------------------------------

FAULTS: dict[str, tuple[dict[int, str], Expected]] = {
    "name": ({1: "name: Small Study"}, [(1, "name", 'but got "Small Study"')]),
    "name is required": ({1: "protocol: validation"}, [(1, "name", "is required")]),
    "unknown key": ({8: "marginn: 5"}, [(1, "margin", "is required"), (8, "marginn", "did you mean 'margin'?")]),
    "merge key": ({8: "margin: 5\n<<: {}"}, [(9, "<<", "unknown key")]),
    "margin": ({8: "margin: 0"}, [(8, "margin", "must be greater than 0, but got 0")]),
    "margin is no text": (
        {8: "margin: '5'"},
        [(8, "margin", 'must be a number, but got "5"')],
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
    "at most": ({8: "margin: 101"}, [(8, "margin", "must be at most 100, but got 101")]),
    "a whole limit reads as a whole number": (
        {11: "seeds_planned: 20000"},
        [(11, "seeds_planned", "must be at most 10000, but got 20000")],
    ),
    "truth": ({11: "numerics: {compile: 1}"}, [(11, "numerics.compile", "must be true or false, but got 1")]),
    "text": ({11: "question: 4"}, [(11, "question", "must be text, but got 4")]),
    "empty text": ({11: "currency: ''"}, [(11, "currency", 'must have a length of at least 1, but got ""')]),
    "long text": ({11: "currency: ABCDEFGHI"}, [(11, "currency", "must have a length of at most 8")]),
    "list": ({4: "student: {model: resnet8, widths: 4}"}, [(4, "student.widths", "must be a list, but got 4")]),
    "short list": (
        {4: "student: {model: resnet8, widths: [4]}"},
        [(4, f"student.widths[{place}]", "is required") for place in (1, 2, 3)],
    ),
    "block": ({11: "bank: 3"}, [(11, "bank", "must be a mapping, but got 3")]),
    "number or word": (
        {11: "resources: {gpu: x, cpu: y}"},
        [
            (11, "resources.cpu", 'must be a number, but got "y"'),
            (11, "resources.gpu", 'must be a number or one of auto, but got "x"'),
        ],
    ),
    "number as text": (
        {5: "recipe: {epochs: '3'}"},
        [(5, "recipe.epochs", 'must be a whole number, but got "3"')],
    ),
    "fraction": (
        {5: "recipe: {epochs: 3.5}"},
        [(5, "recipe.epochs", "must be a whole number, but got 3.5")],
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
    "cuda without a GPU": (
        {11: "numerics: {device: cuda}\nresources: {gpu: 0}"},
        [(12, "resources", "device cuda needs a share of a GPU, but resources.gpu is 0")],
    ),
    "no teacher": ({3: "teacher: null"}, [(3, "teacher", "distiller 'kd' needs a teacher")]),
    "teacher left out": ({3: "question: why?"}, [(1, "teacher", "distiller 'kd' needs a teacher")]),
    "teacher from nowhere": (
        {3: "teacher: {model: resnet8}"},
        [(3, "teacher", "either a recipe (train it) or a checkpoint")],
    ),
    "teacher's own recipe": (
        {3: "teacher: {model: resnet8, recipe: {epochs: 0}}"},
        [(3, "teacher.recipe.epochs", "must be at least 1, but got 0")],
    ),
    "study's recipe is at fault once": ({5: "recipe: {epochs: 3, lr: -1}"}, [(5, "recipe.lr", "but got -1")]),
    "recipe lacks epochs": ({5: "recipe: {lr: 0.1}"}, [(5, "recipe.epochs", "is required")]),
    "validation in the paper's protocol": (
        {1: "name: small\nprotocol: paper"},
        [(3, "data.validation", "must be 0, but got 100")],
    ),
    "no validation": ({2: "data: {name: digits, validation: 0}"}, [(2, "data.validation", "must be at least 1")]),
    "seeds": ({7: "seeds: 0"}, [(7, "seeds", "must be a number of seeds from 1 to 10000")]),
    "seeds twice": ({7: "seeds: [1, 2, 1]"}, [(7, "seeds", "a list of different whole numbers, but got [1, 2, 1]")]),
    "no seeds": ({7: "seeds: []"}, [(7, "seeds", "but got []")]),
    "fractional seeds": ({7: "seeds: [0.5]"}, [(7, "seeds", "but got [0.5]")]),
    "fewer planned": ({11: "seeds_planned: 2"}, [(11, "seeds_planned", "at least the number of seeds, 3, but got 2")]),
    "confirm": ({11: "confirm: [for]"}, [(11, "confirm", "must be some of the arms: four; did you mean 'four'?")]),
    "baseline": ({11: "baseline: for"}, [(11, "baseline", "must be one of the arms: four; did you mean 'four'?")]),
    "later: search": ({11: "search: {by: tpe}"}, [(11, "search", "unknown key")]),
    "later: workers": ({11: "resources: {workers: 2}"}, [(11, "resources.workers", "unknown key")]),
    "grid outside arms": (
        {5: "recipe: {epochs: {grid: [1, 2]}}", 7: "seeds: {grid: [1]}"},
        [(5, "recipe.epochs", "a grid may stand only"), (7, "seeds", "a grid may stand only")],
    ),
    "no arms": ({9: "arms: {}", 10: ""}, [(9, "arms", "must have a length of at least 1, but got {}")]),
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
        [(11, "arms.four.temperature.value", "is required: T")],
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
    "study lacks what an arm states": (
        {6: "question: why?", 11: "  b: {distiller: {name: none}, recipe: {lr: 0.1}}"},
        [(1, "distiller", "is required")],
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
        [(10, "arms.four.temperature.value.grid[2]", "no value twice, but got 4.0 again")],
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
    assert lines[0].startswith(f"{tmp_path / 'study.yaml'}:1: name: must match ^[a-z0-9]")
    assert lines[-2].startswith("--set recipe.momentum=2: recipe.momentum: must be less than 1, but got 2")


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


ANYWHERE = "a grid may stand only at a scalar of an arm"


@pytest.mark.parametrize(
    ("changes", "key", "value", "message"),
    [
        ({"margin": {"grid": [1]}}, "margin", {"grid": [1]}, ANYWHERE),
        ({"data": "digits"}, "data", "digits", f'one of {", ".join(DATASETS)}, but got "digits"'),
        ({"data": {"name": "digit"}}, "data.name", "digit", "but got \"digit\"; did you mean 'digits'?"),
        ({"student": {"modle": "resnet8"}}, "student.modle", "resnet8", "unknown key; did you mean 'model'?"),
        ({"xyz": 5}, "xyz", 5, "unknown key. Known: name, question, protocol, data, "),
        ({"seeds": [True]}, "seeds", [True], "a list of different whole numbers, but got [true]"),
        ({"seeds": "8"}, "seeds", "8", 'a list of different whole numbers, but got "8"'),
        ({"arms": {"A": {"temperature": {"kind": "global"}}}}, "arms.A", "A", "the name of an arm must match "),
        ({"arms": {"a": 4}}, "arms.a", 4, "recipe, distiller, temperature, curriculum, but got 4"),
        ({"arms": {"a": {"data": 1}}}, "arms.a.data", 1, "'data', only student, recipe, distiller, temperature, curri"),
        ({"arms": {"a": {"xyz": 3}}}, "arms.a.xyz", 3, "unknown key. Known: student, recipe, "),
        ({"arms": {"a": {"grid": [1]}}}, "arms.a.grid", [1], ANYWHERE),
        ({"arms": {"a": {"recipe": {"preset": grid("b")}}}}, "arms.a.recipe.preset", grid("b"), "a preset must be one"),
        ({"arms": {"a": {"recipe": {"lr": {"grid": 3}}}}}, "arms.a.recipe.lr", 3, "at least one value, but got 3"),
        ({"arms": {"a": {"recipe": {"lr": grid(1, 1)}}}}, "arms.a.recipe.lr.grid[1]", 1, "twice, but got 1 again"),
        ({"arms": {"a": {"recipe": {"lr": {"grid": [1], "x": 2}}}}}, "arms.a.recipe.lr.grid", [1], f"{ANYWHERE}, with"),
    ],
)
def test_a_fault_holds_its_key_value_and_rule(changes: dict[str, Any], key: str, value: Any, message: str) -> None:
    with pytest.raises(SpecError) as caught:
        from_mapping(plain(**changes))
    found = {fault.key: fault for fault in caught.value.faults}
    assert found[key].value == value
    assert message in found[key].message
    assert not found[key].message.startswith("Value error")


def test_values_are_shown_as_in_a_file_and_shortened_to_sixty_characters() -> None:
    assert show({"λ": [True, None, 0.5]}) == '{"λ": [true, null, 0.5]}'
    assert show(Path("teacher.pth")) == '"teacher.pth"'
    assert show("x" * 58) == '"' + "x" * 58 + '"'
    assert show("x" * 59) == '"' + "x" * 58 + "…"


def test_a_mapping_has_the_same_faults_as_a_file(tmp_path: Path) -> None:
    for changes, _ in FAULTS.values():
        text = file_with(changes)
        parsed = document.parse(text)
        if parsed.faults:
            continue  # what the writing of a file can say wrong, a mapping can't
        with pytest.raises(SpecError) as of_file:
            read(tmp_path, text)
        with pytest.raises(SpecError) as of_mapping:
            from_mapping(parsed.data)
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
