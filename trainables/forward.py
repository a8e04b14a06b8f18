"""The student's forward pass: plain, in bfloat16, or compiled.

If the device or process cannot do what is asked for, the trial runs without it, and its record says so.
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
"""Linux's names of these units on x86 and ARM."""


@dataclasses.dataclass(frozen=True)
class Forward:
    """A network's forward pass, as asked for or as close to that as the machine allows."""

    network: Network
    train: Callable[[Tensor], Features]
    """Returns the features of a batch of training images, with gradient."""
    precision: Callable[[], contextlib.AbstractContextManager[object]]
    """Returns the context for every run of the network: autocast, or nothing."""
    fallbacks: tuple[str, ...]
    """Options that were asked for and are not used, each with the reason."""

    @classmethod
    def of(cls, network: Network, numerics: Numerics, device: torch.device, examples: Sequence[Tensor]) -> "Forward":
        """Return the forward pass of a network on its device.

        Args:
            network: in training or evaluation mode; not modified.
            numerics: the options that are asked for.
            device: the network's device.
            examples: a batch of each size that training has, shape (B, channels, S, S), in the trial's memory format.
                They are compiled for here, so that compile time is not charged to epoch 1.
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
        """Return the logits of a batch, float32, shape (B, C)."""
        with self.precision():
            return self.network.features(images).logits.float()


def _without_bfloat16(device: torch.device) -> str | None:
    """Return why bfloat16 is not faster on a device; None if the device has units for it."""
    if device.type == "cuda":
        major, minor = torch.cuda.get_device_capability(device)
        return None if major >= 8 else f"compute capability {major}.{minor} has no units for it"
    try:
        words = set(Path("/proc/cpuinfo").read_text().split())
    except OSError:
        words = set()
    # Without such units, bfloat16 is ten times slower than float32 (docs/performance.md).
    return None if words & _BFLOAT16_UNITS else "this processor has no units for it"


def _compiled(
    network: Network, precision: Callable[[], contextlib.AbstractContextManager[object]], examples: Sequence[Tensor]
) -> Callable[[Tensor], Features] | str:
    """Return the compiled features, or why they cannot be compiled.

    One forward and backward pass is run, so that compilation fails here if it fails at all.
    """
    before, training = copy.deepcopy(network.state_dict()), network.training
    compiled: Callable[[Tensor], Features] = torch.compile(network.features, dynamic=False)
    network.train()
    try:
        for example in examples:
            with precision():
                outputs = compiled(example)
            outputs.logits.float().sum().backward()  # type: ignore[no-untyped-call]
    except Exception as fault:  # torch raises many kinds: no compiler, a network it cannot trace
        return (str(fault).strip().splitlines() or [type(fault).__name__])[0]
    finally:
        network.train(training)
        network.load_state_dict(before)
        network.zero_grad(set_to_none=True)
    return compiled
