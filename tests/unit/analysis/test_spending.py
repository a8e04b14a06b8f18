"""Critical values of repeated t tests: exact where a formula is known, and right by simulation elsewhere."""

import math

import numpy as np
import pytest
from scipy import stats

from ctkd_study.analysis.spending import anytime_half_width, critical_values, spent

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


@pytest.mark.parametrize(("error", "heavy"), [(0.025, False), (0.025 / 3, False), (0.025, True)])
def test_the_anytime_interval_holds_under_continuous_looks(error: float, heavy: bool) -> None:
    draw, paths = np.random.default_rng(3), 20_000
    mean, squares = np.zeros(paths), np.zeros(paths)
    missed = np.zeros(paths, dtype=bool)
    for seeds in range(1, 301):
        new = draw.standard_t(5, paths) if heavy else draw.standard_normal(paths)
        gap = new - mean
        mean += gap / seeds
        squares += gap * (new - mean)
        if seeds >= 3:
            missed |= np.abs(mean) > anytime_half_width(seeds, 1.0, error) * np.sqrt(squares / (seeds - 1))
    assert 0.3 * 2 * error < missed.mean() < 2 * error, "neither too often nor so seldom that it is of no use"


def test_the_anytime_interval_has_no_ends_at_first_and_is_wider_than_that_of_one_look() -> None:
    assert anytime_half_width(4, 1.0, 0.025) == math.inf
    for seeds in (5, 20, 200):
        half = anytime_half_width(seeds, 2.0, 0.025)
        assert half == pytest.approx(2 * anytime_half_width(seeds, 1.0, 0.025))
        assert 1 < half / (2 * stats.t.isf(0.025, seeds - 1) / math.sqrt(seeds)) < 4
