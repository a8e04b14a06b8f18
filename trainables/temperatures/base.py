"""The base classes of temperatures and of their options."""

# B batch, C classes

import dataclasses
from abc import abstractmethod
from typing import ClassVar, Literal, NamedTuple

import torch
from torch import Tensor, nn

from trainables.contract import Contract
from trainables.options import Options
from trainables.registry import Registry

#: How a distiller uses a temperature: ``value`` (a single T, in a loss of its own), ``term`` (the distillation loss, as
#: one part of its loss), or ``loss`` (the distillation loss and cross-entropy, and nothing else).
Use = Literal["value", "term", "loss"]

ALL_USES: frozenset[Use] = frozenset({"value", "term", "loss"})


class Weights(NamedTuple):
    """Weights of a distiller, as published in a paper."""

    ce_weight: float
    kd_weight: float


@dataclasses.dataclass(frozen=True, slots=True)
class TrainingProgress:
    """The epoch and λ for which a loss is computed."""

    epoch: int
    """The epoch in progress, counted from 1."""
    epochs: int
    """The number of epochs of the trial."""
    strength: float = 0.0
    """λ of the curriculum, ≥ 0: the gradient of the temperature is multiplied by -λ. 0 without a curriculum."""


class Temperature(Contract, nn.Module):
    """One way to set the distillation temperature.

    It computes in float32 even if the student runs in bfloat16: in low precision a learned T can stop changing.
    """

    def __init__(self) -> None:
        super().__init__()
        self.seen: Tensor | None = None
        """The divisor of the student's logits in the last ``kd_term`` or ``value``, detached, shape () or (B,).

        None for kinds that do not divide the student's logits.
        """

    @abstractmethod
    def kd_term(self, student: Tensor, teacher: Tensor, labels: Tensor, progress: TrainingProgress) -> Tensor:
        """Return the distillation loss of one batch, averaged over its samples.

        Args:
            student: logits, shape (B, C), with gradient.
            teacher: logits, shape (B, C), without.
            labels: shape (B,), int64.
            progress: the epoch and λ.

        Returns:
            A scalar, float32.
        """

    def ce_factor(self, progress: TrainingProgress) -> float:
        """Return the factor of the cross-entropy with the labels: 1, unless the kind has a phase without it."""
        return 1.0


class SingleTemperature(Temperature):
    """A kind with a single T per batch or per sample, which all distillers can use."""

    @abstractmethod
    def value(self, student: Tensor, teacher: Tensor, progress: TrainingProgress) -> Tensor:
        """Return T > 0 for this batch, shape () or (B,), with gradient reversal if T is learned."""

    def kd_term(self, student: Tensor, teacher: Tensor, labels: Tensor, progress: TrainingProgress) -> Tensor:
        return kd_loss(student, teacher, self.value(student, teacher, progress))


def kd_loss(student: Tensor, teacher: Tensor, temperature: Tensor) -> Tensor:
    """Return Hinton's loss, T² · KL(softmax(teacher / T) ‖ softmax(student / T)), averaged over the batch.

    Source: Hinton et al. 2015; CTKD, section 3 (one T per batch, or one per sample).

    Args:
        student: logits, shape (B, C).
        teacher: logits, shape (B, C).
        temperature: T > 0, shape () or (1,) or (B,).

    Returns:
        A scalar, float32.
    """
    per_sample = temperature.float().reshape(-1, 1)
    divergence = softened_divergence(student.float(), teacher.float(), per_sample, per_sample)
    return (per_sample.square() * divergence).mean()


def softened_divergence(student: Tensor, teacher: Tensor, t_student: Tensor, t_teacher: Tensor) -> Tensor:
    """Return KL(softmax(teacher / T_t) ‖ softmax(student / T_s)) of each sample, shape (B, 1).

    Args:
        student: logits, shape (B, C), float32.
        teacher: logits, shape (B, C), float32.
        t_student: T_s > 0, shape () or (1, 1) or (B, 1).
        t_teacher: T_t > 0, likewise.
    """
    log_p = torch.log_softmax(teacher / t_teacher, dim=1)
    log_q = torch.log_softmax(student / t_student, dim=1)
    return (log_p.exp() * (log_p - log_q)).sum(dim=1, keepdim=True)


class TemperatureOptions(Options):
    """Options of one kind of temperature; builds it."""

    learned: ClassVar[bool] = False
    """Whether T has parameters; only then a curriculum has an effect."""
    serves: ClassVar[frozenset[Use]] = frozenset({"loss", "term"})
    """How distillers can use this kind; ``value`` requires a ``SingleTemperature``."""
    published: ClassVar[Weights | None] = None
    """The distiller's weights that this kind was published with, if a paper gives them.

    They are not applied automatically: a study gives its weights at the distiller, next to those of the other arms.
    """

    @abstractmethod
    def build(self, classes: int) -> Temperature:
        """Return the temperature; its initial weights are drawn from torch's global generator.

        Args:
            classes: the number of classes.
        """


TEMPERATURES = Registry("trainables.temperatures", TemperatureOptions, "kind", "ctkd_study.temperatures")
