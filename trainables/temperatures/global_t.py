"""CTKD's Global-T: one learned temperature for all samples (CTKD, section 3.2)."""

from typing import Literal

import torch
from pydantic import Field
from torch import Tensor, nn

from trainables.temperatures.base import SingleTemperature, Temperature, TrainingProgress
from trainables.temperatures.learned import LearnedOptions
from trainables.temperatures.reversal import reverse_gradient


class GlobalOptions(LearnedOptions):
    """One learned T for all samples."""

    kind: Literal["global"] = "global"
    initial: float = Field(1.0, ge=-100, le=100, description="p at the start; 1 gives T = 15.62 with the default span.")

    def build(self, classes: int) -> Temperature:
        return GlobalTemperature(self)


class GlobalTemperature(SingleTemperature):
    """p is one scalar parameter."""

    def __init__(self, options: GlobalOptions) -> None:
        super().__init__()
        self.options = options
        self.parameter = nn.Parameter(torch.tensor([options.initial], dtype=torch.float32))

    def value(self, student: Tensor, teacher: Tensor, progress: TrainingProgress) -> Tensor:
        temperature = self.options.temperature(reverse_gradient(self.parameter, progress.strength)).squeeze(0)
        self.seen = temperature.detach()
        return temperature
