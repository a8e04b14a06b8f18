"""Initial weights: those that several families share, drawn from torch's global generator; and none at all."""

import contextlib
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

import torch
from torch import nn
from torch.overrides import TorchFunctionMode


def normal_fan_out(network: nn.Module) -> None:
    """Every convolution's weights from N(0, 2 / fan-out), its bias 0 (He et al. 2015); everything else is left alone.

    The fan-out is kernel area times output channels, also for grouped convolutions, as the CTKD authors count it.
    """
    for module in network.modules():
        if isinstance(module, nn.Conv2d):
            height, width = module.kernel_size
            nn.init.normal_(module.weight, 0.0, (2 / (height * width * module.out_channels)) ** 0.5)
            if module.bias is not None:
                nn.init.zeros_(module.bias)


@contextlib.contextmanager
def shapes_alone() -> Iterator[None]:
    """Networks that are built inside have shapes but no numbers (device "meta"), and take no memory."""
    with torch.device("meta"), _NothingDrawn():
        yield


class _NothingDrawn(TorchFunctionMode):
    """Skips ``torch.nn.init``: to draw no numbers, torch would first import its compiler, for two seconds.

    Networks of other packages that draw by other means still have it imported.
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
