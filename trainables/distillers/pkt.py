"""Probabilistic knowledge transfer: matches the similarities between the samples of a batch."""

# B batch, D width of the pooled vector (the student's and the teacher's may differ)

from typing import Literal

from pydantic import Field
from torch import Tensor

from trainables.distillers.base import Batch, Distiller, Pair
from trainables.distillers.feature import FeatureDistiller, FeatureOptions
from trainables.distillers.vectors import unit
from trainables.models.base import Features

_EPSILON = 1e-7


def pkt_loss(student: Tensor, teacher: Tensor) -> Tensor:
    """Return the divergence of the student's similarities from the teacher's, averaged over all B² pairs of samples.

    Similarities are cosines, scaled to 0..1 and normalised to sum to 1 in each row.

    Source: Passalis and Tefas, ECCV 2018.

    Args:
        student: vectors, shape (B, D).
        teacher: vectors, shape (B, any width).

    Returns:
        A scalar, float32.
    """
    p, q = _neighbours(teacher.float()), _neighbours(student.float())
    return (p * ((p + _EPSILON) / (q + _EPSILON)).log()).mean()


def _neighbours(vectors: Tensor) -> Tensor:
    directions = unit(vectors)
    # Rounding can leave a cosine just below -1.
    similarity = (directions @ directions.T).clamp_min(-1) / 2 + 0.5
    return similarity / similarity.sum(dim=1, keepdim=True)


class PKTOptions(FeatureOptions):
    """Distillation plus probabilistic knowledge transfer on the pooled vectors (Passalis and Tefas 2018)."""

    name: Literal["pkt"] = "pkt"
    weight: float = Field(30_000.0, ge=0, le=1e6, description="β: weight of the transfer loss, which is small.")

    def build(self, pair: Pair) -> Distiller:
        return PKT(self)


class PKT(FeatureDistiller):
    """Compares pooled vectors; has no parameters."""

    def other(self, student: Features, teacher: Features, batch: Batch) -> Tensor:
        return pkt_loss(student.pooled, teacher.pooled)
