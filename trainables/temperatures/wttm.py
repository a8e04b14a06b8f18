"""Weighted transformed teacher matching: samples weigh more if the teacher is less sure of them."""

# B batch, C classes

from typing import ClassVar, Literal

from pydantic import Field
from torch import Tensor

from trainables.temperatures.base import Temperature, TemperatureOptions, TrainingProgress, Weights
from trainables.temperatures.ttm import ttm_divergence


def power_sum(teacher: Tensor, power: float) -> Tensor:
    """Return U = Σ softmax(t)^γ of each sample, shape (B, 1): from 1 (teacher certain) to C^(1 - γ) (uniform).

    Source: Zheng and Yang, ICLR 2024.

    Args:
        teacher: logits t, shape (B, C).
        power: γ.
    """
    return (power * teacher.float().log_softmax(dim=1)).exp().sum(dim=1, keepdim=True)


class WTTMOptions(TemperatureOptions):
    """Transformed teacher matching, each sample weighted by U (Zheng and Yang 2024).

    Published with ce_weight 1 and kd_weight 45 at the distiller.
    """

    published: ClassVar[Weights | None] = Weights(ce_weight=1.0, kd_weight=45.0)

    kind: Literal["wttm"] = "wttm"
    power: float = Field(0.1, title="γ", ge=0.001, le=1, description="γ: the power; 0.1 is a teacher at T = 10.")

    def build(self, classes: int) -> Temperature:
        return WTTMTemperature(self)


class WTTMTemperature(Temperature):
    """The student has no temperature: ``seen`` stays None."""

    def __init__(self, options: WTTMOptions) -> None:
        super().__init__()
        self.options = options

    def kd_term(self, student: Tensor, teacher: Tensor, labels: Tensor, progress: TrainingProgress) -> Tensor:
        power = self.options.power
        return (power_sum(teacher, power) * ttm_divergence(student, teacher, power)).mean()
