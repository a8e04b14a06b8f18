"""No teacher: plain cross-entropy, the student alone."""

from typing import ClassVar, Literal

import torch.nn.functional as F

from trainables.distillers.base import Batch, Distiller, DistillerOptions, Losses, Needs, Pair
from trainables.models.base import Features
from trainables.temperatures.base import Temperature, Use


class NoneOptions(DistillerOptions):
    """Cross-entropy with the labels, weight 1, and no teacher."""

    needs: ClassVar[Needs] = "nothing"
    takes: ClassVar[Use | None] = None

    name: Literal["none"] = "none"

    def build(self, pair: Pair) -> Distiller:
        return NoDistiller()


class NoDistiller(Distiller):
    """Reads neither teacher nor temperature."""

    def compute(self, student: Features, batch: Batch, temperature: Temperature | None) -> Losses:
        ce = F.cross_entropy(student.logits.float(), batch.labels)
        return Losses(ce, ce)
