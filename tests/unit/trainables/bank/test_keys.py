"""Which pairs of example and view trials draw."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st

from trainables import streams
from trainables.bank import (
    keys_of,
    needed,
    share_of,
)


@hypothesis_settings(deadline=None)
@given(
    epochs=st.dictionaries(st.integers(0, 5), st.integers(1, 6), max_size=3),
    views=st.sampled_from([1, 2, 9, 162]),
    members=st.sets(st.integers(0, 19), min_size=1),
)
def test_needed_are_the_pairs_that_the_streams_draw(epochs: dict[int, int], views: int, members: set[int]) -> None:
    ids = np.array(sorted(members))
    keys = needed(epochs, ids, 20, views)
    drawn = {
        (example, int(streams.views(seed, epoch, 20, views)[example]))
        for seed, count in epochs.items()
        for epoch in range(1, count + 1)
        for example in members
    }
    assert list(keys) == sorted(keys_of(np.array([e]), np.array([v]), views)[0] for e, v in drawn)


@pytest.mark.parametrize(("seeds", "epochs"), [(1, 30), (5, 240)])
def test_the_expected_share_of_views_is_near_the_drawn_one(seeds: int, epochs: int) -> None:
    plan = dict.fromkeys(range(seeds), epochs)
    drawn = len(needed(plan, np.arange(2000), 2000, 162)) / 2000
    assert share_of(plan, 162) == pytest.approx(drawn, rel=0.01)
    assert share_of(plan, 1) == 1
