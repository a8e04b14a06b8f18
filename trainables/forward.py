"""How a student's training step runs forward: as it is written, in bfloat16, compiled.

What this process or its device cannot do is left out, and said: a trial then runs as it is written, in float32.
"""

import contextlib
import copy
import dataclasses
import logging
from collections.abc import Callable, Sequence
from pathlib import Path

import torch
from torch import Tensor

from trainables.config import Numerics
from trainables.models import Features, Network

log = logging.getLogger(__name__)

_BFLOAT16_UNITS = {"avx512_bf16", "amx_bf16", "bf16"}
"""What Linux calls them, on x86 and ARM."""


@dataclasses.dataclass(frozen=True)
class Forward:
    """A network's forward pass, run as asked or as near to it as can be had."""

    network: Network
    train: Callable[[Tensor], Features]
    """The features of a batch of training images, with gradient."""
    precision: Callable[[], contextlib.AbstractContextManager[object]]
    """The context that the network runs in, wherever it runs."""
    fallbacks: tuple[str, ...]
    """What was asked for and left out, with the reason."""

    @classmethod
    def of(cls, network: Network, numerics: Numerics, device: torch.device, examples: Sequence[Tensor]) -> "Forward":
        """The forward pass of a network on its device.

        Args:
            network: in training mode or not; it is left as it is.
            numerics: what is asked for.
            device: where the network is.
            examples: batches as training will see them, one of each size, shape (B, channels, S, S), in their memory
                format. What compiles for them is not done in the first epoch, whose seconds are a trial's cost.
        """
        fallbacks: list[str] = []
        precision: Callable[[], contextlib.AbstractContextManager[object]] = contextlib.nullcontext
        if numerics.dtype == "bfloat16":
            if lacking := _without_bfloat16(device):
                fallbacks.append(f"numerics.dtype: float32 instead of bfloat16, as {lacking}")
            else:
                precision = lambda: torch.autocast(device.type, torch.bfloat16)  # noqa: E731
        features: Callable[[Tensor], Features] = network.features
        if numerics.compile:
            compiled = _compiled(network, precision, examples)
            if isinstance(compiled, str):
                fallbacks.append(f"numerics.compile: not compiled, as {compiled}")
            else:
                features = compiled

        def train(images: Tensor) -> Features:
            with precision():
                return features(images)

        for text in fallbacks:
            log.warning("%s", text)
        return cls(network, train, precision, tuple(fallbacks))

    def logits(self, images: Tensor) -> Tensor:
        """The logits of a batch, float32, shape (B, C)."""
        with self.precision():
            return self.network.features(images).logits.float()


def _without_bfloat16(device: torch.device) -> str | None:
    """Why bfloat16 is no gain on a device; None where it has units for it."""
    if device.type == "cuda":
        major, minor = torch.cuda.get_device_capability(device)
        return None if major >= 8 else f"compute capability {major}.{minor} has no units for it"
    try:
        words = set(Path("/proc/cpuinfo").read_text().split())
    except OSError:
        words = set()
    # Without them, torch computes the same ten times slower than in float32 (docs/performance.md).
    return None if words & _BFLOAT16_UNITS else "this processor has no units for it"


def _compiled(
    network: Network, precision: Callable[[], contextlib.AbstractContextManager[object]], examples: Sequence[Tensor]
) -> Callable[[Tensor], Features] | str:
    """The features compiled, once through forward and backward so that whatever can fail fails here; or why not."""
    before, training = copy.deepcopy(network.state_dict()), network.training
    compiled: Callable[[Tensor], Features] = torch.compile(network.features, dynamic=False)
    network.train()
    try:
        for example in examples:
            with precision():
                outputs = compiled(example)
            outputs.logits.float().sum().backward()  # type: ignore[no-untyped-call]
    except Exception as fault:  # whatever a compiler that is missing or a network that it can't read makes torch raise
        return (str(fault).strip().splitlines() or [type(fault).__name__])[0]
    finally:
        network.train(training)
        network.load_state_dict(before)
        network.zero_grad(set_to_none=True)
    return compiled
