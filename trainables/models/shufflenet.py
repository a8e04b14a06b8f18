"""ShuffleNet (Zhang et al. 2018) and ShuffleNetV2 (Ma et al. 2018) for small images, as the CTKD authors build them.

State-dict keys are the authors', so that published checkpoints load unchanged; initial weights are torch's own.
"""

# B batch, C classes, D width of the pooled vector

from typing import Literal

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from trainables.models.base import Features, ModelOptions, Network, require_size
from trainables.models.pointwise import PointwiseConv2d

_STEM = 24


class ShuffleNetOptions(ModelOptions):
    """ShuffleNet, V1 with three groups or V2 at full width: a 1x1 stem and three stages at half the size each."""

    model: Literal["ShuffleV1", "ShuffleV2"]

    def build(self, classes: int, channels: int, size: int) -> Network:
        require_size(self.model, size, halvings=3)
        return (ShuffleNetV1 if self.model == "ShuffleV1" else ShuffleNetV2)(classes, channels)


class GroupedBottleneck(nn.Module):
    """V1's block: grouped 1x1 convolution, shuffle, 3x3 per channel, grouped 1x1; with stride 2 it adds channels."""

    def __init__(self, inputs: int, outputs: int, stride: int, groups: int) -> None:
        super().__init__()
        hidden = outputs // 4
        # The stem's few channels are not grouped.
        self.groups = 1 if inputs == _STEM else groups
        self.stride = stride
        self.conv1 = PointwiseConv2d(inputs, hidden, groups=self.groups)
        self.bn1 = nn.BatchNorm2d(hidden)
        self.conv2 = nn.Conv2d(hidden, hidden, 3, stride, padding=1, groups=hidden, bias=False)
        self.bn2 = nn.BatchNorm2d(hidden)
        self.conv3 = PointwiseConv2d(hidden, outputs, groups=groups)
        self.bn3 = nn.BatchNorm2d(outputs)

    def forward(self, x: Tensor) -> Tensor:
        out = F.channel_shuffle(F.relu(self.bn1(self.conv1(x))), self.groups)
        out = self.bn3(self.conv3(F.relu(self.bn2(self.conv2(out)))))
        if self.stride == 1:
            return F.relu(out + x)
        return F.relu(torch.cat([out, F.avg_pool2d(x, 3, stride=2, padding=1)], dim=1))


class ShuffleNetV1(Network):
    """Stem, three stages, global average pooling, linear classifier."""

    def __init__(self, classes: int, channels: int, groups: int = 3) -> None:
        super().__init__()
        self.conv1 = PointwiseConv2d(channels, _STEM)
        self.bn1 = nn.BatchNorm2d(_STEM)
        self.layer1 = _stage_v1(_STEM, 240, 4, groups)
        self.layer2 = _stage_v1(240, 480, 8, groups)
        self.layer3 = _stage_v1(480, 960, 4, groups)
        self.linear = nn.Linear(960, classes)

    def features(self, images: Tensor) -> Features:
        stem = F.relu(self.bn1(self.conv1(images)))
        stage1 = self.layer1(stem)
        stage2 = self.layer2(stage1)
        stage3 = self.layer3(stage2)
        pooled = torch.flatten(F.adaptive_avg_pool2d(stage3, 1), 1)
        return Features(self.linear(pooled), (stem, stage1, stage2, stage3), pooled)

    @property
    def head(self) -> nn.Linear:
        return self.linear


def _stage_v1(inputs: int, outputs: int, blocks: int, groups: int) -> nn.Sequential:
    first = GroupedBottleneck(inputs, outputs - inputs, 2, groups)
    return nn.Sequential(first, *(GroupedBottleneck(outputs, outputs, 1, groups) for _ in range(blocks - 1)))


class SplitBlock(nn.Module):
    """V2's block: half of the channels pass unchanged, the others through 1x1, 3x3 per channel, and 1x1."""

    def __init__(self, width: int) -> None:
        super().__init__()
        half = width // 2
        self.conv1 = PointwiseConv2d(half, half)
        self.bn1 = nn.BatchNorm2d(half)
        self.conv2 = nn.Conv2d(half, half, 3, padding=1, groups=half, bias=False)
        self.bn2 = nn.BatchNorm2d(half)
        self.conv3 = PointwiseConv2d(half, half)
        self.bn3 = nn.BatchNorm2d(half)

    def forward(self, x: Tensor) -> Tensor:
        kept, changed = x.chunk(2, dim=1)
        out = self.bn2(self.conv2(F.relu(self.bn1(self.conv1(changed)))))
        return F.channel_shuffle(torch.cat([kept, F.relu(self.bn3(self.conv3(out)))], dim=1), 2)


class DownBlock(nn.Module):
    """V2's block with stride 2: two branches on all channels."""

    def __init__(self, inputs: int, outputs: int) -> None:
        super().__init__()
        half = outputs // 2
        self.conv1 = nn.Conv2d(inputs, inputs, 3, stride=2, padding=1, groups=inputs, bias=False)
        self.bn1 = nn.BatchNorm2d(inputs)
        self.conv2 = PointwiseConv2d(inputs, half)
        self.bn2 = nn.BatchNorm2d(half)
        self.conv3 = PointwiseConv2d(inputs, half)
        self.bn3 = nn.BatchNorm2d(half)
        self.conv4 = nn.Conv2d(half, half, 3, stride=2, padding=1, groups=half, bias=False)
        self.bn4 = nn.BatchNorm2d(half)
        self.conv5 = PointwiseConv2d(half, half)
        self.bn5 = nn.BatchNorm2d(half)

    def forward(self, x: Tensor) -> Tensor:
        left = F.relu(self.bn2(self.conv2(self.bn1(self.conv1(x)))))
        right = self.bn4(self.conv4(F.relu(self.bn3(self.conv3(x)))))
        return F.channel_shuffle(torch.cat([left, F.relu(self.bn5(self.conv5(right)))], dim=1), 2)


class ShuffleNetV2(Network):
    """Stem, three stages, a 1x1 convolution, global average pooling, linear classifier."""

    def __init__(self, classes: int, channels: int) -> None:
        super().__init__()
        self.conv1 = PointwiseConv2d(channels, _STEM)
        self.bn1 = nn.BatchNorm2d(_STEM)
        self.layer1 = _stage_v2(_STEM, 116, 4)
        self.layer2 = _stage_v2(116, 232, 8)
        self.layer3 = _stage_v2(232, 464, 4)
        self.conv2 = PointwiseConv2d(464, 1024)
        self.bn2 = nn.BatchNorm2d(1024)
        self.linear = nn.Linear(1024, classes)

    def features(self, images: Tensor) -> Features:
        stem = F.relu(self.bn1(self.conv1(images)))
        stage1 = self.layer1(stem)
        stage2 = self.layer2(stage1)
        stage3 = self.layer3(stage2)
        pooled = torch.flatten(F.adaptive_avg_pool2d(F.relu(self.bn2(self.conv2(stage3))), 1), 1)
        return Features(self.linear(pooled), (stem, stage1, stage2, stage3), pooled)

    @property
    def head(self) -> nn.Linear:
        return self.linear


def _stage_v2(inputs: int, outputs: int, blocks: int) -> nn.Sequential:
    return nn.Sequential(DownBlock(inputs, outputs), *(SplitBlock(outputs) for _ in range(blocks - 1)))
