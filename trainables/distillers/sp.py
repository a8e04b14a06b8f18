"""Similarity-preserving distillation: matches the Gram matrices of a batch."""

# B batch

from typing import ClassVar, Literal

from pydantic import Field
from torch import Tensor

from trainables.distillers.base import Batch, Distiller, Needs, Pair
from trainables.distillers.feature import FeatureDistiller, FeatureOptions
from trainables.distillers.vectors import unit
from trainables.models.base import Features


def sp_loss(student: Tensor, teacher: Tensor) -> Tensor:
    """Return the mean squared difference of the Gram matrices of two batches of maps, each with rows of length 1.

    Source: Tung and Mori, ICCV 2019.

    Args:
        student: maps, shape (B, channels, height, width).
        teacher: maps, shape (B, ...); channels and sizes may differ.

    Returns:
        A scalar, float32.
    """
    return (_gram(teacher.float()) - _gram(student.float())).square().mean()


def _gram(maps: Tensor) -> Tensor:
    flat = maps.flatten(1)
    return unit(flat @ flat.T, smallest=1e-12)


class SPOptions(FeatureOptions):
    """Distillation plus similarity preservation on the last maps (Tung and Mori 2019)."""

    needs: ClassVar[Needs] = "maps"

    name: Literal["sp"] = "sp"
    weight: float = Field(3000.0, ge=0, le=1e6, description="β: weight of the similarity loss.")

    def build(self, pair: Pair) -> Distiller:
        return SP(self)


class SP(FeatureDistiller):
    """Compares the last maps; has no parameters."""

    def other(self, student: Features, teacher: Features, batch: Batch) -> Tensor:
        return sp_loss(student.maps[-1], teacher.maps[-1])
