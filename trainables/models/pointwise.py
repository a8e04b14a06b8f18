"""1x1 convolutions that are safe at any stride, width and memory layout.

In channels_last, torch's CPU backward pass of a 1x1 convolution with stride 2 and fewer than 8 input channels writes
beyond its buffers. Taking every second pixel first, then convolving with stride 1, gives the same numbers from the same
weights.
"""

from torch import Tensor, nn


class PointwiseConv2d(nn.Conv2d):
    """A 1x1 convolution; a stride is taken by subsampling. State-dict keys and shapes are those of ``nn.Conv2d``."""

    def __init__(self, inputs: int, outputs: int, stride: int = 1, groups: int = 1, bias: bool = False) -> None:
        super().__init__(inputs, outputs, kernel_size=1, groups=groups, bias=bias)
        self.subsample = stride

    def forward(self, input: Tensor) -> Tensor:
        if self.subsample > 1:
            input = input[:, :, :: self.subsample, :: self.subsample]
        return super().forward(input)

    def extra_repr(self) -> str:
        return f"{self.in_channels}, {self.out_channels}, groups={self.groups}, subsample={self.subsample}"


def is_unsafe(module: nn.Module) -> bool:
    """Whether the module is a 1x1 convolution with a stride, which torch would compute unsafely."""
    return isinstance(module, nn.Conv2d) and module.kernel_size == (1, 1) and module.stride != (1, 1)


def make_safe(network: nn.Module) -> None:
    """Replace, in place, the stride of every unsafe convolution of a foreign network by subsampling before it.

    Classes, parameters and keys stay as they are.

    Raises:
        ValueError: one has padding, so that its first pixel is none of the image.
    """
    for name, module in network.named_modules():
        if is_unsafe(module) and isinstance(module, nn.Conv2d):
            if module.padding not in ("valid", (0, 0)):
                raise ValueError(f"a 1x1 convolution with a stride must have no padding, but got {name}: {module}")
            module.register_forward_pre_hook(_Subsample(*module.stride))
            module.stride = (1, 1)


class _Subsample:
    """A hook that keeps every ``down``-th row and ``across``-th column of the input."""

    def __init__(self, down: int, across: int) -> None:
        self.down, self.across = down, across

    def __call__(self, module: nn.Module, inputs: tuple[Tensor, ...]) -> Tensor:
        return inputs[0][:, :, :: self.down, :: self.across]
