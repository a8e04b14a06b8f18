"""Critical values of repeated t tests: exact where a formula is known, and right by simulation elsewhere."""

import math

import numpy as np
import pytest
from scipy import stats

from ctkd_study.analysis.spending import critical_values, spent

EVERY = tuple(range(5, 21))


def crossed(looks: tuple[int, ...], critical: tuple[float, ...], paths: int) -> list[int]:
    """How many of some normal paths have crossed a bound, on any side, at each look or before."""
    draw = np.random.default_rng(11)
    mean, squares, count = np.zeros(paths), np.zeros(paths), []
    alive = np.ones(paths, dtype=bool)
    for seeds in range(1, looks[-1] + 1):
        new = draw.standard_normal(paths)
        gap = new - mean
        mean += gap / seeds
        squares += gap * (new - mean)
        if seeds in looks:
            bound = critical[looks.index(seeds)]
            alive &= np.abs(mean) * math.sqrt(seeds) < bound * np.sqrt(squares / (seeds - 1))
            count.append(paths - int(alive.sum()))
    return count


@pytest.mark.parametrize(
    ("looks", "error"), [(EVERY, 0.025), ((5, 10, 15, 20), 0.025 / 3), ((3, 4, 8, 12), 0.025), ((4,), 0.025)]
)
def test_all_looks_together_spend_the_error_that_they_may(looks: tuple[int, ...], error: float) -> None:
    paths = 200_000
    for look, count in zip(looks, crossed(looks, critical_values(looks, looks[-1], error), paths), strict=True):
        share = 2 * spent(look, looks[-1], error)
        assert abs(count - paths * share) < 4 * math.sqrt(paths * share), look


def test_the_first_look_is_a_t_test_at_its_share_and_a_single_one_at_the_whole() -> None:
    first = critical_values(EVERY, 20, 0.025)[0]
    assert first == pytest.approx(stats.t.isf(0.025 / 16, 4), rel=1e-8)
    assert critical_values((8,), 8, 0.025) == pytest.approx((stats.t.isf(0.025, 7),), rel=1e-8)


def test_the_bounds_fall_and_end_above_that_of_a_single_look() -> None:
    critical = critical_values(EVERY, 20, 0.025)
    assert list(critical) == sorted(critical, reverse=True)
    assert critical[-1] == pytest.approx(2.4628, abs=1e-4)
    assert critical[-1] > stats.t.isf(0.025, 19)


def test_a_finer_grid_changes_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    before = critical_values(EVERY, 20, 0.025 / 3)
    monkeypatch.setattr("ctkd_study.analysis.spending._NODES", 3000)
    monkeypatch.setattr("ctkd_study.analysis.spending._POINTS", 96)
    critical_values.cache_clear()
    assert critical_values(EVERY, 20, 0.025 / 3) == pytest.approx(before, rel=1e-7)
    critical_values.cache_clear()
