"""Decoupled knowledge distillation: separate terms for the target class and the other classes."""

# B batch, C classes

from typing import ClassVar, Literal

import torch
import torch.nn.functional as F
from pydantic import Field
from torch import Tensor

from trainables.distillers.base import Batch, Distiller, DistillerOptions, Losses, Pair, require_teacher
from trainables.models.base import Features
from trainables.temperatures.base import SingleTemperature, Temperature, Use


def dkd_loss(
    student: Tensor, teacher: Tensor, labels: Tensor, temperature: Tensor, alpha: float, beta: float
) -> Tensor:
    """T² · (α · TCKD + β · NCKD), averaged over the batch.

    TCKD is the divergence of the two-way distributions target / not target; NCKD is that of the distributions over the
    other classes. The authors mask the target with a logit of -1000, which gives a learned T a gradient of 0 · -inf;
    here the target is left out, and all gradients are finite.

    Source: Zhao et al., CVPR 2022.

    Args:
        student: logits, shape (B, C), C ≥ 2.
        teacher: logits, shape (B, C).
        labels: shape (B,), int64.
        temperature: T > 0, shape () or (1,) or (B,).
        alpha: weight of the target class.
        beta: weight of the other classes.

    Returns:
        A scalar, float32.
    """
    per_sample = temperature.float().reshape(-1, 1)
    target_s, others_s = _apart(student.float() / per_sample, labels)
    target_t, others_t = _apart(teacher.float() / per_sample, labels)
    # The log-odds of the target: log p = logsigmoid(odds), log(1 - p) = logsigmoid(-odds), without rounding 1 - p to 0.
    odds_s = target_s - others_s.logsumexp(dim=1, keepdim=True)
    odds_t = target_t - others_t.logsumexp(dim=1, keepdim=True)
    tckd = odds_t.sigmoid() * (F.logsigmoid(odds_t) - F.logsigmoid(odds_s))
    tckd = tckd + (-odds_t).sigmoid() * (F.logsigmoid(-odds_t) - F.logsigmoid(-odds_s))
    log_p, log_q = others_t.log_softmax(dim=1), others_s.log_softmax(dim=1)
    nckd = (log_p.exp() * (log_p - log_q)).sum(dim=1, keepdim=True)
    return (per_sample.square() * (alpha * tckd + beta * nckd)).mean()


def _apart(logits: Tensor, labels: Tensor) -> tuple[Tensor, Tensor]:
    """Return the target's logits, shape (B, 1), and the others', shape (B, C - 1)."""
    target = labels.unsqueeze(1)
    others = torch.arange(logits.shape[1] - 1, device=logits.device)
    return logits.gather(1, target), logits.gather(1, others + (others >= target))


class DKDOptions(DistillerOptions):
    """Cross-entropy plus decoupled distillation at T (Zhao et al. 2022), which takes any kind with a single T."""

    takes: ClassVar[Use | None] = "value"

    name: Literal["dkd"] = "dkd"
    ce_weight: float = Field(1.0, ge=0, le=1e6, description="Weight of the cross-entropy with the labels.")
    weight: float = Field(1.0, ge=0, le=1e6, description="Weight of the decoupled distillation loss.")
    alpha: float = Field(1.0, ge=0, le=1e6, description="α of DKD: weight of the target class within it.")
    beta: float = Field(
        2.0, ge=0, le=1e6, description="β of DKD: weight of the other classes within it; published 2 to 8."
    )

    def build(self, pair: Pair) -> Distiller:
        return DKD(self)


class DKD(Distiller):
    """γ · CE + weight · DKD(T)."""

    def __init__(self, options: DKDOptions) -> None:
        super().__init__()
        self.options = options

    def compute(self, student: Features, batch: Batch, temperature: Temperature | None) -> Losses:
        teacher, temperature = require_teacher(batch, temperature)
        if not isinstance(temperature, SingleTemperature):
            raise TypeError(f"dkd needs a temperature with a single T, but got {type(temperature).__name__}")
        options = self.options
        value = temperature.value(student.logits, teacher.logits, batch.progress)
        ce = F.cross_entropy(student.logits.float(), batch.labels)
        dkd = dkd_loss(student.logits, teacher.logits, batch.labels, value, options.alpha, options.beta)
        return Losses(options.ce_weight * ce + options.weight * dkd, ce, dkd)
