"""What every way to set the temperature must do."""

# B batch, C classes

import dataclasses
from abc import abstractmethod
from typing import ClassVar, Literal, NamedTuple

import torch
from torch import Tensor, nn

from trainables.contract import Contract
from trainables.options import Options
from trainables.registry import Registry

#: What a distiller takes of a temperature: ``value`` (one T, which goes into a loss of the distiller's own), ``term``
#: (the distillation loss as a part of its loss), or ``loss`` (cross-entropy and the distillation loss, nothing else).
Use = Literal["value", "term", "loss"]

ALL_USES: frozenset[Use] = frozenset({"value", "term", "loss"})


class Weights(NamedTuple):
    """Weights of a distiller, as a paper publishes them."""

    ce_weight: float
    kd_weight: float


@dataclasses.dataclass(frozen=True, slots=True)
class TrainingProgress:
    """Where training stands when a loss is taken."""

    epoch: int
    """The epoch in progress, counted from 1."""
    epochs: int
    """How many epochs the trial has."""
    strength: float = 0.0
    """λ of the curriculum, ≥ 0: the gradient of the temperature is multiplied by -λ. 0 where there is no curriculum."""


class Temperature(Contract, nn.Module):
    """One way to set the distillation temperature.

    It computes in float32 whatever the student's precision: in half precision a learned temperature can stop moving.
    """

    def __init__(self) -> None:
        super().__init__()
        self.seen: Tensor | None = None
        """What the student's logits were divided by in the last ``kd_term`` or ``value``, detached, shape () or (B,);
        None for kinds that do not soften the student."""

    @abstractmethod
    def kd_term(self, student: Tensor, teacher: Tensor, labels: Tensor, progress: TrainingProgress) -> Tensor:
        """The distillation loss of one batch, averaged over its samples.

        Args:
            student: logits, shape (B, C), with gradient.
            teacher: logits, shape (B, C), without.
            labels: shape (B,), int64.
            progress: the epoch and λ.

        Returns:
            A scalar, float32.
        """

    def ce_factor(self, progress: TrainingProgress) -> float:
        """What the cross-entropy with the labels is multiplied by: 1, unless the kind has a phase without it."""
        return 1.0


class SingleTemperature(Temperature):
    """A kind that has one T per batch or per sample, which other distillers can take."""

    @abstractmethod
    def value(self, student: Tensor, teacher: Tensor, progress: TrainingProgress) -> Tensor:
        """T > 0 for this batch, shape () or (B,), with gradient reversal applied where T is learned."""

    def kd_term(self, student: Tensor, teacher: Tensor, labels: Tensor, progress: TrainingProgress) -> Tensor:
        return kd_loss(student, teacher, self.value(student, teacher, progress))


def kd_loss(student: Tensor, teacher: Tensor, temperature: Tensor) -> Tensor:
    """Hinton's distillation loss, T² · KL(softmax(teacher / T) ‖ softmax(student / T)), averaged over the batch.

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
    """KL(softmax(teacher / T_t) ‖ softmax(student / T_s)) of each sample, shape (B, 1).

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
    """Options of one kind of temperature, which build it."""

    learned: ClassVar[bool] = False
    """Whether T has parameters, so that a curriculum means something."""
    serves: ClassVar[frozenset[Use]] = frozenset({"loss", "term"})
    """What distillers can take of this kind; ``value`` is for a ``SingleTemperature``."""
    published: ClassVar[Weights | None] = None
    """The distiller's weights that this kind was published with, where a paper gives them. They are not applied: a
    study says its weights at the distiller, where they stand beside those of the other arms."""

    @abstractmethod
    def build(self, classes: int) -> Temperature:
        """The temperature for logits of this many classes; draws its initial weights from torch's global generator."""


TEMPERATURES = Registry("trainables.temperatures", TemperatureOptions, "kind", "ctkd_study.temperatures")
