"""Arithmetic of a network, by torch's own counter: multiply and add counted apart, so twice the multiply-accumulates.

The counter sees convolutions, matrix products and attention. Normalisation, activations and pooling, under 2 % of the
networks here, are not counted, neither in training nor in evaluation.
"""

import copy
import math
from collections.abc import Sequence
from typing import Any

import torch
from torch.utils.flop_counter import FlopCounterMode

from trainables.models.base import Network


def flop_counter() -> FlopCounterMode:
    """A counter to be used as a context manager; ``get_total_flops()`` gives the sum.

    Torch's own formula counts the gradient of a grouped convolution's weights as if it were not grouped, 480 times too
    much in MobileNetV2's widest block. Here each of a convolution's two gradients costs what its forward pass costs.
    """
    return FlopCounterMode(display=False, custom_mapping={torch.ops.aten.convolution_backward: _convolution_backward})


def forward_flops(network: Network, channels: int, size: int, batch: int = 1) -> int:
    """FLOP of one forward pass in evaluation mode, per image.

    Nothing is computed: a copy of the network runs on the meta device.

    Args:
        network: on any device, in any mode; it is left as it is.
        channels: of the images.
        size: height and width of the images.
        batch: how many images the pass that is counted has.
    """
    shadow = copy.deepcopy(network).to("meta").eval()
    counter = flop_counter()
    with counter, torch.no_grad():
        shadow(_images(channels, size, batch))
    return counter.get_total_flops() // batch


def training_flops(network: Network, channels: int, size: int, batch: int = 2) -> int:
    """FLOP of one forward and backward pass in training mode, per image.

    Close to three times the forward pass, but not equal to it: the first layer needs no gradient of its input. The
    arguments are those of ``forward_flops``; batch normalisation may need a batch of two.
    """
    shadow = copy.deepcopy(network).to("meta").train()
    counter = flop_counter()
    with counter, torch.enable_grad():
        shadow(_images(channels, size, batch)).sum().backward()
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
