"""Standard errors that count the draw of seeds, of groups with their own teacher, and of test examples."""

from collections.abc import Callable

import numpy as np
import pytest
from numpy.typing import NDArray
from scipy import stats

from ctkd_study.analysis.variation import Estimate, crossed, group_means, over_replicates

STUDIES, EXAMPLES = 800, 400


def bits(
    rng: np.random.Generator, replicates: int, by_example: float, by_replicate: float, noise: float = 1.0
) -> NDArray[np.float64]:
    """Differences of two arms that are equally good for new replicates and examples, percent, shape (R, N).

    Args:
        by_example: deviation, in logits, of what an arm finds harder in an example than the other does.
        by_replicate: deviation, in logits, of an arm between replicates.
        noise: scale of what is left in a cell.
    """
    difficulty = rng.normal(2.0, 2.0, EXAMPLES)
    right = [
        difficulty
        + rng.normal(0, by_example, EXAMPLES)
        + rng.normal(0, by_replicate, (replicates, 1))
        + noise * rng.logistic(size=(replicates, EXAMPLES))
        > 0
        for _ in range(2)
    ]
    return 100.0 * (right[0].astype(np.float64) - right[1])


def half_width(found: Estimate) -> float:
    return float(stats.t.isf(0.025, found.freedom)) * found.standard_error


def coverage(half: Callable[[NDArray[np.float64]], float], *setting: float) -> float:
    """In how many percent of studies of equal arms an interval of this half width holds the truth, 0."""
    rng = np.random.default_rng(7)
    studies = (bits(rng, int(setting[0]), *setting[1:]) for _ in range(STUDIES))
    return 100 * float(np.mean([abs(table.mean()) <= half(table) for table in studies]))


def alone(table: NDArray[np.float64]) -> float:
    return half_width(over_replicates(table.mean(axis=1).tolist()))


def both(table: NDArray[np.float64]) -> float:
    return half_width(crossed(table))


# With 800 studies, the standard error of a coverage of 95 % is 0.8 points.
@pytest.mark.parametrize(
    ("replicates", "by_example", "by_replicate", "of_replicates", "of_both"),
    [
        (24, 1.0, 0.1, (0, 85), (93, 97)),  # many seeds: what is left is the examples'
        (8, 0.5, 0.3, (92, 97), (93, 97)),  # few seeds vary far more than examples do
        (8, 0.0, 0.3, (93, 97), (93, 98)),  # arms that differ by seed alone
    ],
)
def test_the_crossed_interval_covers_new_examples_where_that_over_seeds_does_not(
    replicates: int,
    by_example: float,
    by_replicate: float,
    of_replicates: tuple[float, float],
    of_both: tuple[float, float],
) -> None:
    setting = (replicates, by_example, by_replicate)
    assert of_replicates[0] <= coverage(alone, *setting) <= of_replicates[1]
    assert of_both[0] <= coverage(both, *setting) <= of_both[1]


def test_the_wider_of_both_covers_with_as_few_replicates_as_there_are_groups() -> None:
    assert 93 <= coverage(lambda table: max(alone(table), both(table)), 5, 1.0, 0.3) <= 98


def test_the_parts_are_those_of_a_two_way_analysis_of_variance() -> None:
    table = np.random.default_rng(3).choice([-100.0, 0.0, 100.0], (6, 40)) + np.arange(6.0)[:, None]
    rows, columns = table.mean(axis=1), table.mean(axis=0)
    residuals = table - rows[:, None] - columns[None] + table.mean()
    left = float((residuals**2).sum()) / (5 * 39)
    parts = np.array([rows.var(ddof=1) / 6, columns.var(ddof=1) / 40, -left / 240])
    found = crossed(table)
    assert found.mean == pytest.approx(table.mean())
    assert parts[1] > -parts[2], "else the examples would add nothing"
    assert found.standard_error**2 == pytest.approx(parts.sum())
    assert found.freedom == pytest.approx(parts.sum() ** 2 / (parts**2 / [5, 39, 5 * 39]).sum())


def test_examples_never_make_an_interval_narrower_than_replicates_do() -> None:
    table = np.where(
        (np.arange(8)[:, None] + np.arange(40)) % 2, 100.0, -100.0
    )  # every example: half right, half wrong
    table[:4] += 1.0
    assert crossed(table) == pytest.approx(over_replicates(table.mean(axis=1).tolist()))


def test_equal_replicates_have_the_spread_of_the_test_sets_rounding() -> None:
    assert over_replicates([1.0, 1.0, 1.0, 1.0], floor=0.5) == Estimate(1.0, 0.25, 3)
    same = np.tile([100.0, 0.0, 0.0, -100.0], (4, 1))
    assert crossed(same, floor=0.5).standard_error ** 2 == pytest.approx(0.25**2 + np.var(same[0], ddof=1) / 4)


def test_group_means_carry_the_interval_where_seeds_of_a_group_are_alike() -> None:
    assert group_means([1.0, 2.0, 3.0, 6.0], [2, 0, 2, 0]) == [4.0, 2.0]
    rng, groups = np.random.default_rng(5), [seed % 5 for seed in range(20)]
    inside = []
    for _ in range(2000):
        values = (rng.normal(0, 1, 5)[groups] + rng.normal(0, 0.5, 20)).tolist()
        found = over_replicates(values), over_replicates(group_means(values, groups))
        inside.append([abs(each.mean) <= half_width(each) for each in found])
    by_seed, by_group = 100 * np.mean(inside, axis=0)
    assert by_seed < 75
    assert 93.5 <= by_group <= 96.5
