"""The checks against the reference vectors, each taking the implementation that it checks.

So the same check can be run on the product, which must pass, and on deliberately wrong variants, which must not.
"""

import re
from collections.abc import Callable

import torch
from torch import Tensor

from tests.reference import cases
from trainables.curriculum import CURRICULA
from trainables.temperatures import TEMPERATURES, TrainingProgress

Loss = Callable[[Tensor, Tensor, Tensor], Tensor]
DKDLoss = Callable[[Tensor, Tensor, Tensor, Tensor, float, float], Tensor]
Strength = Callable[[list[float], int], float]


def close(actual: Tensor | float, expected: object, tolerance: float, what: str) -> None:
    difference = cases.difference(actual, expected)  # type: ignore[arg-type]
    assert difference < tolerance, f"{what} differs by {difference:.2e}, tolerance {tolerance:.0e}"


def gradients(name: str, case: cases.Case, inputs: dict[str, Tensor], tolerance: float) -> None:
    """Compares every ``grad_*`` field with the gradient of the input that it names: one of the inputs' keys."""
    for field in case:
        if field.startswith("grad_"):
            grad = inputs[field.removeprefix("grad_")].grad
            assert grad is not None, f"{name}/{field}: there is no gradient"
            close(grad, case[field], tolerance, f"{name}/{field}")


def check_kd(loss: Loss, family: str, values: float = cases.VALUES, slopes: float = cases.GRADIENTS) -> None:
    """Value and gradients of a distillation loss (student, teacher, temperature) -> scalar; no gradient reversal."""
    for name, case in cases.cases("losses.npz", family):
        student = cases.tensor(case, "student_logits", grad=True)
        temperature = cases.tensor(case, "temperature", grad=True)
        value = loss(student, cases.tensor(case, "teacher_logits"), temperature)
        torch.autograd.backward(value)
        close(value, case["loss"], values, f"{name}/loss")
        gradients(name, case, {"student": student, "temperature": temperature}, slopes)


def check_dkd(loss: DKDLoss) -> None:
    """Value and gradients of decoupled distillation (student, teacher, labels, temperature, alpha, beta) -> scalar."""
    for name, case in cases.cases("losses.npz", r"dkd\d+"):
        student = cases.tensor(case, "student_logits", grad=True)
        temperature = cases.tensor(case, "temperature", grad=True)
        labels, weights = cases.tensor(case, "target"), (float(case["alpha"]), float(case["beta"]))
        value = loss(student, cases.tensor(case, "teacher_logits"), labels, temperature, *weights)
        torch.autograd.backward(value)
        close(value, case["loss"], cases.VALUES, f"{name}/loss")
        gradients(name, case, {"student": student, "temperature": temperature}, cases.GRADIENTS)


def check_global_temperature(strength: Strength) -> None:
    """The path of the learned global temperature, one SGD step an epoch on fixed logits.

    Args:
        strength: λ from the file's coefficients (-λ, one an epoch) and the epoch, counted from 1.
    """
    for name, case in cases.cases("global_temperature.npz", r"global_temperature\d+"):
        span = {"tau_init": float(case["t_start"]), "tau_range": float(case["t_end"])}
        temperature = TEMPERATURES.parse({"kind": "global", **span}).build(case["student_logits"].shape[1])
        optimiser = torch.optim.SGD(
            temperature.parameters(),
            lr=float(case["lr"]),
            momentum=float(case["momentum"]),
            weight_decay=float(case["weight_decay"]),
        )
        student, teacher = cases.tensor(case, "student_logits"), cases.tensor(case, "teacher_logits")
        coefficients: list[float] = case["grl_coefficient"].tolist()
        seen, losses, after = [], [], []
        for epoch in range(1, len(coefficients) + 1):
            progress = TrainingProgress(epoch, len(coefficients), strength(coefficients, epoch))
            loss = temperature.kd_term(student, teacher, torch.zeros(len(student), dtype=torch.int64), progress)
            optimiser.zero_grad()
            torch.autograd.backward(loss)
            optimiser.step()
            assert temperature.seen is not None
            seen.append(float(temperature.seen))
            losses.append(float(loss.detach()))
            after.append(float(next(temperature.parameters()).detach()))
        for field, path in (("temperature", seen), ("kd_loss", losses), ("parameter_after_step", after)):
            close(torch.tensor(path), case[field], cases.VALUES, f"{name}/{field}")


def check_schedules(kind: str, until: Callable[[int], int]) -> None:
    """A kind of curriculum against the authors' schedule, whose keys read ``cosine max=0 min=-1 loops=10``.

    Args:
        kind: of the curriculum.
        until: the last epoch to compare, from the schedule's length in epochs.
    """
    compared = 0
    for key, coefficients in cases.load_json("schedules.json").items():
        parts = re.fullmatch(r"(\w+) max=(\S+) min=(\S+) loops=(\d+)", key)
        assert parts, f"schedules.json has a key that cannot be read: {key!r}"
        if parts[1] != kind:
            continue
        start, end, loops = -float(parts[2]), -float(parts[3]), int(parts[4])
        curriculum = CURRICULA.parse({"kind": kind, "start": start, "end": end, "epochs": loops})
        epochs = min(until(loops), len(coefficients))
        for epoch in range(1, epochs + 1):
            expected, actual = -coefficients[epoch - 1], curriculum.strength(epoch)
            assert abs(actual - expected) < 1e-9 * max(end, 1), f"{key}: λ is {actual} in epoch {epoch}, not {expected}"
        compared += 1
    assert compared, f"schedules.json has no schedule of kind {kind!r}"
