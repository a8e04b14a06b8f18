"""DTKD: dynamic temperatures, which split 2T between the two networks by their largest logits."""

# B batch, C classes

from typing import ClassVar, Literal

import torch
from pydantic import Field
from torch import Tensor

from trainables.temperatures.base import (
    Temperature,
    TemperatureOptions,
    TrainingProgress,
    Weights,
    kd_loss,
    softened_divergence,
)

_SMALLEST_MAXIMUM = 1e-6
_SMALLEST_SHARE = 0.05


def shares(student: Tensor, teacher: Tensor) -> Tensor:
    """Return the student's share of 2T, max s / (max s + max t), clamped to 0.05..0.95, shape (B, 1).

    A largest logit ≤ 0 would make a temperature negative, and a sum near 0 infinite; so both maxima are first clamped
    to at least 1e-6. A clamped value passes no gradient.
    """
    s = student.amax(dim=1, keepdim=True).clamp_min(_SMALLEST_MAXIMUM)
    t = teacher.amax(dim=1, keepdim=True).clamp_min(_SMALLEST_MAXIMUM)
    return (s / (s + t)).clamp(_SMALLEST_SHARE, 1 - _SMALLEST_SHARE)


def dtkd_loss(student: Tensor, teacher: Tensor, temperature: float) -> tuple[Tensor, Tensor]:
    """T_s · T_t · KL(softmax(t / T_t) ‖ softmax(s / T_s)), averaged over the batch; T_s + T_t = 2T.

    Source: Wei and Bai, Dynamic Temperature Knowledge Distillation, 2024.

    Args:
        student: logits s, shape (B, C).
        teacher: logits t, shape (B, C).
        temperature: the reference temperature T.

    Returns:
        The loss, a scalar, float32, and T_s, shape (B, 1).
    """
    student, teacher = student.float(), teacher.float()
    share = shares(student, teacher)
    t_student, t_teacher = 2 * temperature * share, 2 * temperature * (1 - share)
    divergence = softened_divergence(student, teacher, t_student, t_teacher)
    return (t_student * t_teacher * divergence).mean(), t_student


class DTKDOptions(TemperatureOptions):
    """α · T_s · T_t · KL + β · KD(T), growing in over the first epochs (Wei and Bai 2024).

    Published with ce_weight 1 and kd_weight 1 at the distiller: α and β are options of this kind.
    """

    published: ClassVar[Weights | None] = Weights(ce_weight=1.0, kd_weight=1.0)

    kind: Literal["dtkd"] = "dtkd"
    value: float = Field(4.0, title="T", ge=0.01, le=1000, description="The reference temperature T, the mean of both.")
    alpha: float = Field(3.0, ge=0, le=1e6, description="α: weight of the term with two temperatures.")
    beta: float = Field(1.0, ge=0, le=1e6, description="β: weight of plain distillation at T.")
    warmup: int = Field(20, ge=1, le=100_000, description="Both terms are multiplied by min(epoch / warmup, 1).")

    def build(self, classes: int) -> Temperature:
        return DTKDTemperature(self)


class DTKDTemperature(Temperature):
    """``seen`` is the student's T of each sample."""

    def __init__(self, options: DTKDOptions) -> None:
        super().__init__()
        self.options = options
        self.register_buffer("constant", torch.tensor(options.value, dtype=torch.float32), persistent=False)

    def kd_term(self, student: Tensor, teacher: Tensor, labels: Tensor, progress: TrainingProgress) -> Tensor:
        options = self.options
        dynamic, t_student = dtkd_loss(student, teacher, options.value)
        plain = kd_loss(student, teacher, self.get_buffer("constant"))
        self.seen = t_student.detach().squeeze(1)
        return min(progress.epoch / options.warmup, 1.0) * (options.alpha * dynamic + options.beta * plain)
