"""The arithmetic of a verdict: literal examples, scipy's tests, and what it promises, by simulation."""

import math

import numpy as np
import pytest
from numpy.typing import NDArray
from scipy import stats

from ctkd_study.analysis import inference

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


def test_a_p_value_worked_out_by_hand() -> None:
    # t = 2 / (1 / sqrt(3)) = 3.464102 with two degrees of freedom: 2 * P(T > t) = 1 - t / sqrt(t² + 2) = 0.0741799.
    assert inference.p_value([1.0, 2.0, 3.0]) == pytest.approx(0.0741799, abs=1e-7)


@pytest.mark.parametrize("count", [0, 1, 2])
def test_fewer_than_three_seeds_give_neither_interval_nor_p_value(count: int) -> None:
    values = [0.1 * place for place in range(count)]
    assert inference.mean_interval(values) is None
    assert inference.p_value(values) is None


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
        (-1.4, -0.1, "not_worse"),
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
        assert inference.p_value(list(row)) == pytest.approx(theirs.pvalue)


def test_the_interval_of_the_simulations_agrees() -> None:
    some = draws(5)[:20]
    for row, low, high in zip(some, *ends(some), strict=True):
        assert inference.mean_interval(list(row)) == pytest.approx((row.mean(), low, high))


def test_power_is_what_integrating_over_the_spread_gives() -> None:
    # Given the estimated spread s, the mean clears -margin + t·s/√n with a normal chance; s² is chi-square.
    seeds, spread, margin = 9, 1.3, 1.0
    chi = stats.chi2(seeds - 1)
    quantiles = chi.ppf((np.arange(20_000) + 0.5) / 20_000)
    cleared = stats.norm.sf(stats.t.ppf(0.975, seeds - 1) * np.sqrt(quantiles / (seeds - 1)) - margin * 3 / spread)
    assert float(inference.power(seeds, spread, margin)) == pytest.approx(cleared.mean(), abs=1e-4)


# -- what is promised, by simulation ---------------------------------------------------------------------------------


@pytest.mark.parametrize("seeds", [3, 5, 10])
def test_the_interval_covers_the_truth_in_95_of_100_studies(seeds: int) -> None:
    low, high = ends(draws(seeds, mean=0.4))
    assert np.mean((low < 0.4) & (high > 0.4)) == pytest.approx(0.95, abs=error(0.95))


@pytest.mark.parametrize(
    ("truth", "words"), [(-MARGIN, ("not_worse", "better")), (0.0, ("better",)), (-MARGIN, ("worse",))]
)
def test_each_verdict_is_wrong_in_one_of_40_studies_at_its_edge(truth: float, words: tuple[str, ...]) -> None:
    low, high = ends(draws(6, mean=truth))
    said = [inference.decide(*pair, MARGIN) for pair in zip(low.tolist(), high.tolist(), strict=True)]
    assert np.isin(said, words).mean() == pytest.approx(0.025, abs=error(0.025))


@pytest.mark.parametrize("seeds", [3, 5, 12])
def test_the_bound_covers_the_true_spread_in_80_of_100_studies(seeds: int) -> None:
    deviations = draws(seeds).std(axis=1, ddof=1)
    bounds = deviations * inference.spread_bound(1.0, seeds)
    assert np.mean(bounds > 1.0) == pytest.approx(0.80, abs=error(0.80))


def planned(margin: float) -> int:
    """The seeds in all that a study of five is told to have, where the bound of its spread is 1."""
    first = np.array([-1.3, -0.2, 0.1, 0.4, 1.0])
    first = (first - first.mean()) / first.std(ddof=1) / inference.spread_bound(1.0, 5)
    more = inference.more_seeds(list(first), margin)
    assert more is not None
    return 5 + more


@pytest.mark.parametrize("margin", [0.6, 1.0, 2.0])
def test_the_planned_seeds_decide_with_80_percent_power_and_one_fewer_would_not(margin: float) -> None:
    total = planned(margin)
    assert np.mean(ends(draws(total))[0] > -margin) > 0.80 - error(0.8)
    assert total == 6 or np.mean(ends(draws(total - 1))[0] > -margin) < 0.80 + error(0.8)


def test_power_is_the_share_of_simulated_studies_that_decide() -> None:
    total = planned(1.0)
    share = np.mean(ends(draws(total))[0] > -1.0)
    assert float(inference.power(total, 1.0, 1.0)) == pytest.approx(share, abs=error(0.8))


