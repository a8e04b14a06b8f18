"""Standard errors that count the draw of seeds, of groups with their own teacher, and of test examples."""

import numpy as np
import pytest

from ctkd_study.analysis.variation import Estimate, crossed, group_means, over_replicates


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


def test_groups_have_the_means_of_their_seeds() -> None:
    assert group_means([1.0, 2.0, 3.0, 6.0], [2, 0, 2, 0]) == [4.0, 2.0]
