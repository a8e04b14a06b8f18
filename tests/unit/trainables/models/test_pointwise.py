"""1x1 convolutions with a stride: the same numbers as torch's, without its writes beyond the buffer."""

import copy
import subprocess
import sys

import pytest
import torch
from torch import nn

from trainables.models.pointwise import PointwiseConv2d, is_unsafe, make_safe

# In a process of its own, so that a corrupted heap is a failed test and not the end of all tests.
SCRIPT = """
import torch
from torch import nn
from trainables.models import MODELS
from trainables.models.pointwise import PointwiseConv2d, make_safe

torch.set_num_threads(1)
for width in range(1, 9):
    theirs = nn.Sequential(nn.Conv2d(width, 8, 1, stride=2, bias=False))
    make_safe(theirs)
    for network, inputs in (
        (PointwiseConv2d(width, 8, stride=2), width),
        (theirs, width),
        (MODELS.parse({"model": "resnet8", "widths": [width] * 4}).build(10, 1, 16), 1),
    ):
        network = network.to(memory_format=torch.channels_last)
        for batch in (2, 32):
            images = torch.randn(batch, inputs, 16, 16).to(memory_format=torch.channels_last).requires_grad_()
            network(images).square().sum().backward()
            assert all(parameter.grad.isfinite().all() for parameter in network.parameters())
print("every width trained")
"""


def test_narrow_networks_train_in_channels_last() -> None:
    done = subprocess.run([sys.executable, "-c", SCRIPT], capture_output=True, text=True, timeout=120, check=False)
    assert done.returncode == 0, done.stderr[-2000:]
    assert done.stdout.strip() == "every width trained"


@pytest.mark.parametrize("size", [1, 2, 7, 8])
@pytest.mark.parametrize(("stride", "groups", "bias"), [(1, 1, False), (2, 1, False), (2, 3, True), (3, 1, True)])
def test_output_and_gradients_are_those_of_torch(stride: int, groups: int, bias: bool, size: int) -> None:
    plain = nn.Conv2d(6, 9, 1, stride, groups=groups, bias=bias).double()
    own = PointwiseConv2d(6, 9, stride, groups, bias).double()
    own.load_state_dict(plain.state_dict())
    made = nn.Sequential(copy.deepcopy(plain))
    make_safe(made)
    images = torch.randn(2, 6, size, size, dtype=torch.float64)

    def gradients(network: nn.Module) -> list[torch.Tensor]:
        leaf = images.clone().requires_grad_()
        output: torch.Tensor = network(leaf)
        return [output, *torch.autograd.grad(output.square().sum(), [leaf, *network.parameters()])]

    for safe in (own, made):
        assert not any(is_unsafe(module) for module in safe.modules())
        torch.testing.assert_close(gradients(safe), gradients(plain))


def test_a_network_made_safe_keeps_its_keys_and_classes_and_survives_a_copy() -> None:
    class Standardised(nn.Conv2d):
        """A convolution whose forward pass is not the plain one."""

        def forward(self, input: torch.Tensor) -> torch.Tensor:
            return torch.div(super().forward(input), self.weight.norm())

    network = nn.Sequential(Standardised(9, 4, 1, stride=2), nn.Conv2d(4, 4, 3, stride=2))
    images = torch.randn(2, 9, 8, 8)
    expected, keys = network(images), list(network.state_dict())
    make_safe(network)
    assert list(network.state_dict()) == keys
    assert isinstance(network[0], Standardised)
    assert network[1].stride == (2, 2)
    torch.testing.assert_close(copy.deepcopy(network)(images), expected)


def test_a_padded_strided_convolution_is_refused() -> None:
    with pytest.raises(ValueError, match="must have no padding, but got 0"):
        make_safe(nn.Sequential(nn.Conv2d(8, 8, 1, stride=2, padding=1)))
