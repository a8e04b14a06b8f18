"""Other ways to set a temperature against their authors' numbers, loss and gradient."""

from collections.abc import Callable

import pytest
import torch
from torch import Tensor

from tests.reference import cases
from tests.reference.checks import close, gradients
from trainables.temperatures.asymmetric import asymmetric_loss
from trainables.temperatures.base import kd_loss
from trainables.temperatures.dtkd import dtkd_loss
from trainables.temperatures.norm import norm_loss
from trainables.temperatures.standardized import standardized
from trainables.temperatures.ttm import ttm_divergence
from trainables.temperatures.wttm import power_sum

Rival = Callable[[Tensor, Tensor, cases.Case], Tensor]


def standardized_kd(student: Tensor, teacher: Tensor, case: cases.Case) -> Tensor:
    return kd_loss(standardized(student), standardized(teacher), cases.tensor(case, "temperature"))


def norm(student: Tensor, teacher: Tensor, case: cases.Case) -> Tensor:
    return norm_loss(student, teacher, float(case["tau"]))[0]


def dtkd(student: Tensor, teacher: Tensor, case: cases.Case) -> Tensor:
    return dtkd_loss(student, teacher, float(case["reference_temperature"]))[0]


def ttm(student: Tensor, teacher: Tensor, case: cases.Case) -> Tensor:
    return ttm_divergence(student, teacher, float(case["power"])).mean()


def wttm(student: Tensor, teacher: Tensor, case: cases.Case) -> Tensor:
    power = float(case["power"])
    return (power_sum(teacher, power) * ttm_divergence(student, teacher, power)).mean()


def asymmetric(student: Tensor, teacher: Tensor, case: cases.Case) -> Tensor:
    taus = float(case["label_tau"]), float(case["other_tau"])
    return asymmetric_loss(student, teacher, cases.tensor(case, "target"), *taus)


RIVALS: dict[str, Rival] = {
    "standardized": standardized_kd,
    "norm": norm,
    "dtkd": dtkd,
    "ttm": ttm,
    "wttm": wttm,
    "asymmetric": asymmetric,
}


@pytest.mark.parametrize("family", RIVALS)
def test_a_rivals_loss_and_gradient_are_its_authors(family: str) -> None:
    for name, case in cases.cases("rivals.npz", rf"{family}\d+"):
        student = cases.tensor(case, "student_logits", grad=True)
        value = RIVALS[family](student, cases.tensor(case, "teacher_logits"), case)
        torch.autograd.backward(value)
        close(value, case["loss"], cases.VALUES, f"{name}/loss")
        gradients(name, case, {"student": student}, cases.GRADIENTS)


def test_every_family_of_rivals_in_the_file_is_compared() -> None:
    families = {name.rstrip("0123456789") for name, _ in cases.cases("rivals.npz", ".*")}
    assert families == set(RIVALS)
