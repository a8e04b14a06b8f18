"""Arithmetic of a network, counted by torch's own counter: multiply and add apart, so twice the multiply-accumulates.

The counter sees convolutions, matrix products and attention. Normalisation, activations and pooling, under 2 % of the
networks here, are not counted, neither in training nor in evaluation.
"""

import copy

import torch
from torch.utils.flop_counter import FlopCounterMode

from trainables.models.base import Network


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
    with FlopCounterMode(display=False) as counter, torch.no_grad():
        shadow(_images(channels, size, batch))
    return int(counter.get_total_flops()) // batch


def training_flops(network: Network, channels: int, size: int, batch: int = 2) -> int:
    """FLOP of one forward and backward pass in training mode, per image.

    Close to three times the forward pass, but not equal to it: the first layer needs no gradient of its input. The
    arguments are those of ``forward_flops``; batch normalisation may need a batch of two.
    """
    shadow = copy.deepcopy(network).to("meta").train()
    with FlopCounterMode(display=False) as counter, torch.enable_grad():
        shadow(_images(channels, size, batch)).sum().backward()
    return int(counter.get_total_flops()) // batch


def _images(channels: int, size: int, batch: int) -> torch.Tensor:
    return torch.empty(batch, channels, size, size, device="meta")
