"""Which pairs of example and view trials draw."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st
from numpy.typing import NDArray

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


def test_shares_by_hand() -> None:
    assert share_of({0: 1}, 2) == pytest.approx(1.0)
    assert share_of({0: 2}, 2) == pytest.approx(1.5)
    assert share_of({0: 1, 5: 2}, 4) == pytest.approx(4 * (1 - (3 / 4) ** 3))
    assert share_of({}, 4) == 0
    assert share_of({}, 1) == 1


def test_keys_count_views_within_examples() -> None:
    assert keys_of(np.array([0, 2, 1]), np.array([3, 0, 4]), 5).tolist() == [3, 10, 9]


def test_one_view_is_drawn_once_however_many_epochs(monkeypatch: pytest.MonkeyPatch) -> None:
    drawn: list[tuple[int, int]] = []
    real = streams.views

    def noted(seed: int, epoch: int, examples: int, choices: int) -> NDArray[np.int64]:
        drawn.append((seed, epoch))
        return real(seed, epoch, examples, choices)

    monkeypatch.setattr(streams, "views", noted)
    assert needed({0: 100, 4: 0}, np.array([1, 3]), 5, 1).tolist() == [1, 3]
    assert drawn == [(0, 1)], "they are all the same"
    needed({0: 2, 4: 1}, np.array([1, 3]), 5, 2)
    assert drawn[1:] == [(0, 1), (0, 2), (4, 1)]
