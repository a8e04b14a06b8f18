"""Annealing distillation: first regression on the teacher's scaled logits, then cross-entropy alone."""

# B batch, C classes

import math
from typing import ClassVar, Literal

import torch
import torch.nn.functional as F
from pydantic import Field
from torch import Tensor

from trainables.temperatures.base import Temperature, TemperatureOptions, TrainingProgress, Use, Weights


def annealing_loss(student: Tensor, teacher: Tensor, scale: float) -> Tensor:
    """Mean squared error between the student's logits and the teacher's times ``scale``.

    Source: Jafari et al., EACL 2021.

    Args:
        student: logits, shape (B, C).
        teacher: logits, shape (B, C).
        scale: above 0, up to 1; 1 over the temperature.

    Returns:
        A scalar, float32, averaged over all logits.
    """
    return F.mse_loss(student.float(), teacher.float() * scale)


class AnnealingOptions(TemperatureOptions):
    """First MSE with the teacher's logits times k / levels, k = 1, 2 ... in equal slices, then cross-entropy alone.

    It decides by phase which term of the loss is there (Jafari et al. 2021), so it serves distiller `kd` alone.
    Published with ce_weight 1 and kd_weight 1 at the distiller.
    """

    serves: ClassVar[frozenset[Use]] = frozenset({"loss"})
    published: ClassVar[Weights | None] = Weights(ce_weight=1.0, kd_weight=1.0)

    kind: Literal["annealing"] = "annealing"
    levels: int = Field(10, ge=1, le=1000, description="How many steps the teacher's logits grow in.")
    ce_share: float = Field(
        1 / 3, ge=0, le=0.9, description="Share of the epochs, at the end, with cross-entropy and nothing else."
    )

    def scale(self, epoch: int, epochs: int) -> float | None:
        """k / levels in this epoch, counted from 1, of a trial of so many; None in the second phase.

        The first phase has at least one epoch, and its last one has k = levels.
        """
        first_phase = max(epochs - round(self.ce_share * epochs), 1)
        return math.ceil(epoch * self.levels / first_phase) / self.levels if epoch <= first_phase else None

    def build(self, classes: int) -> Temperature:
        return AnnealingTemperature(self)


class AnnealingTemperature(Temperature):
    """Nothing is softened on the student's side: ``seen`` stays None."""

    def __init__(self, options: AnnealingOptions) -> None:
        super().__init__()
        self.options = options

    def kd_term(self, student: Tensor, teacher: Tensor, labels: Tensor, progress: TrainingProgress) -> Tensor:
        scale = self.options.scale(progress.epoch, progress.epochs)
        if scale is None:
            return torch.zeros((), device=student.device)
        return annealing_loss(student, teacher, scale)

    def ce_factor(self, progress: TrainingProgress) -> float:
        return 1.0 if self.options.scale(progress.epoch, progress.epochs) is None else 0.0
