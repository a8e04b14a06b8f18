"""Unit vectors, with a safe gradient for zero vectors."""

import torch
from torch import Tensor


def unit(vectors: Tensor, smallest: float = 1e-7) -> Tensor:
    """Return the vectors divided by their lengths, same shape (B, D).

    A vector no longer than ``smallest`` becomes zeros, and gets no gradient. (After a ReLU some vectors are zero; the
    gradient of the plain quotient would be 1 / ``smallest`` or NaN there.)
    """
    length = torch.linalg.vector_norm(vectors, dim=1, keepdim=True)
    return vectors * torch.where(length > smallest, length.clamp_min(smallest).reciprocal(), 0.0)
