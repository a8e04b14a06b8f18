"""The arithmetic of a verdict: literal examples, scipy's tests, and what it promises, by simulation."""

import math

import numpy as np
import pytest
from numpy.typing import NDArray
from scipy import stats

from ctkd_study.analysis import inference
from ctkd_study.analysis.intervals import intervals
from ctkd_study.spec import Vary

REPEATS = 40_000
MARGIN = 0.5


def draws(seeds: int, mean: float = 0.0, spread: float = 1.0) -> NDArray[np.float64]:
    """Simulated differences, shape (REPEATS, seeds)."""
    return np.random.default_rng([seeds, 7]).normal(mean, spread, (REPEATS, seeds))


def ends(differences: NDArray[np.float64]) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """The interval of every row at once, shape (REPEATS,) each; ``test_..._agrees`` ties it to ``mean_interval``."""
    count = differences.shape[1]
    half = stats.t.ppf(0.975, count - 1) * differences.std(axis=1, ddof=1) / math.sqrt(count)
    return differences.mean(axis=1) - half, differences.mean(axis=1) + half


def error(rate: float) -> float:
    """Three standard deviations of a simulated rate."""
    return 3 * math.sqrt(rate * (1 - rate) / REPEATS)


# -- literal examples ------------------------------------------------------------------------------------------------


def test_an_interval_worked_out_by_hand() -> None:
    # Mean 2, deviation 1, t(0.975, 2) = 4.302653: half = 4.302653 / sqrt(3) = 2.484138.
    found = inference.mean_interval([1.0, 2.0, 3.0])
    assert found == pytest.approx((2.0, -0.484138, 4.484138), abs=1e-6)


def only(differences: list[float], error: float = inference.ERROR, floor: float = 0.0) -> inference.Interval:
    """The interval of seeds, nothing else being known."""
    (found,) = intervals(dict(enumerate(differences)), {}, Vary(), error, floor)
    return found


def p_not_worse(differences: list[float], margin: float, floor: float = 0.0) -> float | None:
    """That of the only interval."""
    interval = only(differences, floor=floor)
    return inference.p_not_worse(float(np.mean(differences)), interval, margin)


def test_a_p_value_worked_out_by_hand() -> None:
    # t = (2 + 1) / (1 / sqrt(3)) = 5.196152 with two degrees of freedom: P(T > t) = (1 - t / sqrt(t² + 2)) / 2.
    assert p_not_worse([1.0, 2.0, 3.0], 1.0) == pytest.approx(0.0175494, abs=1e-7)
    assert p_not_worse([1.0, 2.0, 3.0], 1e-12) == pytest.approx(0.0370900, abs=1e-7), "half of the two-sided one"


@pytest.mark.parametrize("count", [0, 1, 2])
def test_fewer_than_three_seeds_give_neither_interval_nor_p_value(count: int) -> None:
    values = [0.1 * place for place in range(count)]
    assert inference.mean_interval(values) is None
    assert intervals(dict(enumerate(values)), {}, Vary()) == ()
    assert inference.widest(()) is None


@pytest.mark.parametrize(
    ("low", "high", "word"),
    [
        (0.001, 2.0, "better"),
        (0.0, 2.0, "not_worse"),
        (-1.499, 3.0, "not_worse"),
        (-1.5, 3.0, "undecided"),
        (-4.0, -1.5, "undecided"),
        (-4.0, -1.501, "worse"),
        (-2.0, 2.0, "undecided"),
        (-1.4, -0.1, "slightly_worse"),
        (-1.4, 0.0, "not_worse"),
        (None, None, "undecided"),
    ],
)
def test_the_verdict_is_read_off_the_interval(low: float | None, high: float | None, word: str) -> None:
    assert inference.decide(low, high, 1.5) == word


# -- against scipy ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("count", [3, 5, 8, 40])
def test_intervals_and_p_values_are_scipys(count: int) -> None:
    for row in draws(count, 0.3)[:20]:
        theirs = stats.ttest_1samp(row, 0.0)
        interval = theirs.confidence_interval(0.95)
        assert inference.mean_interval(list(row)) == pytest.approx((row.mean(), interval.low, interval.high))
        found = only(list(row))
        assert (found.low, found.high) == pytest.approx((interval.low, interval.high))
        narrow = only(list(row), 0.1)
        assert (narrow.low, narrow.high) == pytest.approx(tuple(theirs.confidence_interval(0.8)))
        against = stats.ttest_1samp(row, -0.7, alternative="greater").pvalue
        assert inference.p_not_worse(float(row.mean()), found, 0.7) == pytest.approx(against)
        assert (against < 0.025) == (found.low > -0.7), "the p shown is that of the verdict"


