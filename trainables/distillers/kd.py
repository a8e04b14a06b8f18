"""Hinton's knowledge distillation, with T set by any kind of temperature."""

from typing import ClassVar, Literal

import torch.nn.functional as F
from pydantic import Field

from trainables.distillers.base import Batch, Distiller, DistillerOptions, Losses, Pair, require_teacher
from trainables.models.base import Features
from trainables.temperatures.base import Temperature, Use


class KDOptions(DistillerOptions):
    """Cross-entropy with the labels plus the distillation loss at temperature T (Hinton et al. 2015)."""

    takes: ClassVar[Use | None] = "loss"

    name: Literal["kd"] = "kd"
    ce_weight: float = Field(0.1, ge=0, le=1e6, description="γ: weight of the cross-entropy with the labels.")
    kd_weight: float = Field(0.9, ge=0, le=1e6, description="α: weight of the distillation loss.")

    def build(self, pair: Pair) -> Distiller:
        return KD(self)


class KD(Distiller):
    """γ · CE + α · KD(T)."""

    def __init__(self, options: KDOptions) -> None:
        super().__init__()
        self.options = options

    def compute(self, student: Features, batch: Batch, temperature: Temperature | None) -> Losses:
        teacher, temperature = require_teacher(batch, temperature)
        ce = F.cross_entropy(student.logits.float(), batch.labels)
        kd = temperature.kd_term(student.logits, teacher.logits, batch.labels, batch.progress)
        ce_weight = self.options.ce_weight * temperature.ce_factor(batch.progress)
        return Losses(ce_weight * ce + self.options.kd_weight * kd, ce, kd)
