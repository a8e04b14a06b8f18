"""Kinds of distillation temperature, one file each; ``TEMPERATURES`` finds them by kind.

A kind takes both networks' logits, the labels and λ, and gives the distillation loss, or T itself.
"""

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
