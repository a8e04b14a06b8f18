"""What is checked before a study runs: networks, the teacher's file, the data set."""

from pathlib import Path
from typing import Any

import pytest
import torch

from ctkd_study import Study, StudyError
from ctkd_study.launch.inline import InlineRunner
from ctkd_study.plan.due import Plan, make_plan
from ctkd_study.plan.preflight import blaming, check_networks
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
    with pytest.raises(StudyError) as refused:
        check_networks(plan, read)
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
    check_networks(plan_of(data={"name": "digits", "validation": 100, "train_examples": 900}), read=True)


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
        (ValueError("a wrong value"), "arm x: a wrong value"),
        (FileNotFoundError("no file"), "arm x: no file"),
        (FloatingPointError("train_loss is nan"), "arm x: train_loss is nan"),
        (RuntimeError("shapes"), "arm x: RuntimeError: shapes"),
        (StudyError("said already"), "said already"),
    ],
)
def test_every_error_is_blamed_on_its_part(error: Exception, expected: str) -> None:
    with pytest.raises(StudyError) as refused, blaming("arm x"):
        raise error
    assert str(refused.value) == expected


def test_what_stops_the_process_is_blamed_on_nothing() -> None:
    with pytest.raises(KeyboardInterrupt), blaming("arm x"):
        raise KeyboardInterrupt


def test_every_data_set_of_this_project_declares_its_sizes() -> None:
    """A plan needs no download."""
    for name in DATASETS:
        assert DATASETS.parse({"name": name, "validation": 10}).sizes() is not None, name
