"""Distillation of standardized logits: the student need not match the teacher's mean and spread."""

# B batch, C classes

from typing import ClassVar, Literal

import torch
from pydantic import Field
from torch import Tensor

from trainables.temperatures.base import Temperature, TemperatureOptions, TrainingProgress, Weights, kd_loss

_SMALLEST_STD = 1e-3


def row_std(logits: Tensor) -> Tensor:
    """Return the standard deviation of each row (divisor C - 1), at least 1e-3, shape (B, 1).

    A smaller spread is rounding noise: such a row is not scaled up, and gets no gradient through its spread.
    """
    return logits.var(dim=1, keepdim=True).clamp_min(_SMALLEST_STD**2).sqrt()


def standardized(logits: Tensor) -> Tensor:
    """Return (x - mean) / (1e-7 + std) of each row, shape (B, C).

    Source: Sun et al., CVPR 2024.
    """
    return (logits - logits.mean(dim=1, keepdim=True)) / (1e-7 + row_std(logits))


class StandardizedOptions(TemperatureOptions):
    """Both networks' logits are standardized per sample, then distilled at `value` (Sun et al. 2024).

    Published with ce_weight 0.1 and kd_weight 9 at the distiller.
    """

    published: ClassVar[Weights | None] = Weights(ce_weight=0.1, kd_weight=9.0)

    kind: Literal["standardized"] = "standardized"
    value: float = Field(2.0, title="T", ge=0.01, le=1000, description="The temperature of the standardized logits.")

    def build(self, classes: int) -> Temperature:
        return StandardizedTemperature(self)


class StandardizedTemperature(Temperature):
    """``seen`` is the divisor of the student's logits: T times their standard deviation."""

    def __init__(self, options: StandardizedOptions) -> None:
        super().__init__()
        self.register_buffer("constant", torch.tensor(options.value, dtype=torch.float32), persistent=False)

    def kd_term(self, student: Tensor, teacher: Tensor, labels: Tensor, progress: TrainingProgress) -> Tensor:
        student, teacher, constant = student.float(), teacher.float(), self.get_buffer("constant")
        self.seen = constant * row_std(student.detach()).squeeze(1)
        return kd_loss(standardized(student), standardized(teacher), constant)
