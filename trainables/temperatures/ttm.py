"""Transformed teacher matching: a softened teacher, and a student without temperature."""

# B batch, C classes

from typing import ClassVar, Literal

import torch
from pydantic import Field
from torch import Tensor

from trainables.temperatures.base import Temperature, TemperatureOptions, TrainingProgress, Weights, softened_divergence


def ttm_divergence(student: Tensor, teacher: Tensor, power: float) -> Tensor:
    """KL(q ‖ softmax(s)) of each sample, q proportional to softmax(t)^γ, which is softmax(γ · t).

    Source: Zheng and Yang, ICLR 2024.

    Args:
        student: logits s, shape (B, C).
        teacher: logits t, shape (B, C).
        power: γ, 1 over the teacher's temperature.

    Returns:
        Shape (B, 1), float32.
    """
    student = student.float()
    one = torch.ones((), device=student.device)
    return softened_divergence(student, teacher.float() * power, one, one)


class TTMOptions(TemperatureOptions):
    """The teacher is softened by the power γ, the student is not (Zheng and Yang 2024).

    Published with ce_weight 1 and kd_weight 45 at the distiller.
    """

    published: ClassVar[Weights | None] = Weights(ce_weight=1.0, kd_weight=45.0)

    kind: Literal["ttm"] = "ttm"
    power: float = Field(0.1, title="γ", ge=0.001, le=100, description="γ: the power; 0.1 is a teacher at T = 10.")

    def build(self, classes: int) -> Temperature:
        return TTMTemperature(self)


class TTMTemperature(Temperature):
    """The student has no temperature: ``seen`` stays None."""

    def __init__(self, options: TTMOptions) -> None:
        super().__init__()
        self.options = options

    def kd_term(self, student: Tensor, teacher: Tensor, labels: Tensor, progress: TrainingProgress) -> Tensor:
        return ttm_divergence(student, teacher, self.options.power).mean()
