"""Ways to set the distillation temperature, one file each; ``TEMPERATURES`` knows them by kind."""

from trainables.temperatures.base import (
    TEMPERATURES,
    SingleTemperature,
    Temperature,
    TemperatureOptions,
    TrainingProgress,
    Use,
    Weights,
)

__all__ = [
    "TEMPERATURES",
    "SingleTemperature",
    "Temperature",
    "TemperatureOptions",
    "TrainingProgress",
    "Use",
    "Weights",
]
