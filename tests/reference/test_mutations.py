"""The reference checks can fail: deliberately wrong variants of the method do not pass them."""

from collections.abc import Callable

import pytest
import torch
from torch import Tensor

from tests.reference.checks import check_dkd, check_global_temperature, check_kd, check_schedules
from trainables.curriculum import Cosine, Linear
from trainables.distillers.dkd import dkd_loss
from trainables.temperatures import base, global_t
from trainables.temperatures.base import kd_loss
from trainables.temperatures.reversal import reverse_gradient

Factor = Callable[[Tensor], Tensor]

WRONG_FACTORS: dict[str, Factor] = {
    "none": lambda temperature: temperature**-2,
    "T": lambda temperature: temperature**-1,
    "T cubed": lambda temperature: temperature,
    "T squared, constant in the gradient": lambda temperature: (temperature.detach() / temperature) ** 2,
}


def authors(coefficients: list[float], epoch: int) -> float:
    return -coefficients[epoch - 1]


@pytest.fixture(params=WRONG_FACTORS)
def wrong(request: pytest.FixtureRequest) -> Factor:
    return WRONG_FACTORS[request.param]


def kd_with(wrong: Factor) -> Callable[[Tensor, Tensor, Tensor], Tensor]:
    def loss(student: Tensor, teacher: Tensor, temperature: Tensor) -> Tensor:
        # Sample by sample, so that the factor is wrong per sample too.
        each = temperature.reshape(-1).expand(len(student))
        losses = [
            kd_loss(student[i : i + 1], teacher[i : i + 1], each[i]) * wrong(each[i]) for i in range(len(student))
        ]
        return torch.stack(losses).mean()

    return loss


def test_the_checks_pass_for_a_factor_that_is_right() -> None:
    right = kd_with(torch.ones_like)
    check_kd(right, r"kd\d+")
    check_kd(right, r"kd_instance\d+", values=1e-3, slopes=1e-3)


@pytest.mark.parametrize("family", [r"kd\d+", r"kd_instance\d+"])
def test_a_wrong_factor_of_the_temperature_fails(wrong: Factor, family: str) -> None:
    with pytest.raises(AssertionError, match="differs"):
        check_kd(kd_with(wrong), family, values=1e-3, slopes=1e-3)


def test_a_wrong_factor_of_the_temperature_in_dkd_fails(wrong: Factor) -> None:
    def loss(
        student: Tensor, teacher: Tensor, labels: Tensor, temperature: Tensor, alpha: float, beta: float
    ) -> Tensor:
        return dkd_loss(student, teacher, labels, temperature, alpha, beta) * wrong(temperature).mean()

    with pytest.raises(AssertionError, match="differs"):
        check_dkd(loss)


def test_a_wrong_factor_changes_the_path_of_the_learned_temperature(
    monkeypatch: pytest.MonkeyPatch, wrong: Factor
) -> None:
    check_global_temperature(authors)
    monkeypatch.setattr(base, "kd_loss", kd_with(wrong))
    with pytest.raises(AssertionError, match="differs"):
        check_global_temperature(authors)


def test_a_flipped_sign_of_the_reversal_fails(monkeypatch: pytest.MonkeyPatch) -> None:
    def flipped(tensor: Tensor, strength: float) -> Tensor:
        return reverse_gradient(tensor, -strength)

    monkeypatch.setattr(global_t, "reverse_gradient", flipped)
    with pytest.raises(AssertionError, match="differs"):
        check_global_temperature(authors)


def test_no_reversal_fails(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(global_t, "reverse_gradient", lambda tensor, strength: tensor)
    with pytest.raises(AssertionError, match="differs"):
        check_global_temperature(authors)


@pytest.mark.parametrize("shift", [-1, 1])
def test_lambda_shifted_by_an_epoch_changes_the_path_of_the_learned_temperature(shift: int) -> None:
    def shifted(coefficients: list[float], epoch: int) -> float:
        at = epoch - 1 + shift
        return -coefficients[min(at, len(coefficients) - 1)] if at >= 0 else 0.0

    with pytest.raises(AssertionError, match="differs"):
        check_global_temperature(shifted)


@pytest.mark.parametrize("shift", [-1, 1])
@pytest.mark.parametrize(("kind", "curriculum"), [("cosine", Cosine), ("linear", Linear)])
def test_a_schedule_shifted_by_an_epoch_fails(
    monkeypatch: pytest.MonkeyPatch, kind: str, curriculum: type[Cosine] | type[Linear], shift: int
) -> None:
    right = curriculum.strength
    check_schedules(kind, until=lambda loops: loops - 1)
    monkeypatch.setattr(curriculum, "strength", lambda self, epoch: right(self, epoch + shift))
    with pytest.raises(AssertionError, match="λ is"):
        check_schedules(kind, until=lambda loops: loops - 1)
