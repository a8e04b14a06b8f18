"""Where a trial's teacher outputs come from: the teacher itself at every step, or a bank."""

# B batch, K channels, S height and width

from abc import ABC, abstractmethod

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from trainables.bank import OpenBank, keys_of
from trainables.config import TrialConfig
from trainables.data import Arrays
from trainables.flops import forward_flops
from trainables.models import Features, Network


class TeacherOutputs(ABC):
    """Where a trial's teacher outputs come from."""

    tflop_per_image: float = 0.0
    """Arithmetic that reading one image's outputs costs here, in TFLOP."""

    @abstractmethod
    def start(self, ids: Tensor, views: Tensor) -> None:
        """Announces the examples of the next steps, in order, as ids and views of shape (n,), on the CPU."""

    @abstractmethod
    def batch(self, begin: int, end: int, images: Tensor) -> Features:
        """The outputs for the announced examples ``begin`` to ``end``, whose images, shape (B, K, S, S), are given."""


class Online(TeacherOutputs):
    """The teacher looks at every batch."""

    def __init__(self, teacher: Network, channels: int, size: int) -> None:
        self.teacher = teacher
        self.tflop_per_image = forward_flops(teacher, channels, size) / 1e12

    def start(self, ids: Tensor, views: Tensor) -> None:
        pass

    def batch(self, begin: int, end: int, images: Tensor) -> Features:
        # Not inference mode: what it makes can't be saved for a backward pass, as some losses do.
        with torch.no_grad():
            return self.teacher.features(images)


class Banked(TeacherOutputs):
    """Outputs read from a bank: one look-up per chunk of steps, then slices."""

    def __init__(self, bank: OpenBank, device: torch.device) -> None:
        self.bank, self.device = bank, device
        self._logits = self._pooled = torch.empty(0)

    def start(self, ids: Tensor, views: Tensor) -> None:
        logits, pooled = self.bank.rows(keys_of(ids.numpy(), views.numpy(), self.bank.views))
        self._logits = self._moved(logits)
        self._pooled = self._moved(pooled) if pooled is not None else self._logits.new_empty(0)

    def batch(self, begin: int, end: int, images: Tensor) -> Features:
        return Features(self._logits[begin:end], (), self._pooled[begin:end])

    def _moved(self, rows: NDArray[np.float32]) -> Tensor:
        tensor = torch.from_numpy(rows)
        # Without pinning, a copy to a GPU would wait for the GPU.
        return (
            (tensor.pin_memory() if self.device.type == "cuda" else tensor).to(self.device, non_blocking=True).float()
        )


def online(teacher: Network, config: TrialConfig, arrays: Arrays) -> Online:
    """The teacher as the source of a trial's outputs, put into the trial's memory format."""
    if config.numerics.memory_format == "channels_last":
        teacher.to(memory_format=torch.channels_last)
    return Online(teacher, arrays.channels, arrays.size)
