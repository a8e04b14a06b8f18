"""ResNet50 for small images: bottleneck blocks on a 3x3 stem (He et al. 2016), as the CTKD and CRD authors build it.

State-dict keys are the authors', so that published checkpoints load unchanged; torchvision's ResNet50 has other keys.
"""

# B batch, C classes, D width of the pooled vector

from typing import Literal

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from trainables.models.base import Features, ModelOptions, Network, require_size
from trainables.models.init import normal_fan_out
from trainables.models.pointwise import PointwiseConv2d

_EXPANSION = 4


class ResNet50Options(ModelOptions):
    """ResNet50 without the large stem: four stages of bottleneck blocks, the last three at half the size each."""

    model: Literal["ResNet50"] = "ResNet50"

    def build(self, classes: int, channels: int, size: int) -> Network:
        require_size(self.model, size, halvings=3)
        return ResNet50(classes, channels)


class Bottleneck(nn.Module):
    """1x1, 3x3 and 1x1 convolution, the last four times as wide, and a shortcut."""

    def __init__(self, inputs: int, width: int, stride: int) -> None:
        super().__init__()
        outputs = _EXPANSION * width
        self.conv1 = PointwiseConv2d(inputs, width)
        self.bn1 = nn.BatchNorm2d(width)
        self.conv2 = nn.Conv2d(width, width, 3, stride, padding=1, bias=False)
        self.bn2 = nn.BatchNorm2d(width)
        self.conv3 = PointwiseConv2d(width, outputs)
        self.bn3 = nn.BatchNorm2d(outputs)
        self.shortcut: nn.Module = nn.Identity()
        if stride != 1 or inputs != outputs:
            self.shortcut = nn.Sequential(PointwiseConv2d(inputs, outputs, stride), nn.BatchNorm2d(outputs))

    def forward(self, x: Tensor) -> Tensor:
        out = F.relu(self.bn1(self.conv1(x)))
        out = F.relu(self.bn2(self.conv2(out)))
        return F.relu(self.bn3(self.conv3(out)) + self.shortcut(x))


class ResNet50(Network):
    """Stem, four stages, global average pooling, linear classifier."""

    def __init__(self, classes: int, channels: int) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(channels, 64, 3, padding=1, bias=False)
        self.bn1 = nn.BatchNorm2d(64)
        self.layer1 = _stage(64, 64, blocks=3, stride=1)
        self.layer2 = _stage(256, 128, blocks=4, stride=2)
        self.layer3 = _stage(512, 256, blocks=6, stride=2)
        self.layer4 = _stage(1024, 512, blocks=3, stride=2)
        self.linear = nn.Linear(2048, classes)
        normal_fan_out(self)

    def features(self, images: Tensor) -> Features:
        stem = F.relu(self.bn1(self.conv1(images)))
        stage1 = self.layer1(stem)
        stage2 = self.layer2(stage1)
        stage3 = self.layer3(stage2)
        stage4 = self.layer4(stage3)
        pooled = torch.flatten(F.adaptive_avg_pool2d(stage4, 1), 1)
        return Features(self.linear(pooled), (stem, stage1, stage2, stage3, stage4), pooled)

    @property
    def head(self) -> nn.Linear:
        return self.linear


def _stage(inputs: int, width: int, blocks: int, stride: int) -> nn.Sequential:
    outputs = _EXPANSION * width
    return nn.Sequential(
        *(Bottleneck(outputs if i else inputs, width, 1 if i else stride) for i in range(blocks)),
    )
