"""Studies side by side: a case worked out by hand, all resamples enumerated, coverage, and what is left out."""

import itertools
import math

import numpy as np
import pytest
from numpy.typing import NDArray
from scipy import stats

from ctkd_study.analysis.across import Across, across, bootstrap, mean_difference, probability_of_improvement
from ctkd_study.analysis.strategies import evaluate
from ctkd_study.analysis.verdict import Comparison, compare
from ctkd_study.errors import StudyError
from tests.support.tabulated import arm, question, strategies, trial, with_states

A, B = np.array([1.0, 2.0, 3.0]), np.array([-2.0, 0.0, 5.0])


def study(name: str, accuracies: dict[str, list[float]], **asked: object) -> Comparison:
    """A study with these test accuracies by arm; the first arm is the baseline."""
    seeds = tuple(range(max(map(len, accuracies.values()))))
    return compare(question(study=name, seeds=seeds, **asked), strategies(accuracies))


def two(**second: list[float]) -> tuple[Comparison, Comparison]:
    first = study("first", {"base": [90.0, 90.0, 90.0], "other": [91.0, 92.0, 93.0], "third": [90.0, 91.0, 91.0]})
    return first, study("second", {"base": [80.0, 80.0, 80.0], "other": [78.0, 80.0, 85.0], **second})


def test_a_case_worked_out_by_hand() -> None:
    found = across(two())
    [other] = found.strategies
    # Means 2 and 1; three of three seeds, and one with one tie of three.
    assert other.difference.mean == pytest.approx((2 + 1) / 2)
    assert other.improvement.mean == pytest.approx((3 / 3 + 1.5 / 3) / 2)
    assert [pair.difference for pair in other.pairs] == pytest.approx([2.0, 1.0])
    assert other.tflop_ratio == 1
    assert found.baseline == "base"
    assert found.left_out == (("third", "second has no such arm"),)


def test_the_bootstrap_is_that_of_all_resamples() -> None:
    """27 x 27 resamples of three seeds in each of two studies, all equally likely."""
    means = [np.array([np.mean(each) for each in itertools.product(study, repeat=3)]) for study in (A, B)]
    # Deviations are scaled by √(3 / 2), and Student's t of 2.22 degrees of freedom has 2.5 % beyond a normal's tail.
    every = (np.add.outer(means[0] - A.mean(), means[1] - B.mean()) / 2 * math.sqrt(3 / 2)).ravel()
    parts = np.array([A.var(ddof=1) / 3, B.var(ddof=1) / 3])
    tail = stats.norm.cdf(stats.t.ppf(0.025, parts.sum() ** 2 / (parts**2 / 2).sum()))
    found = bootstrap([A, B])
    assert found.mean == 1.5
    for end, level in ((found.low, tail), (found.high, 1 - tail)):
        # 10,000 draws of 729 values; a value has up to two in a hundred.
        assert abs(np.mean(every <= end - 1.5) - level) < 0.02
    assert found == bootstrap([A, B]), "the same studies give the same interval"


def test_studies_count_equally_however_many_seeds_they_have() -> None:
    found = bootstrap([np.array([0.0, 1.0, -1.0]), np.array([10.0] * 50 + [10.1])])
    assert found.mean == pytest.approx((0 + (500 + 10.1) / 51) / 2)


@pytest.mark.parametrize(("seeds", "least"), [(3, 0.90), (5, 0.93), (10, 0.93)])
def test_the_interval_covers_what_it_says(seeds: int, least: float) -> None:
    """Two studies with means 1 and -1 and unequal spreads; plain percentiles cover 78 and 87 % for 3 and 5 seeds."""
    rng = np.random.default_rng(seeds)
    draws = [[rng.normal(1, 1, seeds), rng.normal(-1, 2, seeds)] for _ in range(500)]
    covered = np.mean([found.low <= 0 <= found.high for found in map(bootstrap, draws)])
    assert least <= covered <= 0.98


