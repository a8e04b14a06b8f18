"""The base class of distillers that add a loss on features to cross-entropy and distillation."""

from abc import abstractmethod
from typing import ClassVar

import torch.nn.functional as F
from pydantic import Field
from torch import Tensor

from trainables.distillers.base import Batch, Distiller, DistillerOptions, Losses, Needs, require_teacher
from trainables.models.base import Features
from trainables.temperatures.base import Temperature


class FeatureOptions(DistillerOptions):
    """Weights of γ · CE + α · KD(T) + β · other."""

    needs: ClassVar[Needs] = "pooled"

    ce_weight: float = Field(0.1, ge=0, le=1e6, description="γ: weight of the cross-entropy with the labels.")
    kd_weight: float = Field(0.9, ge=0, le=1e6, description="α: weight of the distillation loss at T.")
    weight: float = Field(1.0, ge=0, le=1e6, description="β: weight of the distiller's own loss.")


class FeatureDistiller(Distiller):
    """γ · CE + α · KD(T) + β · ``other``."""

    def __init__(self, options: FeatureOptions) -> None:
        super().__init__()
        self.options = options

    @abstractmethod
    def other(self, student: Features, teacher: Features, batch: Batch) -> Tensor:
        """Return the distiller's own loss, a scalar, float32."""

    def compute(self, student: Features, batch: Batch, temperature: Temperature | None) -> Losses:
        teacher, temperature = require_teacher(batch, temperature)
        options = self.options
        ce = F.cross_entropy(student.logits.float(), batch.labels)
        kd = temperature.kd_term(student.logits, teacher.logits, batch.labels, batch.progress)
        other = self.other(student, teacher, batch)
        return Losses(options.ce_weight * ce + options.kd_weight * kd + options.weight * other, ce, kd, other)
