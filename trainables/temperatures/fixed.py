"""A temperature that never changes: the baseline, one value of a grid."""

from typing import Literal

import torch
from pydantic import Field
from torch import Tensor

from trainables.temperatures.base import Progress, SingleTemperature, Temperature, TemperatureOptions


class FixedOptions(TemperatureOptions):
    """T is the same throughout."""

    kind: Literal["fixed"] = "fixed"
    value: float = Field(title="T", gt=0, le=1000, description="The temperature T.")

    def build(self, classes: int) -> Temperature:
        return FixedTemperature(self)


class FixedTemperature(SingleTemperature):
    def __init__(self, options: FixedOptions) -> None:
        super().__init__()
        # A buffer follows the module to its device; it is no part of the state, the options are.
        self.register_buffer("constant", torch.tensor(options.value, dtype=torch.float32), persistent=False)

    def value(self, student: Tensor, teacher: Tensor, progress: Progress) -> Tensor:
        constant: Tensor = self.get_buffer("constant")
        self.seen = constant
        return constant
