"""Looks at a growing number of seeds: when they are taken, what they decide, and who gets more seeds."""

import dataclasses
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import pytest
from scipy import stats

from ctkd_study.analysis.sequential import Decision, Decisions, Rule, chance_of_decision, follow
from ctkd_study.analysis.spending import critical_values
from ctkd_study.records.results import TrialResult
from ctkd_study.spec import Vary
from tests.support.tabulated import arm, failed, trial

ARMS = (arm("grid", "T=1", "T=4", fixed=True), arm("global"), arm("instance"), arm("alone", uses_teacher=False))
RULE = Rule(tuple(range(5, 21)), "grid", ("global", "instance"), margin=1.0)
SEEDS = range(100, 120)
CLEAR, NOISY = (0.1, -0.1, 0.2, -0.2, 0.0), (1.2, -1.4, 0.9, -0.8, 0.1)


def results(seeds: Mapping[str, int], tests: Mapping[str, Sequence[float]]) -> list[TrialResult]:
    """Trials of the first seeds of each arm; tests are the differences to the grid, repeated."""
    found = [trial("grid", label, seed, 90, 80) for label in ("T=1", "T=4") for seed in SEEDS[: seeds["grid"]]]
    for name in ("global", "instance", "alone"):
        for place, seed in enumerate(SEEDS[: seeds.get(name, 0)]):
            values = tests.get(name, NOISY)
            found.append(trial(name, name, seed, 90, 80 + values[place % len(values)]))
    return found


def followed(found: Sequence[TrialResult], rule: Rule = RULE, **options: Any) -> Decisions:
    return follow(rule, ARMS, SEEDS, found, **options)


FIVE = {"grid": 5, "global": 5, "instance": 5, "alone": 5}


def test_no_look_is_taken_before_all_that_runs_has_ended_its_first_seeds() -> None:
    before = followed([])
    assert dict(before.by_arm) == {"global": Decision(), "instance": Decision()}
    assert dict(before.reach) == dict.fromkeys(("grid", "global", "instance", "alone"), 5)
    for name in FIVE:
        assert followed(results({**FIVE, name: 4}, {})) == before
    unfinished = results(FIVE, {})
    unfinished[3] = dataclasses.replace(unfinished[3], status="running")
    assert followed(unfinished) == before


def test_a_decided_arm_gets_no_more_seeds_and_the_baseline_goes_on_for_the_other() -> None:
    found = followed(results(FIVE, {"global": CLEAR}))
    assert [found.by_arm[name].state for name in ("global", "instance")] == ["decided", "open"]
    assert dict(found.reach) == {"grid": 6, "global": 5, "instance": 6, "alone": 5}
    (look,) = found.by_arm["global"].looks
    half = critical_values(RULE.looks, 20, 0.025 / 2)[0] * stats.tstd(CLEAR) / 5**0.5
    assert (look.seeds, look.verdict) == (5, "not_worse")
    assert (look.difference, look.low, look.high) == pytest.approx((0.0, -half, half))
    assert found.seeds == 6


def test_looks_see_only_their_seeds_so_trials_in_excess_change_nothing() -> None:
    counts = {"grid": 8, "global": 8, "instance": 8, "alone": 8}
    wild = (*CLEAR, 50.0, -50.0, 9.0)
    found = followed(results(counts, {"global": wild}))
    assert found.by_arm["global"] == followed(results(FIVE, {"global": CLEAR})).by_arm["global"]
    assert [look.seeds for look in found.by_arm["instance"].looks] == [5, 6, 7, 8]
    assert found.reach["instance"] == 9


def test_an_arm_that_is_never_decided_ends_with_the_last_look() -> None:
    rule = dataclasses.replace(RULE, looks=(5, 8), confirmed=("global",))
    counts = {"grid": 8, "global": 8, "instance": 5, "alone": 5}
    found = followed(results(counts, {"global": (0.7, -1.6, 0.9, -0.9, 0.1)}), rule)
    assert (found.by_arm["global"].state, len(found.by_arm["global"].looks)) == ("all seeds", 2)
    assert dict(found.reach) == {"grid": 8, "global": 8, "instance": 5, "alone": 5}, "only what is confirmed goes on"


def test_an_arm_without_a_chance_gets_no_more_seeds() -> None:
    counts = {"grid": 20, "global": 20, "instance": 5, "alone": 5}
    at_margin = tuple(-1 + 0.3 * (-1) ** place for place in range(20))
    found = followed(results(counts, {"global": at_margin, "instance": CLEAR}))
    decision = found.by_arm["global"]
    assert decision.state == "futile"
    assert decision.looks[-1].seeds < 20
    assert found.reach["global"] == decision.looks[-1].seeds


