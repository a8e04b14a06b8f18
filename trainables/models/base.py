"""The base class of networks and of their options, and their registry."""

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
    """A classifier that also returns its features."""

    @abstractmethod
    def features(self, images: Tensor) -> Features:
        """Return logits and features of a batch of images, shape (B, channels, height, width)."""

    def forward(self, images: Tensor) -> Tensor:
        """Return logits, shape (B, C)."""
        return self.features(images).logits

    @property
    @abstractmethod
    def head(self) -> nn.Linear:
        """The last layer, from the pooled vector to the logits; not `classifier`, a name of authors' submodules."""


class ModelOptions(Options):
    """Options of one family of networks; builds a network."""

    @abstractmethod
    def build(self, classes: int, channels: int, size: int) -> Network:
        """Return the network for square images of this size; its weights are drawn from torch's global generator.

        Raises:
            ValueError: the network cannot take images of this size.
        """


def require_size(model: str, size: int, halvings: int) -> None:
    """Refuses images too small to be halved as often as the network does it.

    Convolutions with padding would run on them, but the last ones would see a single pixel and padding.

    Raises:
        ValueError: the size is less than 2 to the power of ``halvings``.
    """
    if size < 2**halvings:
        raise ValueError(
            f"{model} halves its images {halvings} times: size must be at least {2**halvings}, but got {size}"
        )


MODELS = Registry("trainables.models", ModelOptions, "model", "ctkd_study.models")
