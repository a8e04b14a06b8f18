"""The base class of distillers and of their options."""

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

#: What a distiller reads of the teacher; each includes the ones before it.
Needs = Literal["nothing", "logits", "pooled", "maps"]


@dataclasses.dataclass(frozen=True, slots=True)
class Batch:
    """What a distiller can read of a batch, besides the student's outputs."""

    labels: Tensor
    """Shape (B,), int64."""
    positions: Tensor
    """The position of each example in the training subset, shape (B,), int64, from 0; the index into memories."""
    teacher: Features | None
    """The teacher's outputs, without gradient; those that the distiller does not need can be empty tensors."""
    progress: TrainingProgress


@dataclasses.dataclass(frozen=True, slots=True)
class Losses:
    """A loss and its parts, scalars. ``total`` is minimised and contains the weights; the parts do not."""

    total: Tensor
    ce: Tensor
    kd: Tensor | None = None
    other: Tensor | None = None


class Distiller(Contract, nn.Module):
    """Computes the loss of a batch. Its parameters (regressors, embeddings) are trained with the student.

    A distiller must not read a tensor's numbers on the CPU, which would stall a GPU. Its memory of earlier steps must
    be in its state dict, and what it draws must be addressed by seed, epoch and position, so that a resumed trial goes
    on as if never interrupted.

    A subclass defines ``compute``. It cannot override ``losses``, which calls ``compute`` with autocast off.
    """

    @final
    def losses(self, student: Features, batch: Batch, temperature: Temperature | None) -> Losses:
        """Return the loss of one batch, in float32 even if the student runs in bfloat16.

        Args:
            student: the student's outputs, with gradient.
            batch: labels, positions, teacher's outputs, progress.
            temperature: sets T; None for a distiller without one.
        """
        with _no_autocast(student.logits.device):
            return self.compute(student, batch, temperature)

    @abstractmethod
    def compute(self, student: Features, batch: Batch, temperature: Temperature | None) -> Losses:
        """Return what ``losses`` returns.

        Called with autocast off; the student's features can be bfloat16, so convert them to float32.
        """


def _no_autocast(device: torch.device) -> contextlib.AbstractContextManager[object]:
    if torch.amp.is_autocast_available(device.type):
        return torch.autocast(device.type, enabled=False)
    return contextlib.nullcontext()


def require_teacher(batch: Batch, temperature: Temperature | None) -> tuple[Features, Temperature]:
    """Return the teacher's outputs and the temperature, for distillers that need both.

    Raises:
        TypeError: one of them is missing.
    """
    if batch.teacher is None or temperature is None:
        raise TypeError(f"distillation needs a teacher and a temperature, but got {batch.teacher} and {temperature}")
    return batch.teacher, temperature


@dataclasses.dataclass(frozen=True, slots=True)
class Pair:
    """The two networks, and the data, that a distiller is built for."""

    student: Network
    teacher: Network | None
    """The teacher's network, frozen; None for a distiller without a teacher."""
    classes: int
    channels: int
    size: int
    """Height and width of the images."""
    labels: Tensor
    """Labels of the training subset by position, shape (N,), int64; memories have this length."""
    seed: int
    """The trial's seed, for the addresses of what a distiller draws during training."""

    def outputs(self, network: Network) -> Features:
        """Return the outputs of one of the networks for a black image, to know their shapes; its mode is restored."""
        image = next(network.parameters()).new_zeros(1, self.channels, self.size, self.size)
        training = network.training
        network.eval()  # one image has no batch statistics
        with torch.no_grad():
            features = network.features(image)
        network.train(training)
        return features

    def guide(self) -> Network:
        """Return the teacher's network.

        Raises:
            TypeError: there is no teacher.
        """
        if self.teacher is None:
            raise TypeError("this distiller needs the teacher's network, but got None")
        return self.teacher


class DistillerOptions(Options):
    """Options of one distiller; builds it."""

    needs: ClassVar[Needs] = "logits"
    takes: ClassVar[Use | None] = "term"
    """How it uses a temperature; None if it has none."""

    @abstractmethod
    def build(self, pair: Pair) -> Distiller:
        """Return the distiller; its initial weights are drawn from torch's global generator.

        Raises:
            ValueError: it cannot work with this pair.
        """


DISTILLERS = Registry("trainables.distillers", DistillerOptions, "name", "ctkd_study.distillers")
