"""How a network is trained: epochs, batches, optimiser, learning rate."""

import math
from abc import abstractmethod
from typing import TYPE_CHECKING, Annotated, Any, Literal

from pydantic import Field, model_validator

from trainables.options import IntTuple, Options
from trainables.presets import PRESETS, expanded
from trainables.registry import OneOf, Registry


class ScheduleOptions(Options):
    """A schedule of the learning rate, constant within an epoch."""

    @abstractmethod
    def factor(self, epoch: int, epochs: int) -> float:
        """Return the factor of the learning rate in this epoch, counted from 1, of a trial of so many."""


class ConstantSchedule(ScheduleOptions):
    """The learning rate never changes."""

    kind: Literal["constant"] = "constant"

    def factor(self, epoch: int, epochs: int) -> float:
        return 1.0


class CosineSchedule(ScheduleOptions):
    """Half a cosine from the full learning rate in the first epoch towards 0 after the last."""

    kind: Literal["cosine"] = "cosine"

    def factor(self, epoch: int, epochs: int) -> float:
        return (1 + math.cos(math.pi * (epoch - 1) / epochs)) / 2


class StepSchedule(ScheduleOptions):
    """The learning rate is multiplied by `gamma` after each of the milestones."""

    kind: Literal["step"] = "step"
    milestones: IntTuple = Field(description="Epochs after which the learning rate drops, e.g. [150, 180, 210].")
    gamma: float = Field(0.1, gt=0, le=1, description="What it is multiplied by at each.")

    def factor(self, epoch: int, epochs: int) -> float:
        return self.gamma ** sum(epoch > milestone for milestone in self.milestones)


SCHEDULES = Registry("trainables.recipe", ScheduleOptions, "kind", "ctkd_study.schedules")


if TYPE_CHECKING:
    PresetName = str
else:
    PresetName = Literal[tuple(PRESETS)]  # the schema and the errors list the presets, which are defined in one place


class Recipe(Options):
    """One training run: SGD with momentum."""

    preset: PresetName | None = Field(
        None,
        exclude=True,
        description="A recipe of the literature; stands for its keys, of which those that are written beside it win.",
    )
    epochs: int = Field(ge=1, le=100_000, description="Passes over the training subset.")
    batch_size: int = Field(
        64, ge=2, le=1_000_000, description="Examples per step; the last batch of an epoch may be smaller."
    )
    lr: float = Field(0.05, gt=0, le=1000, description="Learning rate in the first epoch.")
    momentum: float = Field(0.9, ge=0, lt=1, description="Momentum of SGD.")
    weight_decay: float = Field(5e-4, ge=0, le=1, description="L2 penalty; it acts on a learned temperature, too.")
    schedule: Annotated[ScheduleOptions, OneOf(SCHEDULES)] = Field(
        default=CosineSchedule(), description="Of the learning rate."
    )

    @model_validator(mode="before")
    @classmethod
    def _keys_of_the_preset(cls, data: Any) -> Any:
        # Afterwards `preset` is None, so a recipe equals the same recipe written without a preset.
        data = expanded(data)
        if isinstance(data, dict) and "preset" in data:
            return {"epochs": 1, **data}  # report the unknown preset, not the missing key that it would have given
        return data

    def lr_at(self, epoch: int) -> float:
        """Return the learning rate in this epoch, counted from 1."""
        return self.lr * self.schedule.factor(epoch, self.epochs)
