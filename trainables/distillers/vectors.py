"""Directions of vectors, safe where a vector has none."""

import torch
from torch import Tensor


def unit(vectors: Tensor, smallest: float = 1e-7) -> Tensor:
    """The vectors divided by their lengths, same shape (B, D).

    A vector no longer than ``smallest`` has no direction: it gives zeros, and gets no gradient. (After a ReLU whole
    vectors are zero at times; the plain quotient's gradient is 1 / ``smallest`` or NaN there.)
    """
    length = torch.linalg.vector_norm(vectors, dim=1, keepdim=True)
    return vectors * torch.where(length > smallest, length.clamp_min(smallest).reciprocal(), 0.0)
