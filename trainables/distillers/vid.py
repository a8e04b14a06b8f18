"""Variational information distillation: the student's maps predict the teacher's."""

# B batch, S and U channels of the student's and the teacher's map

import math
from typing import ClassVar, Literal

import torch
import torch.nn.functional as F
from pydantic import Field
from torch import Tensor, nn

from trainables.distillers.base import Batch, Distiller, Needs, Pair
from trainables.distillers.feature import FeatureDistiller, FeatureOptions
from trainables.models.base import Features

_SMALLEST_VARIANCE = 1e-5


def vid_loss(predicted: Tensor, teacher: Tensor, log_scale: Tensor) -> Tensor:
    """Negative log-likelihood of the teacher's map, normal around the predicted one, less a constant.

    The variance, one for each channel, is softplus(``log_scale``) + 1e-5.

    Source: Ahn et al., CVPR 2019.

    Args:
        predicted: maps, shape (B, U, height, width).
        teacher: maps, same shape.
        log_scale: shape (U,).

    Returns:
        A scalar, float32, averaged over all elements.
    """
    variance = (F.softplus(log_scale) + _SMALLEST_VARIANCE).view(1, -1, 1, 1)
    return 0.5 * ((predicted - teacher.float()).square() / variance + variance.log()).mean()


class VIDOptions(FeatureOptions):
    """Distillation plus variational information distillation of every stage's maps (Ahn et al. 2019).

    Where the networks have different numbers of stages, the first ones are compared, as many as both have.
    """

    needs: ClassVar[Needs] = "maps"

    name: Literal["vid"] = "vid"
    weight: float = Field(1.0, ge=0, le=1e6, description="β: weight of the sum over the stages.")
    variance: float = Field(5.0, gt=1e-4, le=1e4, description="The variance that each channel starts with.")

    def build(self, pair: Pair) -> Distiller:
        return VID(self, pair)


class Regressor(nn.Module):
    """Predicts a teacher's map from a student's: three 1x1 convolutions, and a variance for each channel."""

    def __init__(self, inputs: int, outputs: int, variance: float) -> None:
        super().__init__()
        self.regressor = nn.Sequential(
            nn.Conv2d(inputs, outputs, 1, bias=False),
            nn.ReLU(),
            nn.Conv2d(outputs, outputs, 1, bias=False),
            nn.ReLU(),
            nn.Conv2d(outputs, outputs, 1, bias=False),
        )
        start = math.log(math.expm1(variance - _SMALLEST_VARIANCE)) if variance < 50 else variance
        self.log_scale = nn.Parameter(torch.full((outputs,), start))

    def forward(self, student: Tensor, teacher: Tensor) -> Tensor:
        """The loss for maps of shapes (B, S, ...) and (B, U, ...); the larger is pooled to the size of the smaller."""
        size = min(student.shape[2], teacher.shape[2])
        return vid_loss(self.regressor(_pooled(student.float(), size)), _pooled(teacher.float(), size), self.log_scale)


def _pooled(maps: Tensor, size: int) -> Tensor:
    if maps.shape[2] % size == 0 and maps.shape[3] % size == 0:
        # The same numbers as the adaptive pooling, whose backward pass is not deterministic on a GPU.
        return F.avg_pool2d(maps, (maps.shape[2] // size, maps.shape[3] // size))
    return F.adaptive_avg_pool2d(maps, size)


class VID(FeatureDistiller):
    """One regressor a stage."""

    def __init__(self, options: VIDOptions, pair: Pair) -> None:
        super().__init__(options)
        student, teacher = (_stages(pair.outputs(network)) for network in (pair.student, pair.guide()))
        self.regressors = nn.ModuleList(
            Regressor(s.shape[1], t.shape[1], options.variance) for s, t in zip(student, teacher, strict=False)
        )

    def other(self, student: Features, teacher: Features, batch: Batch) -> Tensor:
        stages = zip(self.regressors, _stages(student), _stages(teacher), strict=False)
        return torch.stack([regressor(s, t) for regressor, s, t in stages]).sum()


def _stages(features: Features) -> tuple[Tensor, ...]:
    return features.maps[1:]  # the first is the stem's
