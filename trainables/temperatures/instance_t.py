"""CTKD's Instance-T: a learned temperature for each sample (CTKD, section 3.2)."""

# B batch, C classes, H hidden width

from typing import Literal

import torch
from pydantic import Field
from torch import Tensor, nn

from trainables.temperatures.base import SingleTemperature, Temperature, TrainingProgress
from trainables.temperatures.learned import LearnedOptions
from trainables.temperatures.reversal import reverse_gradient


class InstanceOptions(LearnedOptions):
    """One learned T per sample, from its teacher and student logits."""

    kind: Literal["instance"] = "instance"
    hidden: int | None = Field(
        None,
        ge=1,
        le=65_536,
        description="Hidden width of the two-layer network; the authors publish none. Default: the number of classes.",
    )

    def build(self, classes: int) -> Temperature:
        return InstanceTemperature(self, classes)


class InstanceTemperature(SingleTemperature):
    """p is the output of a two-layer network on the concatenated logits of the sample, (B, 2C) -> (B, H) -> (B, 1).

    Its inputs are detached: the student must not be trained through the temperature network.
    """

    def __init__(self, options: InstanceOptions, classes: int) -> None:
        super().__init__()
        self.options = options
        hidden = options.hidden or classes
        self.network = nn.Sequential(nn.Linear(2 * classes, hidden), nn.ReLU(), nn.Linear(hidden, 1))

    def value(self, student: Tensor, teacher: Tensor, progress: TrainingProgress) -> Tensor:
        inputs = torch.cat([teacher.detach().float(), student.detach().float()], dim=1)
        parameter = reverse_gradient(self.network(inputs), progress.strength)
        temperature = self.options.temperature(parameter).squeeze(1)
        self.seen = temperature.detach()
        return temperature
