"""Wide residual networks (Zagoruyko and Komodakis 2016), without dropout, as the CTKD and CRD authors build them.

State-dict keys are the authors', so that published checkpoints load unchanged.
"""

# B batch, C classes, D width of the pooled vector

from typing import Literal

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from trainables.models.base import Features, ModelOptions, Network, require_size
from trainables.models.init import normal_fan_out
from trainables.models.pointwise import PointwiseConv2d


class WRNOptions(ModelOptions):
    """Wide ResNet, `wrn_DEPTH_WIDENING`: three stages of pre-activation blocks, the last two at half the size each."""

    model: Literal["wrn_16_1", "wrn_16_2", "wrn_40_1", "wrn_40_2"]

    def build(self, classes: int, channels: int, size: int) -> Network:
        require_size(self.model, size, halvings=2)
        depth, widening = map(int, self.model.split("_")[1:])
        return WideResNet((depth - 4) // 6, widening, classes, channels)


class PreActivationBlock(nn.Module):
    """Normalisation and activation before each convolution; where shapes differ the shortcut starts after the first."""

    def __init__(self, inputs: int, outputs: int, stride: int) -> None:
        super().__init__()
        self.bn1 = nn.BatchNorm2d(inputs)
        self.conv1 = nn.Conv2d(inputs, outputs, 3, stride, padding=1, bias=False)
        self.bn2 = nn.BatchNorm2d(outputs)
        self.conv2 = nn.Conv2d(outputs, outputs, 3, padding=1, bias=False)
        # None adds no key; the name is the authors'.
        self.convShortcut = None if inputs == outputs else PointwiseConv2d(inputs, outputs, stride)

    def forward(self, x: Tensor) -> Tensor:
        active = F.relu(self.bn1(x))
        out = self.conv2(F.relu(self.bn2(self.conv1(active))))
        shortcut = x if self.convShortcut is None else self.convShortcut(active)
        total: Tensor = shortcut + out
        return total


class Stage(nn.Module):
    """Blocks under the key ``layer``."""

    def __init__(self, inputs: int, outputs: int, blocks: int, stride: int) -> None:
        super().__init__()
        self.layer = nn.Sequential(
            *(PreActivationBlock(outputs if i else inputs, outputs, 1 if i else stride) for i in range(blocks))
        )

    def forward(self, x: Tensor) -> Tensor:
        out: Tensor = self.layer(x)
        return out


class WideResNet(Network):
    """Stem, three stages, normalisation, global average pooling, linear classifier. Maps are before activation."""

    def __init__(self, blocks: int, widening: int, classes: int, channels: int) -> None:
        super().__init__()
        widths = (16 * widening, 32 * widening, 64 * widening)
        self.conv1 = nn.Conv2d(channels, 16, 3, padding=1, bias=False)
        self.block1 = Stage(16, widths[0], blocks, stride=1)
        self.block2 = Stage(widths[0], widths[1], blocks, stride=2)
        self.block3 = Stage(widths[1], widths[2], blocks, stride=2)
        self.bn1 = nn.BatchNorm2d(widths[2])
        self.fc = nn.Linear(widths[2], classes)
        normal_fan_out(self)
        nn.init.zeros_(self.fc.bias)

    def features(self, images: Tensor) -> Features:
        stem = self.conv1(images)
        stage1 = self.block1(stem)
        stage2 = self.block2(stage1)
        stage3 = self.block3(stage2)
        pooled = torch.flatten(F.adaptive_avg_pool2d(F.relu(self.bn1(stage3)), 1), 1)
        return Features(self.fc(pooled), (stem, stage1, stage2, stage3), pooled)

    @property
    def head(self) -> nn.Linear:
        return self.fc