def test_equal_differences_get_the_width_of_rounding() -> None:
    equal: list[NDArray[np.float64]] = [np.full(4, 0.5), np.full(4, 0.7)]
    found = mean_difference(equal, [0.2, 0.2])
    half = stats.norm.ppf(0.975) * 0.2 * math.sqrt(1 / 4 + 1 / 4) / 2
    assert (found.mean, found.low, found.high) == pytest.approx((0.6, 0.6 - half, 0.6 + half))
    wide = mean_difference([A, B], [0.2, 0.2])
    assert wide == bootstrap([A, B]), "a spread above that of rounding stays as it is"


@pytest.mark.parametrize(("sign", "ends"), [(1, (0.025 ** (1 / 6), 1.0)), (-1, (0.0, 1 - 0.025 ** (1 / 6)))])
def test_where_all_seeds_agree_the_probability_has_the_exact_binomial_end(sign: int, ends: tuple[float, float]) -> None:
    found = probability_of_improvement([sign * np.abs(A), sign * np.abs(A)])
    assert found.mean == (sign + 1) / 2
    assert (found.low, found.high) == pytest.approx(ends)
    # 0 of 6 and 6 of 6: Clopper and Pearson's interval.
    theirs = stats.binomtest(6 if sign > 0 else 0, 6).proportion_ci(0.95, "exact")
    assert (found.low, found.high) == pytest.approx((theirs.low, theirs.high))


def test_ties_count_half_and_ends_stay_probabilities() -> None:
    found = probability_of_improvement([np.array([0.0, 0.0, 1.0]), np.array([0.0, -1.0, 1.0])])
    assert found.mean == pytest.approx((2 / 3 + 0.5) / 2)
    assert 0 <= found.low < found.mean < found.high <= 1


def test_what_cannot_be_averaged_is_left_out_with_the_reason() -> None:
    failing = compare(question(study="failing", seeds=tuple(range(9)), baseline="b"), with_states("x........"))
    short = study("short", {"b": [90.0, 90.0], "a": [91.0, 92.0]})
    found = across([failing, short])
    assert found.strategies == ()
    assert found.left_out == (("a", "failing dropped 1 of 9 seeds; short has 2 of at least 3 seeds"),)


def refused(*comparisons: Comparison) -> str:
    with pytest.raises(StudyError) as fault:
        across(comparisons)
    return str(fault.value)


def test_what_is_refused() -> None:
    first, second = two()
    assert refused(first) == "there must be two or more studies to put side by side, but got first"
    assert refused(first, second, first) == "each study must be named once, but got first more than once"
    other = study("third", {"grid": [1.0, 2.0, 3.0], "other": [1.0, 2.0, 3.0]})
    assert refused(first, other) == (
        "the studies must have one baseline, but have first: base, third: grid; choose one with --baseline"
    )
    paper = study("paper", {"base": [1.0, 2.0, 3.0], "other": [1.0, 2.0, 3.0]}, protocol="paper")
    assert refused(first, paper).startswith("paper: protocol 'paper' selects by test accuracy")


def test_the_order_of_strategies_is_that_of_the_first_study_and_does_not_change_their_numbers() -> None:
    def ordered(*names: str) -> Across:
        values = {"base": [90.0] * 3, "x": [91.0, 92.5, 90.5], "y": [90.0, 89.0, 91.5]}
        return across([study(name, {each: values[each] for each in ("base", *names)}) for name in ("one", "two")])

    first, second = ordered("x", "y"), ordered("y", "x")
    assert [each.name for each in second.strategies] == ["y", "x"]
    assert {each.name: each.difference for each in first.strategies} == {
        each.name: each.difference for each in second.strategies
    }


def test_the_cost_ratio_is_the_geometric_mean() -> None:
    grid = arm("grid", "T=1", "T=4", fixed=True)

    def costing(name: str, tflop: float) -> Comparison:
        results = [trial("grid", label, seed, 90, 90 + seed) for label in ("T=1", "T=4") for seed in range(3)]
        results += [trial("global", "global", seed, 90, 90, tflop=tflop) for seed in range(3)]
        asked = question(study=name, seeds=(0, 1, 2))
        return compare(asked, evaluate([grid, arm("global")], range(3), results, "validation"))

    [found] = across([costing("one", 1.0), costing("two", 4.0)]).strategies
    assert found.tflop_ratio == pytest.approx(math.sqrt(0.25 * 1.0))
