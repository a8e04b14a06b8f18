"""What every distiller must do."""

# B batch, C classes, D width of the pooled vector

import dataclasses
from abc import abstractmethod
from typing import ClassVar, Literal

from torch import Tensor, nn

from trainables.models.base import Features, Network
from trainables.options import Options
from trainables.registry import Registry
from trainables.temperatures.base import Progress, Temperature

#: What a distiller reads of the teacher, each including the ones before it.
Needs = Literal["nothing", "logits", "pooled", "maps"]


@dataclasses.dataclass(frozen=True, slots=True)
class Batch:
    """What a distiller may read of one batch besides the student."""

    labels: Tensor
    """Shape (B,), int64."""
    positions: Tensor
    """The place of each example in the training subset, shape (B,), int64, from 0 on: addresses of memories."""
    teacher: Features | None
    """The teacher's outputs, without gradient; what the distiller does not need may be an empty tensor."""
    progress: Progress


@dataclasses.dataclass(frozen=True, slots=True)
class Losses:
    """The parts of the loss, scalars; ``total`` is what is minimised, with its weights, the parts are without."""

    total: Tensor
    ce: Tensor
    kd: Tensor | None = None
    other: Tensor | None = None


class Distiller(nn.Module):
    """Turns a batch's outputs into a loss. Its parameters (regressors, embeddings) train with the student."""

    @abstractmethod
    def losses(self, student: Features, batch: Batch, temperature: Temperature | None) -> Losses:
        """The loss of one batch.

        Args:
            student: the student's outputs, with gradient.
            batch: labels, positions, teacher's outputs, progress.
            temperature: how T is set; None for a distiller without one.
        """


@dataclasses.dataclass(frozen=True, slots=True)
class Pair:
    """What a distiller is built for."""

    student: Network
    teacher: Network | None
    """The teacher's network, frozen; None for a distiller that needs nothing of it."""
    classes: int
    channels: int
    size: int
    """Height and width of the images."""
    examples: int
    """How many examples the training subset has: the length of memories."""


class DistillerOptions(Options):
    """Options of one distiller, which build it."""

    needs: ClassVar[Needs] = "logits"
    takes_temperature: ClassVar[bool] = True

    @abstractmethod
    def build(self, pair: Pair) -> Distiller:
        """The distiller; draws its initial weights from torch's global generator."""


DISTILLERS = Registry("trainables.distillers", DistillerOptions, "name", "ctkd_study.distillers")
