"""Sources of teacher outputs: the teacher, run at every step, or a bank of stored outputs."""

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
    """A source of teacher outputs for the batches of a trial."""

    tflop_per_image: float = 0.0
    """TFLOP to get the outputs for one image."""

    @abstractmethod
    def start(self, ids: Tensor, views: Tensor) -> None:
        """Announce the examples of the next steps.

        Args:
            ids: in the order of training, shape (n,), int64, on the CPU.
            views: the view of each, shape (n,), int64, on the CPU.
        """

    @abstractmethod
    def batch(self, begin: int, end: int, images: Tensor) -> Features:
        """Return the outputs for the announced examples ``begin`` to ``end``.

        Args:
            begin: the first example.
            end: the one after the last.
            images: of these examples, normalised, shape (B, K, S, S).
        """


class Online(TeacherOutputs):
    """Runs the teacher on every batch."""

    def __init__(self, teacher: Network, channels: int, size: int) -> None:
        self.teacher = teacher
        self.tflop_per_image = forward_flops(teacher, channels, size) / 1e12

    def start(self, ids: Tensor, views: Tensor) -> None:
        pass

    def batch(self, begin: int, end: int, images: Tensor) -> Features:
        # Not inference mode: some losses save these tensors for their backward pass.
        with torch.no_grad():
            return self.teacher.features(images)


class Banked(TeacherOutputs):
    """Reads outputs from a bank: one look-up for a chunk of steps, then slices."""

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
        # A copy from unpinned memory would wait for the GPU.
        return (
            (tensor.pin_memory() if self.device.type == "cuda" else tensor).to(self.device, non_blocking=True).float()
        )


def online(teacher: Network, config: TrialConfig, arrays: Arrays) -> Online:
    """Return the teacher as a source, in the trial's memory format."""
    if config.numerics.memory_format == "channels_last":
        teacher.to(memory_format=torch.channels_last)
    return Online(teacher, arrays.channels, arrays.size)
