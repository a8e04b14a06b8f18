"""Ratios of costs, paired by seed."""

import dataclasses
import math

import numpy as np
import pytest
from scipy import stats

from ctkd_study.analysis.cost_ratios import CostRatio, Ratio, cost_ratio
from ctkd_study.analysis.strategies import Strategy, evaluate
from ctkd_study.spec import Vary
from tests.support.tabulated import arm, trial

ONE = Vary()


def both(ours: dict[int, float], theirs: dict[int, float], seeds: int) -> tuple[Strategy, Strategy]:
    """Two arms whose trials take so many device-seconds, by seed; the other seeds have not ended."""
    results = [trial("a", "a", seed, 90, 90, device_seconds=seconds) for seed, seconds in ours.items()]
    results += [trial("b", "b", seed, 90, 90, device_seconds=seconds) for seed, seconds in theirs.items()]
    a, b = evaluate([arm("a"), arm("b")], range(seeds), results, "validation")
    return a, b


def test_the_interval_is_that_of_a_paired_t_test_of_logarithms() -> None:
    ours, theirs = {0: 2.0, 1: 3.0, 2: 2.5, 3: 9.0}, {0: 10.0, 1: 13.0, 2: 9.0, 4: 1.0}
    found = cost_ratio(*both(ours, theirs, 5), ONE)
    assert found is not None
    logs = np.log([2.0 / 10.0, 3.0 / 13.0, 2.5 / 9.0])
    low, high = stats.ttest_1samp(logs, 0.0).confidence_interval(0.95)
    assert found.device_seconds is not None
    assert (found.device_seconds.ratio, found.device_seconds.low, found.device_seconds.high) == pytest.approx(
        (math.exp(logs.mean()), math.exp(low), math.exp(high))
    ), "over the common seeds alone"
    assert found.tflop == Ratio(1.0, 1.0, 1.0), "arithmetic has no spread"


def test_load_that_hits_both_alike_does_not_widen_the_interval() -> None:
    load = {0: 1.0, 1: 3.0, 2: 0.5, 3: 10.0}
    found = cost_ratio(*both(load, {seed: 4 * seconds for seed, seconds in load.items()}, 4), ONE)
    assert found is not None
    assert found.device_seconds is not None
    assert dataclasses.astuple(found.device_seconds) == pytest.approx((0.25, 0.25, 0.25))


def test_groups_of_seeds_are_one_value_each() -> None:
    ours = {seed: 2.0 if seed % 5 else 8.0 for seed in range(10)}
    pair = both(ours, dict.fromkeys(range(10), 4.0), 10)
    grouped, alone = cost_ratio(*pair, Vary(teacher=5)), cost_ratio(*pair, ONE)
    for found, freedom, values in ((grouped, 4, 5), (alone, 9, 10)):
        assert found is not None
        assert found.device_seconds is not None
        assert found.device_seconds.low is not None
        logs = np.log([ours[seed] / 4 for seed in range(values)])
        half = stats.t.ppf(0.975, freedom) * logs.std(ddof=1) / math.sqrt(values)
        assert found.device_seconds.low == pytest.approx(math.exp(logs.mean() - half))


def test_no_interval_below_three_seeds_and_no_ratio_without_a_common_one() -> None:
    two = cost_ratio(*both({0: 1.0, 1: 2.0}, {0: 2.0, 1: 4.0}, 2), ONE)
    assert two is not None
    assert two.device_seconds is not None
    assert dataclasses.astuple(two.device_seconds) == (pytest.approx(0.5), None, None)
    assert cost_ratio(*both({0: 1.0}, {1: 1.0}, 2), ONE) is None
    assert cost_ratio(*both({0: 1.0}, {0: 0.0}, 1), ONE) == CostRatio(Ratio(1.0, None, None), None)
