"""CIFAR-style residual networks (He et al. 2016, section 4.2), as the CTKD and CRD authors build them.

State-dict keys are the authors', so that published checkpoints load unchanged. Initialisation: He et al. 2015, fan-out.
"""

# B batch, C classes, D width of the pooled vector

from typing import Annotated, Literal

import torch
import torch.nn.functional as F
from pydantic import Field, Strict
from torch import Tensor, nn

from trainables.models.base import Features, ModelOptions, Network, require_size
from trainables.models.init import normal_fan_out
from trainables.models.pointwise import PointwiseConv2d

_Width = Annotated[int, Field(ge=1, le=4096)]
#: Channels of the stem and of the three stages; a list will do.
Widths = Annotated[tuple[_Width, _Width, _Width, _Width], Strict(False)]


class ResNetOptions(ModelOptions):
    """ResNet for small images: a stem, three stages of basic blocks, the last two at half the size each."""

    model: Literal[
        "resnet8", "resnet14", "resnet20", "resnet32", "resnet44", "resnet56", "resnet110", "resnet8x4", "resnet32x4"
    ]
    widths: Widths | None = Field(
        None,
        description="Channels of the stem and the three stages; default: [16, 16, 32, 64], `x4`: [32, 64, 128, 256].",
    )

    def build(self, classes: int, channels: int, size: int) -> Network:
        require_size(self.model, size, halvings=2)
        depth, _, wide = self.model.removeprefix("resnet").partition("x")
        widths = self.widths or ((32, 64, 128, 256) if wide else (16, 16, 32, 64))
        return ResNet((int(depth) - 2) // 6, widths, classes, channels)


class BasicBlock(nn.Module):
    """Two 3x3 convolutions and a shortcut, which is a 1x1 convolution where shapes differ."""

    def __init__(self, inputs: int, outputs: int, stride: int) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(inputs, outputs, 3, stride, padding=1, bias=False)
        self.bn1 = nn.BatchNorm2d(outputs)
        self.conv2 = nn.Conv2d(outputs, outputs, 3, padding=1, bias=False)
        self.bn2 = nn.BatchNorm2d(outputs)
        self.downsample: nn.Module = nn.Identity()
        if stride != 1 or inputs != outputs:
            self.downsample = nn.Sequential(PointwiseConv2d(inputs, outputs, stride), nn.BatchNorm2d(outputs))

    def forward(self, x: Tensor) -> Tensor:
        out = F.relu(self.bn1(self.conv1(x)))
        return F.relu(self.bn2(self.conv2(out)) + self.downsample(x))


class ResNet(Network):
    """Stem, three stages of ``blocks`` basic blocks, global average pooling, linear classifier."""

    def __init__(self, blocks: int, widths: tuple[int, int, int, int], classes: int, channels: int) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(channels, widths[0], 3, padding=1, bias=False)
        self.bn1 = nn.BatchNorm2d(widths[0])
        self.layer1 = _stage(widths[0], widths[1], blocks, stride=1)
        self.layer2 = _stage(widths[1], widths[2], blocks, stride=2)
        self.layer3 = _stage(widths[2], widths[3], blocks, stride=2)
        self.fc = nn.Linear(widths[3], classes)
        normal_fan_out(self)

    def features(self, images: Tensor) -> Features:
        stem = F.relu(self.bn1(self.conv1(images)))
        stage1 = self.layer1(stem)
        stage2 = self.layer2(stage1)
        stage3 = self.layer3(stage2)
        pooled = torch.flatten(F.adaptive_avg_pool2d(stage3, 1), 1)
        return Features(self.fc(pooled), (stem, stage1, stage2, stage3), pooled)

    @property
    def head(self) -> nn.Linear:
        return self.fc


def _stage(inputs: int, outputs: int, blocks: int, stride: int) -> nn.Sequential:
    return nn.Sequential(*(BasicBlock(outputs if i else inputs, outputs, 1 if i else stride) for i in range(blocks)))
