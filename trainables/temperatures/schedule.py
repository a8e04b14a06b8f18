"""A temperature on a fixed schedule: the control experiment for a learned one."""

import math
from typing import ClassVar, Literal

import torch
from pydantic import Field
from torch import Tensor

from trainables.temperatures.base import (
    ALL_USES,
    SingleTemperature,
    Temperature,
    TemperatureOptions,
    TrainingProgress,
    Use,
)


class ScheduleOptions(TemperatureOptions):
    """T goes from `start` in the first epoch to `end`, and stays there."""

    serves: ClassVar[frozenset[Use]] = ALL_USES

    kind: Literal["schedule"] = "schedule"
    start: float = Field(ge=0.01, le=1000, description="T in the first epoch.")
    end: float = Field(ge=0.01, le=1000, description="T from the last epoch of the path on.")
    path: Literal["linear", "cosine"] = Field("linear", description="Equal steps, or half a cosine: slow, fast, slow.")
    epochs: int | None = Field(
        None,
        ge=2,
        le=100_000,
        description="Length of the path in epochs; T is `end` in this one. Default: all of the trial's.",
    )

    def temperature(self, epoch: int, epochs: int) -> float:
        """Return T in this epoch, counted from 1, of a trial of so many."""
        length = self.epochs or epochs
        share = (min(epoch, length) - 1) / max(length - 1, 1)
        if self.path == "cosine":
            share = (1 - math.cos(math.pi * share)) / 2
        return self.start + (self.end - self.start) * share

    def build(self, classes: int) -> Temperature:
        return ScheduledTemperature(self)


class ScheduledTemperature(SingleTemperature):
    """T is a function of the epoch."""

    def __init__(self, options: ScheduleOptions) -> None:
        super().__init__()
        self.options = options

    def value(self, student: Tensor, teacher: Tensor, progress: TrainingProgress) -> Tensor:
        now = self.options.temperature(progress.epoch, progress.epochs)
        self.seen = torch.full((), now, dtype=torch.float32, device=student.device)
        return self.seen
