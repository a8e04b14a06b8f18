"""VGG with batch normalisation (Simonyan and Zisserman 2015) for small images, as the CTKD and CRD authors build it.

State-dict keys are the authors', so that published checkpoints load unchanged.
"""

# B batch, C classes, D width of the pooled vector

from typing import Literal

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from trainables.models.base import Features, ModelOptions, Network, require_size
from trainables.models.init import normal_fan_out


class VGGOptions(ModelOptions):
    """VGG: five blocks of 3x3 convolutions, with maximum pooling after the first three."""

    model: Literal["vgg8", "vgg11", "vgg13", "vgg16", "vgg19"]

    def build(self, classes: int, channels: int, size: int) -> Network:
        require_size(self.model, size, halvings=3)
        # Convolutions per block; the depth counts also the original's three linear layers, of which one is left.
        convolutions = {
            "vgg8": (1, 1, 1, 1, 1),
            "vgg11": (1, 1, 2, 2, 2),
            "vgg13": (2, 2, 2, 2, 2),
            "vgg16": (2, 2, 3, 3, 3),
            "vgg19": (2, 2, 4, 4, 4),
        }
        return VGG(convolutions[self.model], classes, channels)


class VGG(Network):
    """Five blocks, global average pooling, linear classifier. The maps are those of the blocks."""

    def __init__(self, convolutions: tuple[int, ...], classes: int, channels: int) -> None:
        super().__init__()
        widths = (channels, 64, 128, 256, 512, 512)
        self.block0, self.block1, self.block2, self.block3, self.block4 = (
            _block(inputs, outputs, count)
            for inputs, outputs, count in zip(widths[:-1], widths[1:], convolutions, strict=True)
        )
        self.classifier = nn.Linear(512, classes)
        normal_fan_out(self)
        nn.init.normal_(self.classifier.weight, 0.0, 0.01)
        nn.init.zeros_(self.classifier.bias)

    def features(self, images: Tensor) -> Features:
        map0 = F.relu(self.block0(images))
        map1 = F.relu(self.block1(F.max_pool2d(map0, 2)))
        map2 = F.relu(self.block2(F.max_pool2d(map1, 2)))
        map3 = F.relu(self.block3(F.max_pool2d(map2, 2)))
        map4 = F.relu(self.block4(map3))
        pooled = torch.flatten(F.adaptive_avg_pool2d(map4, 1), 1)
        return Features(self.classifier(pooled), (map0, map1, map2, map3, map4), pooled)

    @property
    def head(self) -> nn.Linear:
        return self.classifier


def _block(inputs: int, outputs: int, count: int) -> nn.Sequential:
    layers: list[nn.Module] = []
    for i in range(count):
        layers += [nn.Conv2d(outputs if i else inputs, outputs, 3, padding=1), nn.BatchNorm2d(outputs), nn.ReLU()]
    return nn.Sequential(*layers[:-1])