def test_the_interval_of_the_simulations_agrees() -> None:
    some = draws(5)[:20]
    for row, low, high in zip(some, *ends(some), strict=True):
        assert inference.mean_interval(list(row)) == pytest.approx((row.mean(), low, high))


# -- what is promised, by simulation ---------------------------------------------------------------------------------


@pytest.mark.parametrize("seeds", [3, 5, 10])
def test_the_interval_covers_the_truth_in_95_of_100_studies(seeds: int) -> None:
    low, high = ends(draws(seeds, mean=0.4))
    assert np.mean((low < 0.4) & (high > 0.4)) == pytest.approx(0.95, abs=error(0.95))


@pytest.mark.parametrize(
    ("truth", "words"),
    [
        (-MARGIN, ("not_worse", "better", "slightly_worse")),
        (0.0, ("better",)),
        (-MARGIN, ("worse",)),
    ],
)
def test_each_verdict_is_wrong_in_one_of_40_studies_at_its_edge(truth: float, words: tuple[str, ...]) -> None:
    low, high = ends(draws(6, mean=truth))
    said = [inference.decide(*pair, MARGIN) for pair in zip(low.tolist(), high.tolist(), strict=True)]
    assert np.isin(said, words).mean() == pytest.approx(0.025, abs=error(0.025))


def continued(differences: list[float], more: int, margin: float, error: float = 0.025) -> float:
    """The chance of a decision after more seeds, by drawing a truth, and then every one of the new seeds."""
    generator, count, repeats = np.random.default_rng(11), len(differences), 20_000
    deviations = np.std(differences, ddof=1) * np.sqrt((count - 1) / generator.chisquare(count - 1, repeats))
    truths = generator.normal(np.mean(differences), deviations / math.sqrt(count))
    new = generator.normal(truths[:, None], deviations[:, None], (repeats, more))
    every = np.hstack([np.tile(differences, (repeats, 1)), new])
    total = count + more
    half = stats.t.isf(error, total - 1) * every.std(axis=1, ddof=1) / math.sqrt(total)
    return float(np.mean(np.abs(every.mean(axis=1) + margin) > half))


@pytest.mark.parametrize("error", [0.025, 0.005])
@pytest.mark.parametrize("differences", [[-1.0, 0.2, 0.5, 1.0], [-0.9, -0.4, -0.1, -0.3, 0.4], [0.3, -0.2]])
def test_the_chance_of_a_decision_is_that_of_continued_studies(differences: list[float], error: float) -> None:
    found = inference.chances_of_decision(
        float(np.mean(differences)), float(np.std(differences, ddof=1)), len(differences), 1.0, error
    )
    for more in (1, 4, 15):
        assert found[more - 1] == pytest.approx(continued(differences, more, 1.0, error), abs=0.035)


# -- edges -----------------------------------------------------------------------------------------------------------


def test_a_difference_as_large_as_the_margin_gets_no_plan_however_little_it_spreads() -> None:
    assert inference.more_seeds([-1.4, -1.6, -1.5, -1.5], 1.5) is None
    assert inference.more_seeds([-1.4, -1.6, -1.5, -1.5], 1.0) == 1
    assert inference.more_seeds([-30.0, 30.0, -20.0, 20.0], 0.5) is None


def test_more_seeds_needs_two_and_plans_at_least_three_in_all() -> None:
    assert inference.more_seeds([], 1.0) is None
    assert inference.more_seeds([0.3], 1.0) is None
    assert inference.more_seeds([0.3, 0.3001], 100.0) == 1
    assert inference.chances_of_decision(0.0, 0.0, 2, 1.0).tolist() == [1.0] * 200


