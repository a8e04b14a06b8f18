"""The map from an unbounded parameter p to T, which CTKD's two learned temperatures share.

T = τ_init + τ_range · sigmoid(p): τ_range is a span, so with the defaults T lies in (1, 21), not (1, 20). With p = 1 it
starts at 15.62; weight decay pulls p towards 0, T towards 11. Source: CTKD, section 3.2.
"""

from typing import ClassVar

import torch
from pydantic import Field
from torch import Tensor

from trainables.temperatures.base import ALL_USES, TemperatureOptions, Use


class LearnedOptions(TemperatureOptions):
    """Bounds of a learned temperature."""

    learned: ClassVar[bool] = True
    serves: ClassVar[frozenset[Use]] = ALL_USES

    tau_init: float = Field(1.0, ge=0.01, le=1000, description="τ_init: the lower bound of T.")
    tau_range: float = Field(
        20.0, gt=0, le=1000, description="τ_range: the span of T, which lies in (τ_init, τ_init + τ_range)."
    )

    @property
    def bounds(self) -> tuple[float, float]:
        """The open interval in which T lies."""
        return self.tau_init, self.tau_init + self.tau_range

    def temperature(self, parameter: Tensor) -> Tensor:
        """Return T for the unbounded parameter p, same shape."""
        return self.tau_init + self.tau_range * torch.sigmoid(parameter)
