"""Softmax regression representation learning: passes the student's vector through the teacher's classifier."""

# B batch, C classes, D width of the teacher's pooled vector

from typing import Literal

import torch.nn.functional as F
from pydantic import Field
from torch import Tensor, nn

from trainables.distillers.base import Batch, Distiller, Pair
from trainables.distillers.feature import FeatureDistiller, FeatureOptions
from trainables.models.base import Features


def srrl_loss(transferred: Tensor, predicted: Tensor, teacher: Tensor, teacher_logits: Tensor) -> Tensor:
    """Mean squared error of the vectors plus that of the logits.

    Source: Yang et al., ICLR 2021, the prediction term with squared errors.

    Args:
        transferred: the student's vectors in the teacher's space, shape (B, D).
        predicted: logits of the teacher's classifier for them, shape (B, C).
        teacher: the teacher's vectors, shape (B, D).
        teacher_logits: shape (B, C).

    Returns:
        A scalar, float32.
    """
    return F.mse_loss(transferred, teacher.float()) + F.mse_loss(predicted, teacher_logits.float())


class SRRLOptions(FeatureOptions):
    """Distillation plus softmax regression representation learning on the pooled vectors (Yang et al. 2021)."""

    name: Literal["srrl"] = "srrl"
    weight: float = Field(
        1.0, ge=0, le=1e6, description="β: weight of the feature and the prediction term, equal parts."
    )

    def build(self, pair: Pair) -> Distiller:
        return SRRL(self, pair)


class SRRL(FeatureDistiller):
    """Trains a transfer into the teacher's space, in front of the teacher's frozen classifier."""

    def __init__(self, options: SRRLOptions, pair: Pair) -> None:
        super().__init__(options)
        classifier, width = pair.guide().head, pair.student.head.in_features
        self.transfer = nn.Sequential(
            nn.Conv2d(width, classifier.in_features, 1, bias=False), nn.BatchNorm2d(classifier.in_features), nn.ReLU()
        )
        # Buffers, not a module: they move with the distiller, but are neither trained nor saved.
        self.register_buffer("classifier_weight", classifier.weight.detach().float(), persistent=False)
        bias = classifier.bias.detach().float() if classifier.bias is not None else None
        self.register_buffer("classifier_bias", bias, persistent=False)

    def other(self, student: Features, teacher: Features, batch: Batch) -> Tensor:
        transferred = self.transfer(student.pooled.float()[:, :, None, None]).flatten(1)
        bias: Tensor | None = self._buffers["classifier_bias"]
        predicted = F.linear(transferred, self.get_buffer("classifier_weight"), bias)
        return srrl_loss(transferred, predicted, teacher.pooled, teacher.logits)
