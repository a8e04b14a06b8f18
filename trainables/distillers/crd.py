"""Contrastive representation distillation: one positive and many negatives, which are read from memories."""

# B batch, E width of the embeddings, K negatives, N examples of the training subset

import math
from typing import Literal

import torch
import torch.nn.functional as F
from pydantic import Field
from torch import Tensor, nn

from trainables.distillers.base import Batch, Distiller, Pair
from trainables.distillers.feature import FeatureDistiller, FeatureOptions
from trainables.distillers.negatives import OtherClassNegatives
from trainables.distillers.vectors import unit
from trainables.models.base import Features


def nce_loss(scores: Tensor, z: Tensor, examples: int) -> Tensor:
    """Return the loss of noise-contrastive estimation: K + 1 logistic regressions that tell positive from negative.

    Source: Tian et al., ICLR 2020, without the 1e-7 that they add to K / N.

    Args:
        scores: similarities over the contrast's temperature, shape (B, K + 1), the positive in column 0.
        z: the normalisation constant Z, shape ().
        examples: N.

    Returns:
        A scalar, float32, summed over the K + 1 and averaged over the batch.
    """
    noise = (scores.shape[1] - 1) / examples
    odds = scores - (z * noise).log()
    # -log sigmoid(odds) for the positive is softplus(odds) - odds; for a negative it is softplus(odds).
    return (F.softplus(odds).sum(dim=1) - odds[:, 0]).mean()


class CRDOptions(FeatureOptions):
    """Distillation plus contrastive representation distillation on the pooled vectors (Tian et al. 2020)."""

    name: Literal["crd"] = "crd"
    weight: float = Field(0.8, ge=0, le=1e6, description="β: weight of the contrastive loss.")
    negatives: int = Field(16_384, ge=1, le=1_000_000, description="Examples of other classes for each example.")
    contrast_temperature: float = Field(
        0.07, ge=0.02, le=100, description="Temperature of the contrast, not of distillation."
    )
    momentum: float = Field(0.5, ge=0, lt=1, description="What a memory keeps of its old entry.")
    dimensions: int = Field(128, ge=1, le=65_536, description="Width of the embeddings.")

    def build(self, pair: Pair) -> Distiller:
        return CRD(self, pair)


class Embedding(nn.Module):
    """A linear map onto the unit sphere."""

    def __init__(self, inputs: int, outputs: int) -> None:
        super().__init__()
        self.linear = nn.Linear(inputs, outputs)

    def forward(self, vectors: Tensor) -> Tensor:
        """Unit vectors, shape (B, E)."""
        return unit(self.linear(vectors.float()))


class CRD(FeatureDistiller):
    """Trains an embedding of each network, and remembers each network's embedding of every example.

    The memories and the normalisation constants Z (0 before the first step) are part of the state. ``negatives`` can be
    replaced by any module that returns positions of negatives for (positions, labels, epoch).
    """

    def __init__(self, options: CRDOptions, pair: Pair) -> None:
        super().__init__(options)
        self.contrast_temperature, self.momentum = options.contrast_temperature, options.momentum
        self.embed_student = Embedding(pair.student.head.in_features, options.dimensions)
        self.embed_teacher = Embedding(pair.guide().head.in_features, options.dimensions)
        self.negatives: nn.Module = OtherClassNegatives(pair.labels, options.negatives, pair.seed)
        bound = math.sqrt(3 / options.dimensions)  # entries of about unit length
        for name in ("student", "teacher"):
            memory = torch.empty(len(pair.labels), options.dimensions).uniform_(-bound, bound)
            self.register_buffer(f"memory_{name}", memory)
            self.register_buffer(f"z_{name}", torch.zeros(()))

    def other(self, student: Features, teacher: Features, batch: Batch) -> Tensor:
        drawn = self.negatives(batch.positions, batch.labels, batch.progress.epoch)
        index = torch.cat([batch.positions[:, None], drawn], dim=1)
        s, t = self.embed_student(student.pooled), self.embed_teacher(teacher.pooled)
        loss = self._contrast("student", s, "teacher", index) + self._contrast("teacher", t, "student", index)
        if self.training:
            self._remember("student", s.detach(), batch.positions)
            self._remember("teacher", t.detach(), batch.positions)
        return loss

    def _contrast(self, anchor: str, embedded: Tensor, among: str, index: Tensor) -> Tensor:
        # Computing all N similarities and choosing K + 1 of them moves far less memory than first copying (B, K + 1, E)
        # entries. The clone keeps the entries for the backward pass, as the memory changes in this step.
        memory = self.get_buffer(f"memory_{among}").clone()
        scores = (embedded @ memory.T).gather(1, index) / self.contrast_temperature
        z = self.get_buffer(f"z_{anchor}")
        first = scores.detach().exp().mean() * len(memory)
        z_now = torch.where(z > 0, z, first)
        if self.training:
            z.copy_(z_now)
        return nce_loss(scores, z_now, len(memory))

    def _remember(self, name: str, embedded: Tensor, positions: Tensor) -> None:
        memory = self.get_buffer(f"memory_{name}")
        memory.index_copy_(0, positions, unit(torch.lerp(embedded, memory[positions], self.momentum)))
