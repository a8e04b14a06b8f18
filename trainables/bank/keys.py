"""Keys of pairs of example and view, and the pairs that trials draw."""

from collections.abc import Mapping

import numpy as np
from numpy.typing import NDArray

from trainables import streams

#: Keys of pairs (example, view), shape (pairs,), int64.
Keys = NDArray[np.int64]


def keys_of(ids: NDArray[np.int64], views: NDArray[np.int64], count: int) -> Keys:
    """Return the keys of pairs of example and view, shape (pairs,).

    Args:
        ids: of the examples, shape (pairs,).
        views: of the examples, shape (pairs,).
        count: how many views an example has.
    """
    return ids * count + views


def needed(epochs: Mapping[int, int], members: NDArray[np.int64], examples: int, views: int) -> Keys:
    """Return the keys of all pairs that trials draw, ascending, without repetition.

    Args:
        epochs: the number of epochs of each seed.
        members: ids of the training subset, ascending, shape (members,).
        examples: how many training examples the data set has.
        views: how many views an example has.
    """
    seen = np.zeros((len(members), views), np.bool_)
    places = np.arange(len(members))
    for seed, count in epochs.items():
        for epoch in range(1, (min(count, 1) if views == 1 else count) + 1):
            seen[places, streams.views(seed, epoch, examples, views)[members]] = True
    place, view = np.nonzero(seen)
    return keys_of(members[place], view, views)


def share_of(epochs: Mapping[int, int], views: int) -> float:
    """Return how many different views of an example the epochs draw, on average.

    D draws from V views give V (1 - (1 - 1/V)^D) different ones. No data is read.
    """
    return float(views * -np.expm1(sum(epochs.values()) * np.log1p(-1 / views))) if views > 1 else 1.0
