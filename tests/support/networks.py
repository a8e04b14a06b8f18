"""Small networks and pairs of them, for tests of what trains on networks."""

import torch
from torch import Tensor, nn

from trainables.distillers import Pair
from trainables.models import Features, Network


class TinyNetwork(Network):
    """A stem and two stages of 1x1 convolutions, global average pooling, a linear head."""

    def __init__(self, classes: int, width: int, channels: int = 1, maps: tuple[int, int] = (3, 5)) -> None:
        super().__init__()
        self.stem = nn.Conv2d(channels, maps[0], 1)
        self.first = nn.Conv2d(maps[0], maps[1], 1)
        self.second = nn.Conv2d(maps[1], width, 1)
        self.linear = nn.Linear(width, classes)

    def features(self, images: Tensor) -> Features:
        stem = self.stem(images).relu()
        first = self.first(stem).relu()
        second = self.second(nn.functional.avg_pool2d(first, 2)).relu()
        pooled = second.mean(dim=(2, 3))
        return Features(self.linear(pooled), (stem, first, second), pooled)

    @property
    def head(self) -> nn.Linear:
        return self.linear


def pair(
    student: Network, teacher: Network | None, classes: int = 2, labels: Tensor | None = None, seed: int = 0
) -> Pair:
    """A pair for images of 1x4x4; by default of 64 examples in all the classes."""
    if labels is None:
        labels = torch.arange(64) % classes
    return Pair(student, teacher, classes, channels=1, size=4, labels=labels, seed=seed)
