"""What a study would need: the chances of a fixed design are known exactly, those of looks by following each study."""

import dataclasses

import numpy as np
import pytest
from scipy import stats

from ctkd_study.analysis import inference
from ctkd_study.analysis.design import TRUTHS, VERDICTS, Outlook, Spread, design, outlook
from ctkd_study.analysis.sequential import Rule, follow
from ctkd_study.spec import Vary
from tests.support.tabulated import arm, trial

EVERY = Rule(tuple(range(5, 21)), "grid", ("global",), margin=1.0)


@pytest.mark.parametrize("seeds", [4, 8, 20])
@pytest.mark.parametrize("difference", [-2.0, -1.0, -0.5, 0.0, 0.4])
def test_a_fixed_design_has_the_chances_of_a_noncentral_t(seeds: int, difference: float) -> None:
    deviation = 0.8
    found = outlook(Rule((seeds,), "grid", ("global",), margin=1.0), deviation, difference)
    critical, root = stats.t.isf(0.025, seeds - 1), np.sqrt(seeds) / deviation
    worse = stats.nct.cdf(-critical, seeds - 1, (difference + 1) * root)
    not_worse_or_better = stats.nct.sf(critical, seeds - 1, (difference + 1) * root)
    better = stats.nct.sf(critical, seeds - 1, difference * root)
    assert found.seeds == found.baseline_seeds == seeds
    assert found.chances["worse"] == pytest.approx(worse, abs=0.025)
    assert found.chances["better"] == pytest.approx(better, abs=0.025)
    decided = 1 - found.chances["undecided"] - found.chances["worse"]
    assert decided == pytest.approx(not_worse_or_better, abs=0.025)
    assert sum(found.chances.values()) == pytest.approx(1)


@pytest.mark.parametrize(
    ("deviation", "difference", "seeds", "decided"),
    [(0.7, 0.0, 8.6, 0.997), (1.4, 0.0, 13.1, 0.774), (0.8, -2.4, 7.4, 1.0), (0.7, -1.0, 10.9, 0.047)],
)
def test_looks_need_the_seeds_of_an_independent_simulation(
    deviation: float, difference: float, seeds: float, decided: float
) -> None:
    found = outlook(EVERY, deviation, difference)
    assert found.seeds == pytest.approx(seeds, abs=0.3)
    assert 1 - found.chances["undecided"] == pytest.approx(decided, abs=0.02)
    if difference == -1.0:
        wrong = 1 - found.chances["undecided"] - found.chances["worse"]
        assert wrong < 0.025 + 3.3 * np.sqrt(0.025 * 0.975 / 5000)


def test_the_simulation_is_what_following_each_study_gives() -> None:
    rule, arms = Rule((3, 4, 6), "grid", ("global",), margin=1.0), (arm("grid", "T=1", fixed=True), arm("global"))
    draw, count, total = np.random.default_rng(2), 400, 0
    verdicts: dict[str, int] = dict.fromkeys(VERDICTS, 0)
    for _ in range(count):
        values = -0.3 + 0.5 * draw.standard_normal(6)
        results = [trial("grid", "T=1", seed, 90, 50) for seed in range(6)]
        results += [trial("global", "global", seed, 90, 50 + values[seed]) for seed in range(6)]
        look = follow(rule, arms, range(6), results).by_arm["global"].looks[-1]
        total += look.seeds
        verdicts[look.verdict] += 1
    found = outlook(rule, 0.5, -0.3)
    assert found.seeds == pytest.approx(total / count, abs=0.2)
    for verdict, number in verdicts.items():
        assert found.chances[verdict] == pytest.approx(number / count, abs=0.08)  # type: ignore[index]


def test_a_design_prices_each_arm_by_the_seeds_that_it_runs() -> None:
    rule = Rule((3, 6), "grid", ("a", "b"), margin=1.0)
    fixed = Rule((6,), "grid", ("a", "b"), margin=1.0)
    costs = {"grid": 100.0, "a": 10.0, "b": 20.0, "alone": 1.0}
    found = design(fixed, rule, (Spread(0.5, "published"),), costs)
    assert [each.difference for each in found.prospects] == [truth for truth in TRUTHS for _ in (fixed, rule)]
    for each in found.prospects:
        expected: Outlook = each.outlook
        if each.rule is fixed:
            assert each.device_seconds == pytest.approx(6 * 131)
        else:
            assert each.device_seconds == pytest.approx(30 * expected.seeds + 100 * expected.baseline_seeds + 1.0 * 3)
            assert 3 <= expected.seeds <= expected.baseline_seeds <= 6
    assert all(
        each.device_seconds is None for each in design(fixed, rule, found.spreads, {**costs, "a": None}).prospects
    )


def test_every_verdict_has_a_chance() -> None:
    assert set(outlook(EVERY, 1.0, 0.0).chances) == set(inference.Verdict.__args__)  # type: ignore[attr-defined]


def test_groups_are_simulated_by_their_means() -> None:
    fixed = Rule((20,), "grid", ("global",), margin=1.0, vary=Vary(split=5))
    critical = stats.t.isf(0.025, 4)
    expected = stats.nct.sf(critical, 4, np.sqrt(20) / 2.0)
    found = outlook(fixed, 2.0, 0.0)
    assert found.chances["not_worse"] + found.chances["better"] == pytest.approx(expected, abs=0.025)
    assert outlook(dataclasses.replace(fixed, looks=(10, 15, 20)), 2.0, 0.0).seeds <= 20
