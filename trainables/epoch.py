"""The numbers of one epoch: added up on the device step by step, and read once."""

import dataclasses
import time

import torch
from torch import Tensor

from trainables.record import Row


class Clock:
    """Adds up the time a device spends on work started in ``with`` blocks, without waiting for it there."""

    def __init__(self, device: torch.device) -> None:
        self._on_gpu = device.type == "cuda"
        self._elapsed = self._entered = 0.0
        self._events: list[torch.cuda.Event] = []

    def __enter__(self) -> None:
        if self._on_gpu:
            self._mark()
        self._entered = time.perf_counter()

    def __exit__(self, *exception: object) -> None:
        self._elapsed += time.perf_counter() - self._entered
        if self._on_gpu:
            self._mark()

    def _mark(self) -> None:
        event = torch.cuda.Event(enable_timing=True)  # type: ignore[no-untyped-call]
        event.record()
        self._events.append(event)

    def seconds(self) -> float:
        """Return the sum so far, in seconds; on a GPU this waits for the work to end."""
        if not self._on_gpu:
            return self._elapsed
        torch.cuda.synchronize()
        pairs = zip(self._events[::2], self._events[1::2], strict=True)
        return float(sum(begin.elapsed_time(end) for begin, end in pairs)) / 1000


@dataclasses.dataclass(frozen=True)
class EpochStats:
    """An epoch of training, read from the device."""

    row: Row
    """Losses, accuracy and temperature, by the names of ``docs/record.md``."""
    teacher_seconds: float


@dataclasses.dataclass
class EpochTotals:
    """What the steps of an epoch add up, on the device."""

    teacher: Clock
    sizes: list[int] = dataclasses.field(default_factory=list)
    losses: list[tuple[Tensor, Tensor, Tensor | None, Tensor | None]] = dataclasses.field(default_factory=list)
    correct: list[Tensor] = dataclasses.field(default_factory=list)
    temperatures: list[Tensor] = dataclasses.field(default_factory=list)

    def stats(self, examples: int) -> EpochStats:
        """Read it all, with one synchronisation; ``examples`` is how many were seen."""
        row: Row = {}
        weights = torch.tensor(self.sizes, dtype=torch.float64) / examples
        for name, parts in zip(
            ("train_loss", "ce_loss", "kd_loss", "other_loss"), zip(*self.losses, strict=True), strict=True
        ):
            present = [part.detach() for part in parts if part is not None]
            row[name] = float(torch.stack(present).double().cpu() @ weights) if present else None
        row["train_top1"] = 100 * int(torch.stack(self.correct).sum()) / examples
        row.update(dict.fromkeys(("temperature", "temperature_min", "temperature_max", "temperature_std")))
        if self.temperatures and self.temperatures[0].ndim:
            each = torch.cat(self.temperatures).double()
            row["temperature"], row["temperature_std"] = float(each.mean()), float(each.std(correction=0))
            row["temperature_min"], row["temperature_max"] = float(each.min()), float(each.max())
        elif self.temperatures:
            row["temperature"] = float(torch.stack(self.temperatures).double().cpu() @ weights)
        return EpochStats(row, self.teacher.seconds())
