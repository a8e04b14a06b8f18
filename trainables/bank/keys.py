"""Keys of pairs of an example and a view, and which pairs trials draw."""

from collections.abc import Mapping

import numpy as np
from numpy.typing import NDArray

from trainables import streams

#: Keys of pairs (example, view), shape (pairs,), int64.
Keys = NDArray[np.int64]


def keys_of(ids: NDArray[np.int64], views: NDArray[np.int64], count: int) -> Keys:
    """The keys of pairs (example, view), where an example has ``count`` views."""
    return ids * count + views


def needed(epochs: Mapping[int, int], members: NDArray[np.int64], examples: int, views: int) -> Keys:
    """The keys that trials will draw, ascending, each once.

    Args:
        epochs: how many epochs are trained with each seed.
        members: ids of the examples that are trained on, ascending.
        examples: of the data set.
        views: of an example.
    """
    seen = np.zeros((len(members), views), dtype=np.bool_)
    places = np.arange(len(members))
    for seed, count in epochs.items():
        for epoch in range(1, (min(count, 1) if views == 1 else count) + 1):
            seen[places, streams.views(seed, epoch, examples, views)[members]] = True
    place, view = np.nonzero(seen)
    return keys_of(members[place], view, views)


def share_of(epochs: Mapping[int, int], views: int) -> float:
    """How many different views of an example the epochs will draw, on average; needs no data.

    Of V views, D draws see V (1 - (1 - 1/V)^D).
    """
    return float(views * -np.expm1(sum(epochs.values()) * np.log1p(-1 / views))) if views > 1 else 1.0
