"""Initial weights that several families share, and a way to build networks without weights."""

import contextlib
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

import torch
from torch import nn
from torch.overrides import TorchFunctionMode


def normal_fan_out(network: nn.Module) -> None:
    """Draw the weights of all convolutions from N(0, 2 / fan-out) and set their biases to 0 (He et al. 2015).

    The fan-out is kernel area times output channels, also for grouped convolutions, as in the CTKD authors' code.
    """
    for module in network.modules():
        if isinstance(module, nn.Conv2d):
            height, width = module.kernel_size
            nn.init.normal_(module.weight, 0.0, (2 / (height * width * module.out_channels)) ** 0.5)
            if module.bias is not None:
                nn.init.zeros_(module.bias)


@contextlib.contextmanager
def shapes_alone() -> Iterator[None]:
    """Build networks inside the block with shapes but without numbers (device "meta"), so without memory."""
    with torch.device("meta"), _NothingDrawn():
        yield


class _NothingDrawn(TorchFunctionMode):
    """Skips ``torch.nn.init``: on the meta device torch would first import its compiler, which takes two seconds.

    Networks that draw by other means still cause that import.
    """

    def __torch_function__(
        self,
        func: Callable[..., Any],
        types: Sequence[type],
        args: Sequence[Any] = (),
        kwargs: Mapping[str, Any] | None = None,
    ) -> Any:
        kwargs = kwargs or {}
        if getattr(func, "__module__", None) == nn.init.__name__:
            return kwargs["tensor"] if "tensor" in kwargs else args[0]
        return func(*args, **kwargs)
