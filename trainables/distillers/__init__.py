"""Distillers, one file each; ``DISTILLERS`` finds them by name.

A distiller takes the outputs of student and teacher for a batch, and a temperature, and gives the loss.
"""

from trainables.distillers.base import DISTILLERS, Batch, Distiller, DistillerOptions, Losses, Pair

__all__ = ["DISTILLERS", "Batch", "Distiller", "DistillerOptions", "Losses", "Pair"]
