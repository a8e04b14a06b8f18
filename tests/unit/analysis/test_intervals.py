"""The intervals of a mean difference: which there are, what they are about, and how groups of seeds enter."""

import math

import numpy as np
import pytest
from numpy.typing import NDArray
from scipy import stats

from ctkd_study.analysis.inference import widest
from ctkd_study.analysis.intervals import about, beyond_replicates, intervals, replicates
from ctkd_study.spec import Vary

FIVE, SPLIT = Vary(teacher=5), Vary(teacher=5, split=5)
VALUES = dict(enumerate([1.0, 2.0, 0.0, 3.0, 1.0, 2.0, 2.0, 1.0, 4.0, 0.0]))
MEANS = [1.5, 2.0, 0.5, 3.5, 0.5]
"""Of the groups: seeds 0 and 5, 1 and 6, and so on."""


def right(by_example: float = 0.0, seeds: int = 10, examples: int = 500) -> dict[int, NDArray[np.int8]]:
    """Differences at each example, which the arms find harder or easier by this much."""
    rng = np.random.default_rng(2)
    lean = by_example * rng.standard_normal(examples)
    draws = lean + rng.standard_normal((seeds, examples))
    return dict(enumerate(((draws > 1).astype(np.int8) - (draws < -1)).astype(np.int8)))


def differences(cells: dict[int, NDArray[np.int8]]) -> dict[int, float]:
    return {seed: 100 * float(cell.mean()) for seed, cell in cells.items()}


@pytest.mark.parametrize(
    ("vary", "same", "new"),
    [
        (Vary(), "on this test set", "on new examples"),
        (FIVE, "with new teachers on this test set", "with new teachers on new examples"),
        (SPLIT, "with new teachers and splits on this test set", "with new teachers and splits on new examples"),
    ],
)
def test_each_interval_says_what_it_is_about(vary: Vary, same: str, new: str) -> None:
    cells = right(1.0)
    found = intervals(differences(cells), cells, vary)
    assert [each.about for each in found] == [same, new]
    assert about(vary) == same
    (alone,) = intervals(differences(cells), {}, vary)
    assert alone == found[0]


def test_groups_of_seeds_are_the_independent_values() -> None:
    assert replicates(VALUES, Vary()) == list(VALUES.values())
    assert replicates(VALUES, FIVE) == MEANS
    (found,) = intervals(VALUES, {}, FIVE)
    assert found.freedom == 4
    half = stats.t.ppf(0.975, 4) * np.std(MEANS, ddof=1) / math.sqrt(5)
    assert (found.low, found.high) == pytest.approx((1.6 - half, 1.6 + half))


def test_below_three_groups_there_is_no_interval() -> None:
    some = {seed: value for seed, value in VALUES.items() if seed % 5 < 2}
    assert intervals(some, {}, FIVE) == ()
    assert len(intervals(some, {}, Vary())) == 1


@pytest.mark.parametrize("vary", [Vary(), SPLIT])
@pytest.mark.parametrize("by_example", [0.0, 0.2, 1.0])
def test_that_about_new_examples_is_never_the_narrower_and_the_verdict_is_read_off_it(
    vary: Vary, by_example: float
) -> None:
    cells = right(by_example)
    same, new = intervals(differences(cells), cells, vary)
    assert new.high - new.low >= same.high - same.low
    assert (new.low + new.high) / 2 == pytest.approx((same.low + same.high) / 2), "about one mean"
    assert widest((same, new)) is new
    assert beyond_replicates((same, new)) == pytest.approx(
        math.sqrt((new.standard_error or 0) ** 2 - (same.standard_error or 0) ** 2)
    )
    if by_example == 1.0:
        assert new.high - new.low > 1.05 * (same.high - same.low)


def test_one_seed_without_known_examples_leaves_the_interval_of_the_test_set() -> None:
    cells = right(1.0)
    values = differences(cells)
    del cells[3]
    assert [each.about for each in intervals(values, cells, Vary())] == ["on this test set"]
    assert beyond_replicates(intervals(values, cells, Vary())) == 0.0
    assert beyond_replicates(()) == 0.0
