"""Ways to set the distillation temperature, one file each; ``TEMPERATURES`` knows them by kind."""

from trainables.temperatures.base import (
    TEMPERATURES,
    Progress,
    SingleTemperature,
    Temperature,
    TemperatureOptions,
    Use,
    Weights,
)

__all__ = ["TEMPERATURES", "Progress", "SingleTemperature", "Temperature", "TemperatureOptions", "Use", "Weights"]
