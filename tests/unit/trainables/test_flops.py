"""Arithmetic by hand, and against measured numbers."""

import copy

import pytest
import torch
from torch import Tensor, nn

from trainables.flops import flop_counter, forward_flops
from trainables.models import MODELS, Features, Network

CLASSES, SIZE, WIDTH = 5, 8, 6
CONVOLUTION = 2 * (3 * 3 * 3 * WIDTH) * SIZE * SIZE
"""Multiply and add, of every weight, at every pixel."""
DEPTHWISE = 2 * (3 * 3 * WIDTH) * (SIZE // 2) ** 2
LINEAR = 2 * WIDTH * CLASSES


def training_flops(network: Network, channels: int, size: int, batch: int = 2) -> int:
    """FLOP of a forward and backward pass in training mode, per image, by the counter."""
    shadow, counter = copy.deepcopy(network).to("meta").train(), flop_counter()
    with counter:
        shadow(torch.empty(batch, channels, size, size, device="meta")).sum().backward()
    return counter.get_total_flops() // batch


class ByHand(Network):
    """A 3x3 convolution of 3 channels to 6, a 3x3 with stride 2 for each channel alone, a linear layer."""

    def __init__(self) -> None:
        super().__init__()
        self.convolution = nn.Conv2d(3, WIDTH, 3, padding=1)
        self.depthwise = nn.Conv2d(WIDTH, WIDTH, 3, stride=2, padding=1, groups=WIDTH)
        self.head_ = nn.Linear(WIDTH, CLASSES)

    def features(self, images: Tensor) -> Features:
        first = self.convolution(images).relu()
        pooled = self.depthwise(first).mean(dim=(2, 3))
        return Features(self.head_(pooled), (first,), pooled)

    @property
    def head(self) -> nn.Linear:
        return self.head_


@pytest.mark.parametrize("batch", [1, 3])
def test_a_forward_pass_counts_multiply_and_add(batch: int) -> None:
    assert forward_flops(ByHand(), 3, SIZE, batch) == CONVOLUTION + DEPTHWISE + LINEAR


@pytest.mark.parametrize("batch", [1, 3])
def test_a_training_step_counts_both_gradients_but_not_that_of_the_images(batch: int) -> None:
    assert training_flops(ByHand(), 3, SIZE, batch) == 2 * CONVOLUTION + 3 * DEPTHWISE + 3 * LINEAR


def test_a_transposed_convolutions_gradients_cost_its_forward_pass_each() -> None:
    layer = nn.ConvTranspose2d(4, 6, 2, stride=2, groups=2, device="meta")
    counter = flop_counter()
    with counter:
        layer(torch.empty(1, 4, 5, 5, device="meta", requires_grad=True)).sum().backward()
    assert counter.get_total_flops() == 3 * 2 * (4 * 3 * 2 * 2) * 5 * 5


@pytest.mark.parametrize(
    ("model", "mflop"),
    [("resnet8", 25), ("resnet20", 82), ("wrn_16_2", 202), ("resnet8x4", 354), ("vgg8", 192), ("vgg13", 570)],
)
def test_known_networks_cost_what_is_known(model: str, mflop: int) -> None:
    network = MODELS.parse({"model": model}).build(100, 3, 32)
    assert round(forward_flops(network, 3, 32) / 1e6) == mflop
    assert 2.96 < training_flops(network, 3, 32) / forward_flops(network, 3, 32) < 3


def test_counting_leaves_the_network_as_it_is() -> None:
    network = MODELS.parse({"model": "resnet8"}).build(10, 1, 8).train()
    before = {key: tensor.clone() for key, tensor in network.state_dict().items()}
    training_flops(network, 1, 8)
    forward_flops(network, 1, 8)
    assert network.training
    assert all(parameter.grad is None for parameter in network.parameters())
    assert all(torch.equal(tensor, before[key]) for key, tensor in network.state_dict().items())
