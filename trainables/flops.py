"""Counts the arithmetic of a network with torch's counter: a multiply-accumulate is two FLOP.

Convolutions, matrix products and attention are counted. Normalisation, activations and pooling (under 2 % of the
arithmetic of the networks here) are not, neither in training nor in evaluation.
"""

import copy
import math
from collections.abc import Sequence
from typing import Any

import torch
from torch.utils.flop_counter import FlopCounterMode

from trainables.models.base import Network


def flop_counter() -> FlopCounterMode:
    """Return a counter to use as a context manager; its ``get_total_flops()`` gives the sum.

    Torch's formula for the weight gradient of a convolution ignores groups, and counts 480 times too much in
    MobileNetV2's widest block. Here each of a convolution's two gradients costs as much as its forward pass.
    """
    return FlopCounterMode(display=False, custom_mapping={torch.ops.aten.convolution_backward: _convolution_backward})


def forward_flops(network: Network, channels: int, size: int, batch: int = 1) -> int:
    """Return the FLOP of one forward pass in evaluation mode, per image.

    A copy of the network runs on the meta device, so nothing is computed.

    Args:
        network: on any device, in any mode; not modified.
        channels: of the images.
        size: height and width of the images.
        batch: the batch size of the pass that is counted.
    """
    shadow = copy.deepcopy(network).to("meta").eval()
    counter = flop_counter()
    with counter, torch.no_grad():
        shadow(_images(channels, size, batch))
    return counter.get_total_flops() // batch


def _images(channels: int, size: int, batch: int) -> torch.Tensor:
    return torch.empty(batch, channels, size, size, device="meta")


def _convolution_backward(
    grad: Sequence[int],
    x: Sequence[int],
    weight: Sequence[int],
    _bias: Any,
    _stride: Any,
    _padding: Any,
    _dilation: Any,
    transposed: bool,
    _output_padding: Any,
    _groups: int,
    output_mask: Sequence[bool],
    **_: Any,
) -> int:
    positions = (x if transposed else grad)[2:]
    gradients = sum(output_mask[:2])  # of the input and of the weights; the bias is not counted, as in the forward pass
    return gradients * 2 * x[0] * math.prod(weight) * math.prod(positions)
