"""A temperature that never changes: the baseline, one value of a grid."""

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


class FixedOptions(TemperatureOptions):
    """T is the same throughout."""

    serves: ClassVar[frozenset[Use]] = ALL_USES

    kind: Literal["fixed"] = "fixed"
    value: float = Field(title="T", ge=0.01, le=1000, description="The temperature T.")

    def build(self, classes: int) -> Temperature:
        return FixedTemperature(self)


class FixedTemperature(SingleTemperature):
    """T is a constant."""

    def __init__(self, options: FixedOptions) -> None:
        super().__init__()
        # A buffer follows the module to its device; it is no part of the state, the options are.
        self.register_buffer("constant", torch.tensor(options.value, dtype=torch.float32), persistent=False)

    def value(self, student: Tensor, teacher: Tensor, progress: TrainingProgress) -> Tensor:
        constant: Tensor = self.get_buffer("constant")
        self.seen = constant
        return constant
