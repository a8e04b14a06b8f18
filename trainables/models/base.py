"""What every network must give, and the registry of networks."""

# B batch, C classes, D width of the pooled vector

import dataclasses
from abc import abstractmethod

from torch import Tensor, nn

from trainables.options import Options
from trainables.registry import Registry


@dataclasses.dataclass(frozen=True, slots=True)
class Features:
    """A network's outputs for one batch."""

    logits: Tensor
    """Shape (B, C)."""
    maps: tuple[Tensor, ...]
    """Feature maps after the stem and after each stage, shapes (B, channels, height, width)."""
    pooled: Tensor
    """The vector before the classifier, shape (B, D)."""


class Network(nn.Module):
    """A classifier whose features can be read."""

    @abstractmethod
    def features(self, images: Tensor) -> Features:
        """Logits and features of a batch, images of shape (B, channels, height, width)."""

    def forward(self, images: Tensor) -> Tensor:
        """Logits, shape (B, C)."""
        return self.features(images).logits

    @property
    @abstractmethod
    def classifier(self) -> nn.Linear:
        """The last layer, from the pooled vector to the logits."""


class ModelOptions(Options):
    """Options of one family of networks, which build it."""

    @abstractmethod
    def build(self, classes: int, channels: int, size: int) -> Network:
        """The network for square images of this size; draws its initial weights from torch's global generator.

        Raises:
            ValueError: the network cannot take images of this size.
        """


MODELS = Registry("trainables.models", ModelOptions, "model", "ctkd_study.models")