def test_a_study_that_follows_its_plan_decides_in_80_of_100_cases_or_more() -> None:
    generator, decided, plans = np.random.default_rng(3), 0, 0
    for differences in generator.normal(0, 1, (300, 5)):
        more = inference.more_seeds(list(differences), 1.0)
        if more is None:
            continue
        plans += 1
        found = inference.mean_interval([*differences, *generator.normal(0, 1, more)])
        assert found is not None
        decided += inference.decide(*found[1:], 1.0) in ("not_worse", "better")
    assert plans > 250
    assert decided / plans > 0.80


# -- edges -----------------------------------------------------------------------------------------------------------


def test_seeds_that_would_take_more_than_two_hundred_are_not_planned() -> None:
    differences = [-1.0, 0.0, 1.0]
    at_200 = next(margin for margin in np.linspace(0.1, 1, 400) if inference.more_seeds(differences, float(margin)))
    assert 195 <= (inference.more_seeds(differences, float(at_200)) or 0) <= 200
    assert inference.more_seeds(differences, float(at_200) - 0.01) is None


def test_more_seeds_needs_two_and_plans_at_least_three_in_all() -> None:
    assert inference.more_seeds([], 1.0) is None
    assert inference.more_seeds([0.3], 1.0) is None
    assert inference.more_seeds([0.3, 0.3001], 100.0) == 1


def test_more_seeds_falls_as_the_margin_grows() -> None:
    plans = [inference.more_seeds([-1.0, 0.2, 0.5, 1.0], margin) or 0 for margin in (0.7, 1.0, 2.0, 50.0, 1e6)]
    assert plans == sorted(plans, reverse=True)
    assert plans[0] > plans[-1] == 1


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
    assert inference.p_value([0.5] * 4) is None
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
    assert inference.p_value(FIVE) == pytest.approx(0.0178113, abs=1e-6)
    assert inference.p_value([-value for value in FIVE]) == inference.p_value(FIVE)


def test_equal_values_spread_by_the_floor() -> None:
    assert inference.spread([1.0, 2.0, 4.0]) == pytest.approx(1.5275252)
    assert (inference.spread([2.0, 2.0]), inference.spread([2.0, 2.0], 0.25)) == (0.0, 0.25)
    # Mean 0.5, floor 0.25, three seeds: half = 4.3026527 * 0.25 / sqrt(3), and t = 0.5 / (0.25 / sqrt(3)) = 2 sqrt(3).
    assert inference.mean_interval([0.5] * 3, 0.25) == pytest.approx((0.5, -0.1210344, 1.1210344), abs=1e-6)
    assert inference.p_value([0.5] * 3, 0.25) == pytest.approx(0.0741799, abs=1e-6)
    assert inference.spread([2.0, 2.0 + 4e-9]) == pytest.approx(2.83e-9, rel=1e-2), "more than floating point's error"


@pytest.mark.parametrize(("count", "factor"), [(2, 3.9471539), (3, 2.1169365), (5, 1.5575754), (12, 1.2545818)])
def test_the_bound_of_a_deviation(count: int, factor: float) -> None:
    assert inference.spread_bound(2.0, count) == pytest.approx(2 * factor, rel=1e-6)


def test_power_at_several_numbers_of_seeds() -> None:
    assert inference.power([3, 5, 9, 20], 1.0, 1.0) == pytest.approx(
        [0.1786101, 0.4013203, 0.7480155, 0.9885913], abs=1e-6
    )
    assert inference.power([3, 10], 1.3, 0.5) == pytest.approx([0.0625667, 0.1921189], abs=1e-6)
    assert inference.power([2, 5], 0.0, 0.5).tolist() == [1.0, 1.0]
    assert inference.power([5, 200], 1e-12, 1.0).tolist() == [1.0, 1.0], "scipy gives NaN"


@pytest.mark.parametrize(("margin", "more"), [(0.7, 33), (1.0, 15), (2.0, 3), (1e6, 1)])
def test_how_many_more_seeds_four_of_them_ask_for(margin: float, more: int) -> None:
    assert inference.more_seeds([-1.0, 0.2, 0.5, 1.0], margin) == more


def test_the_plan_goes_from_three_seeds_in_all_to_two_hundred_more() -> None:
    assert inference.more_seeds([0.3, 0.3], 1.0, floor=1e-3) == 1
    widest = next(m for m in np.arange(0.3, 0.2, -0.0005) if inference.more_seeds([-1.0, 0.2, 0.5, 1.0], m) == 200)
    assert inference.more_seeds([-1.0, 0.2, 0.5, 1.0], widest * 0.99) is None
