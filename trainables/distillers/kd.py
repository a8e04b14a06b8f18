"""Hinton's knowledge distillation, with T set by any kind of temperature."""

from typing import Literal

import torch.nn.functional as F
from pydantic import Field

from trainables.distillers.base import Batch, Distiller, DistillerOptions, Losses, Pair
from trainables.models.base import Features
from trainables.temperatures.base import Temperature


class KDOptions(DistillerOptions):
    """Cross-entropy with the labels plus the distillation loss at temperature T (Hinton et al. 2015)."""

    name: Literal["kd"] = "kd"
    ce_weight: float = Field(0.1, ge=0, le=1e6, description="γ: weight of the cross-entropy with the labels.")
    kd_weight: float = Field(0.9, ge=0, le=1e6, description="α: weight of the distillation loss.")

    def build(self, pair: Pair) -> Distiller:
        return KD(self)


class KD(Distiller):
    def __init__(self, options: KDOptions) -> None:
        super().__init__()
        self.options = options

    def losses(self, student: Features, batch: Batch, temperature: Temperature | None) -> Losses:
        if temperature is None or batch.teacher is None:
            raise TypeError("kd needs a temperature and a teacher")
        ce = F.cross_entropy(student.logits.float(), batch.labels)
        kd = temperature.kd_term(student.logits, batch.teacher.logits, batch.labels, batch.progress)
        return Losses(self.options.ce_weight * ce + self.options.kd_weight * kd, ce, kd)
