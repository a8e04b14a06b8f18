"""What is checked before a study runs: networks, the teacher's file, the data set."""

from pathlib import Path
from typing import Any

import pytest
import torch

from ctkd_study import Study, StudyError
from ctkd_study.launch.inline import InlineRunner
from ctkd_study.plan.due import Plan, make_plan
from ctkd_study.plan.preflight import blaming, check_networks, faulty_arms, known_sizes, read_data
from ctkd_study.spec import from_mapping
from tests.support import settings
from tests.support.data_files import write_cifar
from tests.support.studies import plain
from trainables.data import DATASETS

FOUR = {"temperature": {"kind": "fixed", "value": 4}}
SMALL: dict[str, Any] = {"student": settings.STUDENT, "teacher": settings.TEACHER}


def plan_of(**changes: Any) -> Plan:
    return make_plan(from_mapping(plain(**{**SMALL, **changes})))


def refusal(plan: Plan, read: bool = False) -> str:
    check = read_data if read else check_networks
    with pytest.raises(StudyError) as refused:
        check(plan)
    return str(refused.value)


@pytest.mark.parametrize("arm", ["first", "second"])
def test_a_student_that_cannot_take_the_images_is_refused_with_its_arm(arm: str) -> None:
    arms = {"first": FOUR, "second": FOUR}
    wrong = {**FOUR, "student": {"model": "MobileNetV2"}}  # digits are too small for it
    assert refusal(plan_of(arms={**arms, arm: wrong})).startswith(f"arm {arm}: ")
    check_networks(plan_of(arms=arms))


def test_a_teacher_that_cannot_take_the_images_is_refused() -> None:
    teacher = {"model": "MobileNetV2", "recipe": {"epochs": 1}}
    alone = {"distiller": {"name": "none"}}
    assert refusal(plan_of(teacher=teacher, arms={"alone": alone, "four": FOUR})).startswith("arm four: ")
    check_networks(plan_of(teacher=teacher, arms={"alone": alone}))


def checkpoint(folder: Path, classes: int = 10, channels: int = 1) -> dict[str, Any]:
    """A teacher's file with the weights of a network for some classes and channels."""
    network = from_mapping(plain(**SMALL)).student.build(classes, channels, 8)
    torch.save(network.state_dict(), folder / "teacher.pth")
    return {**settings.STUDENT, "checkpoint": str(folder / "teacher.pth")}


def test_the_teachers_file_is_loaded(tmp_path: Path) -> None:
    alone = {"distiller": {"name": "none"}}
    arms = {"alone": alone, "four": FOUR}
    check_networks(plan_of(arms=arms, teacher=checkpoint(tmp_path)))
    for wrong in ({"classes": 11}, {"channels": 3}):
        plan = plan_of(arms=arms, teacher=checkpoint(tmp_path, **wrong))
        assert refusal(plan).startswith(f"teacher: {tmp_path}/teacher.pth does not fit ")
    check_networks(plan_of(arms={"alone": alone}, teacher=checkpoint(tmp_path, classes=11)))
    (tmp_path / "teacher.pth").unlink()
    assert refusal(plan_of(arms=arms, teacher={**settings.STUDENT, "checkpoint": str(tmp_path / "teacher.pth")}))


@pytest.mark.parametrize("read", [False, True])
@pytest.mark.parametrize(
    ("data", "expected"),
    [
        ({"validation": 1000}, "data: validation must leave training examples, but got 1000 of 1000"),
        (
            {"validation": 100, "train_examples": 901},
            "data: train_examples must be at most 900 (1000 - validation 100), but got 901",
        ),
    ],
)
def test_too_few_examples_are_refused(read: bool, data: dict[str, Any], expected: str) -> None:
    assert refusal(plan_of(data={"name": "digits", **data}), read) == expected


def test_just_enough_examples_are_enough() -> None:
    check_networks(plan_of(data={"name": "digits", "validation": 999}))
    just_enough = plan_of(data={"name": "digits", "validation": 100, "train_examples": 900})
    assert len(read_data(just_enough)[0].split.student) == 900
    check_networks(just_enough)


def test_only_a_run_looks_for_the_data_set(tmp_path: Path) -> None:
    plan = plan_of(data={"name": "cifar100", "validation": 5000, "folder": str(tmp_path)})
    check_networks(plan)
    missing = f"data: CIFAR-100 must lie in {tmp_path} as one of "
    assert refusal(plan, read=True).startswith(missing)
    with pytest.raises(StudyError, match=missing):
        Study.from_spec(plan.spec).run(str(tmp_path / "results"), runner=InlineRunner())
    assert list(tmp_path.iterdir()) == []


def test_files_of_the_users_own_are_measured(tmp_path: Path) -> None:
    write_cifar(tmp_path, "cifar10", train=250)
    data = {"name": "cifar10", "folder": str(tmp_path), "verify": False, "validation": 250}
    assert refusal(plan_of(data=data)) == "data: validation must leave training examples, but got 250 of 250"


@pytest.mark.parametrize(
    ("error", "expected"),
    [
        (ValueError("a wrong value"), "arm x: ValueError: a wrong value (HERE)"),
        (FileNotFoundError("no file"), "arm x: FileNotFoundError: no file (HERE)"),
        (RuntimeError("shapes"), "arm x: RuntimeError: shapes (HERE)"),
        (StudyError("said already"), "said already"),
    ],
)
def test_every_error_is_blamed_on_its_part_and_on_the_line_of_a_plug_in(error: Exception, expected: str) -> None:
    def plug_in() -> None:
        raise error

    with pytest.raises(StudyError) as refused, blaming("arm x"):
        plug_in()
    here = f"{__file__}:{plug_in.__code__.co_firstlineno + 1} in plug_in"
    assert str(refused.value) == expected.replace("HERE", here)


def test_an_error_that_is_written_for_users_is_given_as_it_is(tmp_path: Path) -> None:
    plan = plan_of(data={"name": "cifar10", "validation": 10, "folder": str(tmp_path)})
    said = refusal(plan, read=True)
    assert said.startswith(f"data: CIFAR-10 must lie in {tmp_path} as one of ")
    assert ".py" not in said


def test_every_arm_that_cannot_be_built_is_named() -> None:
    wrong = {**FOUR, "student": {"model": "MobileNetV2"}}
    arms = {"first": wrong, "second": FOUR, "third": {**wrong, "temperature": {"kind": "fixed", "value": 2}}}
    plan = plan_of(arms=arms)
    found = faulty_arms(plan, known_sizes(plan))
    assert list(found) == ["first", "third"]
    assert refusal(plan) == "\n".join(found.values())


def test_what_stops_the_process_is_blamed_on_nothing() -> None:
    with pytest.raises(KeyboardInterrupt), blaming("arm x"):
        raise KeyboardInterrupt


def test_every_data_set_of_this_project_declares_its_sizes() -> None:
    """A plan needs no download."""
    for name in DATASETS:
        assert DATASETS.parse({"name": name, "validation": 10}).sizes() is not None, name