def test_more_seeds_falls_as_the_margin_and_the_error_grow() -> None:
    differences = [-1.0, 0.2, 0.5, 1.0]
    plans = [inference.more_seeds(differences, margin) or 0 for margin in (0.7, 1.0, 2.0, 50.0, 1e6)]
    assert plans == sorted(plans, reverse=True)
    assert plans[0] > plans[-1] == 1
    shared = [inference.more_seeds(differences, 0.7, error=0.025 / arms) or 0 for arms in (10, 3, 1)]
    assert shared == sorted(set(shared), reverse=True)
    assert inference.more_seeds(differences, 0.7) == inference.more_seeds(differences, 0.7), "the draws are the same"


@pytest.mark.parametrize("value", [0.0, 91.1 - 90.1, -1 / 3])
def test_equal_differences_have_the_spread_of_rounding_to_whole_examples(value: float) -> None:
    # 100 / 800 points an example, uniform: 0.125 / sqrt(12) = 0.0360844; t(0.975, 3) = 3.182446; four seeds.
    floor = inference.rounding(800)
    assert floor == pytest.approx(0.0360844, abs=1e-7)
    noisy = [value, value + 1e-14, value, value]
    half = 3.182446 * 0.0360844 / 2
    assert inference.mean_interval(noisy, floor) == pytest.approx((value, value - half, value + half), abs=1e-6)


def test_equal_differences_without_a_known_test_set_have_no_width_and_no_p_value() -> None:
    assert inference.rounding(None) == 0
    assert inference.mean_interval([0.5] * 4) == (0.5, 0.5, 0.5)
    assert p_not_worse([0.5] * 4, 1.0) is None
    assert inference.more_seeds([0.5] * 4, 1.0) == 1


def test_rounding_is_the_deviation_of_what_counting_loses() -> None:
    truth = np.random.default_rng(1).uniform(0, 100, REPEATS)
    lost = np.round(truth / 100 * 50) / 50 * 100 - truth
    assert lost.std() == pytest.approx(inference.rounding(50), rel=0.02)


# -- literal values: quantiles from scipy.special, power by numerical integration ------------------------------------


FIVE = [1.0, 2.0, 3.0, 2.5, 0.5]
"""Mean 1.8, deviation sqrt(4.3 / 4) = 1.0368221."""


def test_intervals_of_both_confidences() -> None:
    # t(0.975, 4) = 2.7764451 and t(0.95, 4) = 2.1318468, times 1.0368221 / sqrt(5) = 0.4636809.
    assert inference.mean_interval(FIVE) == pytest.approx((1.8, 0.5126154, 3.0873846), abs=1e-6)
    assert inference.mean_interval(FIVE, confidence=0.9) == pytest.approx((1.8, 0.8115033, 2.7884967), abs=1e-6)
    assert inference.mean_interval(FIVE, floor=9.0) == inference.mean_interval(FIVE), "the floor is for equal values"
    assert p_not_worse(FIVE, 1e-12) == pytest.approx(0.0178113 / 2, abs=1e-6)


def test_equal_values_spread_by_the_floor() -> None:
    assert inference.spread([1.0, 2.0, 4.0]) == pytest.approx(1.5275252)
    assert (inference.spread([2.0, 2.0]), inference.spread([2.0, 2.0], 0.25)) == (0.0, 0.25)
    # Mean 0.5, floor 0.25, three seeds: half = 4.3026527 * 0.25 / sqrt(3), and t = 0.5 / (0.25 / sqrt(3)) = 2 sqrt(3).
    assert inference.mean_interval([0.5] * 3, 0.25) == pytest.approx((0.5, -0.1210344, 1.1210344), abs=1e-6)
    assert p_not_worse([0.5] * 3, 1e-12, 0.25) == pytest.approx(0.0741799 / 2, abs=1e-6)
    assert inference.spread([2.0, 2.0 + 4e-9]) == pytest.approx(2.83e-9, rel=1e-2), "more than floating point's error"


def test_what_more_seeds_do_not_reduce_makes_a_decision_later_or_never() -> None:
    differences = [-1.1, -0.2, -0.8, -0.1, -0.9]
    needed = [inference.more_seeds(differences, 1.2, beyond=beyond) for beyond in (0.0, 0.1, 0.2, 1.0)]
    assert needed[0] is not None
    assert needed[1] is not None
    assert needed[0] < needed[1]
    assert needed[3] is None, "the examples alone spread more than the margin"
