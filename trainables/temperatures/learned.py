"""CTKD's learned temperatures: one for all samples (global), or one per sample (instance).

T = τ_init + τ_range · sigmoid(p): τ_range is a span, so with the defaults T lies in (1, 21), not (1, 20). With p = 1 it starts
at 15.62; weight decay pulls p towards 0, T towards 11. Source: CTKD, section 3.2.
"""

# B batch, C classes, H hidden width

from typing import ClassVar, Literal

import torch
from pydantic import Field
from torch import Tensor, nn

from trainables.temperatures.base import Progress, SingleTemperature, Temperature, TemperatureOptions
from trainables.temperatures.reversal import reverse_gradient


class _LearnedOptions(TemperatureOptions):
    learned: ClassVar[bool] = True

    tau_init: float = Field(1.0, gt=0, le=1000, description="τ_init: the lower bound of T.")
    tau_range: float = Field(20.0, gt=0, le=1000, description="τ_range: the span of T, which lies in (τ_init, τ_init + τ_range).")

    def temperature(self, parameter: Tensor) -> Tensor:
        """T from the unbounded parameter p, same shape."""
        return self.tau_init + self.tau_range * torch.sigmoid(parameter)


class GlobalOptions(_LearnedOptions):
    """One learned T for all samples."""

    kind: Literal["global"] = "global"
    initial: float = Field(1.0, ge=-100, le=100, description="p at the start; 1 gives T = 15.62 with the default span.")

    def build(self, classes: int) -> Temperature:
        return GlobalTemperature(self)


class GlobalTemperature(SingleTemperature):
    """Global-T: p is one scalar parameter."""

    def __init__(self, options: GlobalOptions) -> None:
        super().__init__()
        self.options = options
        self.parameter = nn.Parameter(torch.tensor([options.initial], dtype=torch.float32))

    def value(self, student: Tensor, teacher: Tensor, progress: Progress) -> Tensor:
        temperature = self.options.temperature(reverse_gradient(self.parameter, progress.strength)).squeeze(0)
        self.seen = temperature.detach()
        return temperature


class InstanceOptions(_LearnedOptions):
    """One learned T per sample, from its teacher and student logits."""

    kind: Literal["instance"] = "instance"
    hidden: int | None = Field(
        None, ge=1, le=65_536, description="Hidden width of the two-layer network; the authors do not publish theirs. Default: the number of classes."
    )

    def build(self, classes: int) -> Temperature:
        return InstanceTemperature(self, classes)


class InstanceTemperature(SingleTemperature):
    """Instance-T: p is the output of a two-layer network on the concatenated logits of the sample.

    Its inputs are detached: the student must not be trained through the temperature network.
    """

    def __init__(self, options: InstanceOptions, classes: int) -> None:
        super().__init__()
        self.options = options
        hidden = options.hidden or classes
        self.network = nn.Sequential(nn.Linear(2 * classes, hidden), nn.ReLU(), nn.Linear(hidden, 1))

    def value(self, student: Tensor, teacher: Tensor, progress: Progress) -> Tensor:
        inputs = torch.cat([teacher.detach().float(), student.detach().float()], dim=1)
        parameter = reverse_gradient(self.network(inputs), progress.strength)
        temperature = self.options.temperature(parameter).squeeze(1)
        self.seen = temperature.detach()
        return temperature
