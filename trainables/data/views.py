"""Views: the augmented forms of an example, numbered from 0."""

# N examples, K channels, S height and width

from abc import abstractmethod
from typing import Literal

import torch
import torch.nn.functional as F
from pydantic import Field
from torch import Tensor

from trainables.options import Options
from trainables.registry import Registry


class ViewOptions(Options):
    """A numbered set of augmentations."""

    @property
    @abstractmethod
    def count(self) -> int:
        """The number of views of an example."""

    @property
    @abstractmethod
    def identity(self) -> int:
        """The number of the view that equals the example."""

    @abstractmethod
    def apply(self, images: Tensor, views: Tensor) -> Tensor:
        """Return the given view of each image.

        Args:
            images: shape (N, K, S, S), any dtype; pixels outside an image are 0.
            views: shape (N,), int64, below ``count``.

        Returns:
            Shape (N, K, S, S), same dtype.
        """


class Plain(ViewOptions):
    """No augmentation: one view."""

    kind: Literal["plain"] = "plain"

    @property
    def count(self) -> int:
        return 1

    @property
    def identity(self) -> int:
        return 0

    def apply(self, images: Tensor, views: Tensor) -> Tensor:
        return images


class Crop(ViewOptions):
    """Zero-padding, a random crop of the old size, and, if wanted, a horizontal flip.

    View v is the crop at row ``v // n % n`` and column ``v % n`` of the padded image, n = 2 padding + 1; from n squared
    on, mirrored.
    """

    kind: Literal["crop"] = "crop"
    padding: int = Field(4, ge=0, le=64, description="Pixels added on each side.")
    flip: bool = Field(True, description="Whether half of the views are mirrored left to right.")

    @property
    def count(self) -> int:
        return (2 * self.padding + 1) ** 2 * (2 if self.flip else 1)

    @property
    def identity(self) -> int:
        return (2 * self.padding + 1) ** 2 // 2

    def apply(self, images: Tensor, views: Tensor) -> Tensor:
        height, width = images.shape[2:]
        offsets = 2 * self.padding + 1
        shift, mirrored = views % offsets**2, torch.nonzero(views >= offsets**2).squeeze(1)
        # All windows of all images, as strides over the padded images, so that a crop needs no index per pixel.
        windows = F.pad(images, (self.padding,) * 4).unfold(2, height, 1).unfold(3, width, 1)
        cropped = windows[torch.arange(len(images), device=images.device), :, shift // offsets, shift % offsets]
        cropped[mirrored] = cropped[mirrored].flip(3)
        return cropped


VIEWS = Registry("trainables.data.views", ViewOptions, "kind", "ctkd_study.views")
