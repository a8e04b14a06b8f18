"""Negatives for contrastive losses: examples of other classes, each a function of its address."""

# B batch, K negatives, N examples of the training subset

import torch
from torch import Tensor, nn

from trainables import streams

_MASK = 0xFFFFFFFF


class OtherClassNegatives(nn.Module):
    """Gives every anchor K examples of other classes, uniformly and with replacement.

    The k-th negative of an example depends only on seed, epoch, the example's position and k, not on its batch, the
    device or what was drawn before.

    Args:
        labels: of the training subset, shape (N,), int64.
        count: K.
        seed: of the trial.

    Raises:
        ValueError: all examples have one class.
    """

    def __init__(self, labels: Tensor, count: int, seed: int) -> None:
        super().__init__()
        self.count, self.seed = count, seed
        members = torch.bincount(labels)
        if int((members > 0).sum()) < 2:
            raise ValueError(f"negatives need examples of at least two classes, but got {int((members > 0).sum())}")
        # Sorted by class, the examples of one class are contiguous; those of other classes are all outside that run.
        self.register_buffer("order", labels.argsort(stable=True), persistent=False)
        self.register_buffer("first", members.cumsum(0) - members, persistent=False)
        self.register_buffer("members", members, persistent=False)

    def forward(self, positions: Tensor, labels: Tensor, epoch: int) -> Tensor:
        """Return the positions of negatives, shape (B, K), for anchors at ``positions`` with ``labels``, shape (B,)."""
        order, first, members = (self.get_buffer(name) for name in ("order", "first", "members"))
        rows, columns = (
            streams.generator(streams.Purpose.NEGATIVES, self.seed, epoch).integers(0, _MASK, size=2).tolist()
        )
        row = _scrambled(_scrambled(positions + rows))
        column = _scrambled(torch.arange(self.count, device=positions.device) + columns)
        random = _scrambled(row[:, None] ^ column)
        own = members[labels][:, None]
        rank = random * (len(order) - own) >> 32
        return order[rank + torch.where(rank >= first[labels][:, None], own, 0)]


def _scrambled(numbers: Tensor) -> Tensor:
    """Apply a pseudo-random bijection of 0 .. 2^32 - 1 (Wellons, hash prospector); products stay below 2^63."""
    numbers = numbers & _MASK
    numbers = ((numbers >> 16) ^ numbers) * 0x21F0AAAD & _MASK
    numbers = ((numbers >> 15) ^ numbers) * 0x735A2D97 & _MASK
    return (numbers >> 15) ^ numbers
