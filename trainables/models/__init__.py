"""Networks, one file for each family; ``MODELS`` finds them by name.

A network takes images and gives logits, feature maps and the pooled vector.
"""

from trainables.models.base import MODELS, Features, ModelOptions, Network

__all__ = ["MODELS", "Features", "ModelOptions", "Network"]
