"""Views: the augmented forms of an example, counted, so that one number says which (design: a view is an address)."""

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
    """How many views an example has, and what each looks like."""

    @property
    @abstractmethod
    def count(self) -> int:
        """The number of views of one example."""

    @abstractmethod
    def apply(self, images: Tensor, views: Tensor) -> Tensor:
        """The given view of each image.

        Args:
            images: shape (N, K, S, S), any dtype; the fill value of what lies outside an image is 0.
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

    def apply(self, images: Tensor, views: Tensor) -> Tensor:
        return images


class Crop(ViewOptions):
    """Zero-padding, a random crop of the old size, and, if wanted, a horizontal flip."""

    kind: Literal["crop"] = "crop"
    padding: int = Field(4, ge=0, le=64, description="Pixels added on each side.")
    flip: bool = Field(True, description="Whether half of the views are mirrored left to right.")

    @property
    def count(self) -> int:
        return (2 * self.padding + 1) ** 2 * (2 if self.flip else 1)

    def apply(self, images: Tensor, views: Tensor) -> Tensor:
        n, channels, height, width = images.shape
        offsets = 2 * self.padding + 1
        shift, mirrored = views % offsets**2, views >= offsets**2
        rows = (shift // offsets)[:, None] + torch.arange(height, device=images.device)
        steps = torch.arange(width, device=images.device).expand(n, width)
        columns = (shift % offsets)[:, None] + torch.where(mirrored[:, None], width - 1 - steps, steps)
        padded = F.pad(images, (self.padding,) * 4)
        index = torch.arange(n, device=images.device)[:, None, None]
        # Channels go last under advanced indexing with a slice between; permuting back costs no copy.
        return padded[index, :, rows[:, :, None], columns[:, None, :]].permute(0, 3, 1, 2)


VIEWS = Registry("trainables.data.views", ViewOptions, "kind", "ctkd_study.views")
