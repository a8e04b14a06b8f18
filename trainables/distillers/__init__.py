"""Distillers, one file each; ``DISTILLERS`` knows them by name."""

from trainables.distillers.base import DISTILLERS, Batch, Distiller, DistillerOptions, Losses, Pair

__all__ = ["DISTILLERS", "Batch", "Distiller", "DistillerOptions", "Losses", "Pair"]