@pytest.mark.parametrize(("seconds", "state", "reach"), [(None, "open", 6), (364.0, "open", 6), (363.0, "budget", 5)])
def test_seeds_that_would_go_beyond_the_budget_are_not_begun(seconds: float | None, state: str, reach: int) -> None:
    # A trial takes 13 device-seconds in all: 5 seeds of 5 trials take 325, another of the grid and one open arm 39.
    rule = dataclasses.replace(RULE, device_seconds=seconds)
    found = followed(results(FIVE, {"global": CLEAR}), rule)
    assert found.by_arm["instance"].state == state
    assert found.by_arm["global"].state == "decided"
    assert (found.reach["instance"], found.reach["grid"]) == (reach, reach)


def test_dropped_seeds_widen_the_bound_and_too_many_leave_a_pair_undecided() -> None:
    counts = dict.fromkeys(FIVE, 10)
    rule = dataclasses.replace(RULE, looks=(10, 15, 20), confirmed=("global",))
    found = results(counts, {"global": CLEAR})
    at = next(place for place, result in enumerate(found) if (result.arm, result.seed) == ("global", 103))
    found[at] = failed("global", "global", 103)
    (look,) = followed(found, rule).by_arm["global"].looks
    assert look.high is not None
    assert look.difference is not None
    kept = [value for place, value in enumerate(CLEAR * 2) if place != 3]
    half = stats.t.isf(0.025 / 4, 8) * stats.tstd(kept) / 3
    assert look.high - look.difference == pytest.approx(half)
    found[at + 1] = failed("global", "global", 104)
    decision = followed(found, rule).by_arm["global"]
    assert (decision.state, decision.looks[0].verdict) == ("open", "undecided")
    found[at + 2] = failed("global", "global", 105)
    assert followed(found, rule).by_arm["global"].state == "futile", "more than a tenth of all seeds"


def test_equal_differences_are_taken_to_vary_by_rounding() -> None:
    found = followed(results(FIVE, {"global": (0.0,)}), test=100)
    (look,) = found.by_arm["global"].looks
    assert look.verdict == "undecided"
    assert followed(results(FIVE, {"global": (0.0,)})).by_arm["global"].looks[0].verdict == "not_worse"


@pytest.mark.parametrize("mean", [0.0, -0.5, -1.0, -1.8])
@pytest.mark.parametrize("deviation", [0.3, 1.0, 2.0])
def test_the_chance_of_a_decision_is_that_of_simulated_futures(mean: float, deviation: float) -> None:
    draw, paths, seeds, most, critical = np.random.default_rng(5), 40_000, 8, 20, 2.46
    sigma = deviation * np.sqrt((seeds - 1) / draw.chisquare(seeds - 1, paths))
    truth = mean + sigma / np.sqrt(seeds) * draw.standard_normal(paths)
    new = truth[:, None] + sigma[:, None] * draw.standard_normal((paths, most - seeds))
    total = (seeds * mean + new.sum(1)) / most
    squares = (seeds - 1) * deviation**2 + seeds * mean**2 + (new**2).sum(1) - most * total**2
    half = critical * np.sqrt(squares / (most - 1) / most)
    simulated = np.mean((total - half > -1) | (total + half < -1))
    assert chance_of_decision(mean, deviation, seeds, most, critical, 1.0) == pytest.approx(simulated, abs=0.06)


def test_groups_of_seeds_are_compared_by_their_means_at_bounds_that_hold_whatever_they_share() -> None:
    rule = dataclasses.replace(RULE, looks=(10, 15, 20), confirmed=("global",), vary=Vary(teacher=5))
    values = tuple(0.1 * (place % 5) + (0.02 if place < 5 else -0.02) for place in range(10))
    found = followed(results(dict.fromkeys(FIVE, 10), {"global": values}), rule)
    (look,) = found.by_arm["global"].looks
    assert look.high is not None
    assert look.difference == pytest.approx(0.2)
    means = [0.1 * group for group in range(5)]
    assert look.high - 0.2 == pytest.approx(stats.t.isf(0.025 / 4, 4) * stats.tstd(means) / 5**0.5)
    shares = [stats.t.sf(bound, 4) for bound in rule.critical]
    assert sum(shares) == pytest.approx(0.025), "all looks together spend the error"
    wild = followed(results(dict.fromkeys(FIVE, 10), {"global": (2.0, -4.0, 1.0, -2.0, -1.0)}), rule)
    assert wild.by_arm["global"].state == "open", "groups do not come to spread less"
