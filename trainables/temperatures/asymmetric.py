"""Asymmetric temperature scaling: the teacher's label logit and its other logits are softened differently."""

# B batch, C classes

from typing import ClassVar, Literal

import torch.nn.functional as F
from pydantic import Field
from torch import Tensor

from trainables.temperatures.base import Temperature, TemperatureOptions, TrainingProgress, Weights


def asymmetric_loss(student: Tensor, teacher: Tensor, labels: Tensor, label_tau: float, other_tau: float) -> Tensor:
    """Cross-entropy of the student, at T = 1, with the teacher's distribution at τ1 (label) and τ2 (other classes).

    Source: Li et al., NeurIPS 2022.

    Args:
        student: logits, shape (B, C).
        teacher: logits, shape (B, C).
        labels: shape (B,), int64.
        label_tau: τ1.
        other_tau: τ2.

    Returns:
        A scalar, float32, averaged over the batch.
    """
    teacher, target = teacher.float(), labels.unsqueeze(1)
    scaled = (teacher / other_tau).scatter(1, target, teacher.gather(1, target) / label_tau)
    return F.cross_entropy(student.float(), scaled.softmax(dim=1))


class AsymmetricOptions(TemperatureOptions):
    """The teacher's logit of the label is divided by τ1, the others by τ2; the student is at T = 1 (Li et al. 2022).

    Published with ce_weight 0.5 and kd_weight 0.5 at the distiller, τ1 from 1 to 6 and τ2 from 1 to 5: 30 runs.
    """

    published: ClassVar[Weights | None] = Weights(ce_weight=0.5, kd_weight=0.5)

    kind: Literal["asymmetric"] = "asymmetric"
    label_tau: float = Field(title="τ1", ge=0.01, le=1000, description="τ1: temperature of the teacher's label logit.")
    other_tau: float = Field(title="τ2", ge=0.01, le=1000, description="τ2: temperature of the teacher's other logits.")

    def build(self, classes: int) -> Temperature:
        return AsymmetricTemperature(self)


class AsymmetricTemperature(Temperature):
    """The student has no temperature: ``seen`` stays None."""

    def __init__(self, options: AsymmetricOptions) -> None:
        super().__init__()
        self.options = options

    def kd_term(self, student: Tensor, teacher: Tensor, labels: Tensor, progress: TrainingProgress) -> Tensor:
        return asymmetric_loss(student, teacher, labels, self.options.label_tau, self.options.other_tau)
