"""The learned global temperature against the authors' path of it, and the sign of the gradient reversal."""

import pytest
import torch
from torch import Tensor

from tests.reference import cases
from tests.reference.checks import check_global_temperature
from trainables.temperatures import TEMPERATURES, Temperature, TrainingProgress
from trainables.temperatures.base import kd_loss
from trainables.temperatures.reversal import reverse_gradient

Logits = tuple[Tensor, Tensor, Tensor]


def test_the_global_temperature_takes_the_authors_path() -> None:
    check_global_temperature(lambda coefficients, epoch: -coefficients[epoch - 1])


@pytest.fixture(params=[name for name, _ in cases.cases("losses.npz", r"kd\d+")])
def logits(request: pytest.FixtureRequest) -> Logits:
    case = dict(cases.cases("losses.npz", r"kd\d+"))[request.param]
    student, teacher = cases.tensor(case, "student_logits"), cases.tensor(case, "teacher_logits")
    return student, teacher, torch.zeros(len(student), dtype=torch.int64)


def learned(kind: str, logits: Logits) -> Temperature:
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(1)
        return TEMPERATURES.parse({"kind": kind}).build(logits[0].shape[1])


def exact_loss(temperature: Temperature, logits: Logits) -> float:
    """Hinton's loss in float64 at the T that the temperature now has: in float32 its slope would drown."""
    student, teacher, labels = logits
    temperature.kd_term(student, teacher, labels, TrainingProgress(1, 1))
    assert temperature.seen is not None
    value = temperature.seen.double().reshape(-1, 1)
    p, q = torch.softmax(teacher.double() / value, dim=1), torch.softmax(student.double() / value, dim=1)
    return float((value.squeeze(1) ** 2 * (p * (p.log() - q.log())).sum(dim=1)).mean())


def step(temperature: Temperature, logits: Logits, strength: float, lr: float, weight_decay: float = 0.0) -> None:
    optimiser = torch.optim.SGD(temperature.parameters(), lr=lr, weight_decay=weight_decay)
    torch.autograd.backward(temperature.kd_term(*logits, TrainingProgress(1, 1, strength)))
    optimiser.step()


@pytest.mark.parametrize("strength", [0.3, 1.0, 5.0])
def test_the_gradient_of_p_is_minus_lambda_times_the_finite_difference(logits: Logits, strength: float) -> None:
    temperature = learned("global", logits)
    torch.autograd.backward(temperature.kd_term(*logits, TrainingProgress(1, 1, strength)))
    (parameter,) = temperature.parameters()
    assert parameter.grad is not None
    width, losses = 0.02, []
    for sign in (1, -2):
        with torch.no_grad():
            parameter.add_(sign * width)
        losses.append(exact_loss(temperature, logits))
    slope = (losses[0] - losses[1]) / (2 * width)
    assert abs(slope) > 0
    assert float(parameter.grad) == pytest.approx(-strength * slope, rel=2e-2)


@pytest.mark.parametrize("kind", ["global", "instance"])
def test_with_lambda_above_zero_a_step_raises_the_distillation_loss_in_the_temperature(
    logits: Logits, kind: str
) -> None:
    temperature = learned(kind, logits)
    before = exact_loss(temperature, logits)
    step(temperature, logits, strength=1.0, lr=1e-2)
    assert exact_loss(temperature, logits) > before


@pytest.mark.parametrize("kind", ["global", "instance"])
def test_with_lambda_zero_the_temperature_moves_by_weight_decay_alone(logits: Logits, kind: str) -> None:
    temperature = learned(kind, logits)
    before = [parameter.detach().clone() for parameter in temperature.parameters()]
    step(temperature, logits, strength=0.0, lr=1e-3)
    assert all(torch.equal(a, b) for a, b in zip(temperature.parameters(), before, strict=True))
    step(temperature, logits, strength=0.0, lr=1e-3, weight_decay=0.1)
    for parameter, old in zip(temperature.parameters(), before, strict=True):
        torch.testing.assert_close(parameter.detach(), old * (1 - 1e-3 * 0.1))


def test_reversal_leaves_the_students_gradient_alone(logits: Logits) -> None:
    student = logits[0].clone().requires_grad_()
    temperature = learned("global", logits)
    torch.autograd.backward(temperature.kd_term(student, logits[1], logits[2], TrainingProgress(1, 1, 1.0)))
    plain = logits[0].clone().requires_grad_()
    assert temperature.seen is not None
    torch.autograd.backward(kd_loss(plain, logits[1], temperature.seen))
    assert student.grad is not None
    torch.testing.assert_close(student.grad, plain.grad)


def test_reversal_passes_its_input_on_unchanged() -> None:
    tensor = torch.tensor([1.0, -2.0], requires_grad=True)
    torch.autograd.backward((reverse_gradient(tensor, 0.5) * torch.tensor([3.0, 4.0])).sum())
    assert torch.equal(reverse_gradient(tensor, 0.5), tensor)
    assert tensor.grad is not None
    assert tensor.grad.tolist() == [-1.5, -2.0]
