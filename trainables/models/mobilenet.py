"""MobileNetV2 at half width (Sandler et al. 2018) for small images, as the CTKD and CRD authors build it.

State-dict keys are the authors', so that published checkpoints load unchanged. Activations are ReLU, the paper's ReLU6.
"""

# B batch, C classes, D width of the pooled vector

from typing import Literal, cast

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from trainables.models.base import Features, ModelOptions, Network, require_size
from trainables.models.init import normal_fan_out
from trainables.models.pointwise import PointwiseConv2d

_EXPANSION, _STEM, _LAST = 6, 16, 1280
#: Expansion, output channels, blocks and first stride of each stage, at half the paper's width.
_STAGES = (
    (1, 8, 1, 1),
    (_EXPANSION, 12, 2, 1),
    (_EXPANSION, 16, 3, 2),
    (_EXPANSION, 32, 4, 2),
    (_EXPANSION, 48, 3, 1),
    (_EXPANSION, 80, 3, 2),
    (_EXPANSION, 160, 1, 1),
)


class MobileNetV2Options(ModelOptions):
    """MobileNetV2, half width: a stem and seven stages of inverted residuals, which halve the image four times."""

    model: Literal["MobileNetV2"] = "MobileNetV2"

    def build(self, classes: int, channels: int, size: int) -> Network:
        require_size(self.model, size, halvings=4)
        return MobileNetV2(classes, channels)


class InvertedResidual(nn.Module):
    """Widen by a 1x1, filter each channel by a 3x3, narrow by a 1x1 convolution."""

    def __init__(self, inputs: int, outputs: int, stride: int, expansion: int) -> None:
        super().__init__()
        self.residual = stride == 1 and inputs == outputs
        hidden = inputs * expansion
        self.conv = nn.Sequential(
            PointwiseConv2d(inputs, hidden),
            nn.BatchNorm2d(hidden),
            nn.ReLU(),
            nn.Conv2d(hidden, hidden, 3, stride, padding=1, groups=hidden, bias=False),
            nn.BatchNorm2d(hidden),
            nn.ReLU(),
            PointwiseConv2d(hidden, outputs),
            nn.BatchNorm2d(outputs),
        )

    def forward(self, x: Tensor) -> Tensor:
        out: Tensor = self.conv(x)
        return x + out if self.residual else out


class MobileNetV2(Network):
    """Stem, seven stages, a 1x1 convolution, global average pooling, linear classifier.

    The maps are those of the stem and of the last stage at each size.
    """

    def __init__(self, classes: int, channels: int) -> None:
        super().__init__()
        self.conv1 = nn.Sequential(
            nn.Conv2d(channels, _STEM, 3, stride=2, padding=1, bias=False), nn.BatchNorm2d(_STEM), nn.ReLU()
        )
        stages, inputs = [], _STEM
        for expansion, outputs, count, stride in _STAGES:
            blocks = (
                InvertedResidual(outputs if i else inputs, outputs, 1 if i else stride, expansion) for i in range(count)
            )
            stages.append(nn.Sequential(*blocks))
            inputs = outputs
        self.blocks = nn.ModuleList(stages)
        self.conv2 = nn.Sequential(PointwiseConv2d(inputs, _LAST), nn.BatchNorm2d(_LAST), nn.ReLU())
        linear = nn.Linear(_LAST, classes)
        self.classifier = nn.Sequential(linear)  # of one layer, as in the authors' keys
        normal_fan_out(self)
        nn.init.normal_(linear.weight, 0.0, 0.01)
        nn.init.zeros_(linear.bias)

    def features(self, images: Tensor) -> Features:
        maps = [self.conv1(images)]
        for first, last in ((0, 2), (2, 3), (3, 5), (5, 7)):
            x = maps[-1]
            for stage in self.blocks[first:last]:
                x = stage(x)
            maps.append(x)
        pooled = torch.flatten(F.adaptive_avg_pool2d(self.conv2(maps[-1]), 1), 1)
        return Features(self.classifier(pooled), tuple(maps), pooled)

    @property
    def head(self) -> nn.Linear:
        return cast(nn.Linear, self.classifier[0])
