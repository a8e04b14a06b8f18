"""Networks; ``MODELS`` knows them by name."""

from trainables.models.base import MODELS, Features, ModelOptions, Network

__all__ = ["MODELS", "Features", "ModelOptions", "Network"]
