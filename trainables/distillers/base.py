"""What every distiller must do."""

# B batch, C classes, D width of the pooled vector, N examples of the training subset

import contextlib
import dataclasses
from abc import abstractmethod
from typing import ClassVar, Literal, final

import torch
from torch import Tensor, nn

from trainables.contract import Contract
from trainables.models.base import Features, Network
from trainables.options import Options
from trainables.registry import Registry
from trainables.temperatures.base import Temperature, TrainingProgress, Use

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
    progress: TrainingProgress


@dataclasses.dataclass(frozen=True, slots=True)
class Losses:
    """The parts of the loss, scalars; ``total`` is what is minimised, with its weights, the parts are without."""

    total: Tensor
    ce: Tensor
    kd: Tensor | None = None
    other: Tensor | None = None


class Distiller(Contract, nn.Module):
    """Turns a batch's outputs into a loss. Its parameters (regressors, embeddings) train with the student.

    A loss waits for no device: nothing in it reads a tensor's numbers. What a distiller remembers from step to step is
    in its state dict, and what it draws is addressed by seed, epoch and position: a resumed trial goes on as if never
    stopped.

    A subclass defines ``compute``. It cannot override ``losses``, which calls ``compute`` with autocast off.
    """

    @final
    def losses(self, student: Features, batch: Batch, temperature: Temperature | None) -> Losses:
        """The loss of one batch, in float32 whatever the student's precision, also under autocast.

        Args:
            student: the student's outputs, with gradient.
            batch: labels, positions, teacher's outputs, progress.
            temperature: how T is set; None for a distiller without one.
        """
        with _no_autocast(student.logits.device):
            return self.compute(student, batch, temperature)

    @abstractmethod
    def compute(self, student: Features, batch: Batch, temperature: Temperature | None) -> Losses:
        """What ``losses`` returns; called with autocast off. Features come in the student's precision, perhaps half."""


def _no_autocast(device: torch.device) -> contextlib.AbstractContextManager[object]:
    if torch.amp.is_autocast_available(device.type):
        return torch.autocast(device.type, enabled=False)
    return contextlib.nullcontext()


def require_teacher(batch: Batch, temperature: Temperature | None) -> tuple[Features, Temperature]:
    """The teacher's outputs and the temperature, for distillers that cannot be without.

    Raises:
        TypeError: one of them is missing.
    """
    if batch.teacher is None or temperature is None:
        raise TypeError(f"distillation needs a teacher and a temperature, but got {batch.teacher} and {temperature}")
    return batch.teacher, temperature


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
    labels: Tensor
    """Labels of the training subset by position, shape (N,), int64; memories have this length."""
    seed: int
    """The trial's seed: part of the address of whatever a distiller draws while it trains."""

    def outputs(self, network: Network) -> Features:
        """What one of the two networks gives for one black image, for the shapes; the network is left as it was."""
        image = next(network.parameters()).new_zeros(1, self.channels, self.size, self.size)
        training = network.training
        network.eval()  # one image has no batch statistics
        with torch.no_grad():
            features = network.features(image)
        network.train(training)
        return features

    def guide(self) -> Network:
        """The teacher's network.

        Raises:
            TypeError: there is none.
        """
        if self.teacher is None:
            raise TypeError("this distiller needs the teacher's network, but got None")
        return self.teacher


class DistillerOptions(Options):
    """Options of one distiller, which build it."""

    needs: ClassVar[Needs] = "logits"
    takes: ClassVar[Use | None] = "term"
    """What it takes of a temperature; None where it has none."""

    @abstractmethod
    def build(self, pair: Pair) -> Distiller:
        """The distiller; draws its initial weights from torch's global generator.

        Raises:
            ValueError: it cannot work for this pair.
        """


DISTILLERS = Registry("trainables.distillers", DistillerOptions, "name", "ctkd_study.distillers")
