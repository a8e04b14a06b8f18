"""Replays against brute force over subsets, and against the grid itself."""

import dataclasses
import itertools
import math
import statistics
from collections.abc import Sequence

import numpy as np
import pytest

from ctkd_study.analysis.early_stopping import Curve
from ctkd_study.analysis.replays import MOST_LISTED, Replay, random_search, replays, stops_early, transferred
from ctkd_study.analysis.strategies import evaluate, select
from ctkd_study.analysis.verdict import Comparison, compare
from ctkd_study.records import TrialResult
from tests.support.tabulated import arm, curves_of, failed, question, trial

SEEDS = 4


def results_of(settings: int, seed: int, failures: Sequence[int] = ()) -> list[TrialResult]:
    """Trials with accuracies in steps, so that some are equal, and costs that differ."""
    generator = np.random.default_rng([settings, seed])
    found = []
    for number in range(settings):
        val, test, loss = generator.integers(0, 4), generator.integers(0, 400) / 7, generator.integers(0, 2)
        made = trial("grid", f"T={number}", seed, float(val), float(test), val_loss=float(loss))
        made = failed("grid", f"T={number}", seed) if number in failures else made
        found.append(dataclasses.replace(made, device_seconds=10 + number / 3, tflop=1 + number / 7))
    return found


def study(settings: int) -> tuple[Comparison, list[TrialResult]]:
    grid = arm("grid", *(f"T={number}" for number in range(settings)), fixed=True)
    results = [result for seed in range(SEEDS) for result in results_of(settings, seed)]
    results += [trial("global", "global", seed, 2, 30 + seed / 3) for seed in range(SEEDS)]
    asked = question(seeds=tuple(range(SEEDS)))
    return compare(asked, evaluate([grid, arm("global")], asked.seeds, results, "validation")), results


def of_kind(found: Sequence[Replay], kind: str) -> list[Replay]:
    return [replay for replay in found if replay.kind == kind]


@pytest.mark.parametrize("settings", range(1, 7))
@pytest.mark.parametrize("failures", [(), (0,), (1, 2)])
def test_random_search_is_the_mean_over_all_subsets(settings: int, failures: tuple[int, ...]) -> None:
    for seed, size in itertools.product(range(6), range(1, settings + 1)):
        results = results_of(settings, seed, failures)
        tests, costs = [], []
        for subset in itertools.combinations(results, size):
            costs.append(sum(result.device_seconds for result in subset))
            best = select([result for result in subset if result.status == "finished"], "validation")
            if best is not None and best.test_top1 is not None:
                tests.append(best.test_top1)
        (found,) = random_search(results, [size])
        assert found.test_top1 == (pytest.approx(statistics.fmean(tests), abs=1e-9) if tests else None)
        assert found.cost.device_seconds == pytest.approx(statistics.fmean(costs))


@pytest.mark.parametrize("settings", range(2, 7))
def test_all_of_the_grid_is_the_grids_own_point_exactly(settings: int) -> None:
    comparison, results = study(settings)
    whole = of_kind(replays(comparison, results), "random")[-1]
    grid = comparison.summaries[0]
    assert whole.name == f"random {settings} of {settings}"
    assert (whole.test_top1, whole.cost) == (grid.test_top1, grid.cost)
    assert whole.differences[0].difference == 0


def test_replays_are_paired_with_what_was_run() -> None:
    comparison, results = study(3)
    found = replays(comparison, results)
    assert [replay.kind for replay in found] == ["random"] * 3 + ["declared"] * 3 + ["transferred"]
    assert {tuple(difference.b for difference in replay.differences) for replay in found} == {("grid", "global")}
    second = of_kind(found, "declared")[1]
    assert second.name == "T=1, named beforehand"
    tests = [results_of(3, seed)[1].test_top1 or 0 for seed in range(SEEDS)]
    assert second.test_top1.per_seed == tuple(tests)
    differences = [test - (30 + seed / 3) for seed, test in enumerate(tests)]
    against = second.differences[1]
    assert against.difference == pytest.approx(statistics.fmean(differences))
    half = 3.182446 * statistics.stdev(differences) / 2  # t at 0.975 with 3 degrees of freedom
    assert (against.low, against.high) == pytest.approx(
        (statistics.fmean(differences) - half, statistics.fmean(differences) + half), rel=1e-6
    )
    assert second.cost.device_seconds == pytest.approx(10 + 1 / 3)


def test_the_best_of_the_other_seeds_never_sees_its_own() -> None:
    by_seed = {seed: results_of(5, seed) for seed in range(SEEDS)}
    for seed, of in by_seed.items():
        means = [
            (
                statistics.fmean(by_seed[other][place].val_top1 or 0 for other in by_seed if other != seed),
                -statistics.fmean(by_seed[other][place].val_loss or 0 for other in by_seed if other != seed),
            )
            for place in range(5)
        ]
        found = transferred(by_seed, seed)
        assert found is not None
        assert found.test_top1 in [of[place].test_top1 for place in range(5) if means[place] == max(means)]
        turned = [dataclasses.replace(result, val_top1=100 - (result.val_top1 or 0)) for result in of]
        assert transferred({**by_seed, seed: turned}, seed) == found
    assert transferred({0: by_seed[0]}, 0) is None
    assert transferred({0: by_seed[0], 1: [failed("grid", f"T={n}", 1) for n in range(5)]}, 0) is None


def test_what_has_not_ended_and_what_selects_on_test_is_not_replayed() -> None:
    comparison, results = study(3)
    some = [result for result in results if (result.seed, result.setting) != (1, "T=2")]
    arms = [summary.strategy.arm for summary in comparison.summaries]
    partial = compare(comparison.question, evaluate(arms, range(SEEDS), some, "validation"))
    assert {replay.test_top1.per_seed[1] for replay in replays(partial, some)} == {None}
    paper = dataclasses.replace(comparison, question=question(protocol="paper"))
    assert replays(paper, results) == []
    nothing = compare(comparison.question, evaluate(arms, range(SEEDS), [], "validation"))
    assert replays(nothing, []) == []


def test_with_rows_early_stopping_is_replayed_too() -> None:
    comparison, results = study(4)
    rows = {result.id: curves_of(result, 8) for result in results}
    found = replays(comparison, results, rows)
    assert [replay.name for replay in found if replay.kind in ("halving", "asha")] == [
        "halving by 2: 4 x 2, 2 x 4, 1 x 8 epochs",
        "halving by 2: 2 x 4, 1 x 8 epochs",
        "ASHA by 2, 4 at once",
        "halving by 3: 4 x 3, 1 x 8 epochs",
        "ASHA by 3, 4 at once",
        "halving by 4: 4 x 2, 1 x 8 epochs",
        "ASHA by 4, 4 at once",
    ]
    grid = comparison.summaries[0].cost
    assert grid is not None
    for replay in found:
        if replay.kind in ("halving", "asha"):
            assert replay.test_top1.mean is not None
            assert grid.tflop / 4 < replay.cost.tflop < grid.tflop
    del rows[results[0].id]
    assert of_kind(replays(comparison, results, rows), "halving")[0].test_top1.per_seed[0] is None
    shorter = {**rows, results[1].id: rows[results[1].id][:4]}
    uneven = [result for result in results if result.seed == 0]
    assert Curve.of(uneven[1], shorter[uneven[1].id]).finished
    whole = {result.id: curves_of(result, 8 if result.setting == "T=0" else 4) for result in results}
    assert not of_kind(replays(comparison, results, whole), "halving"), "there are no common rungs"


def test_chance_matters_less_the_more_are_drawn() -> None:
    """With test equal to validation, the best of b can only rise with b, up to the maximum."""
    results = [trial("grid", f"T={n}", 0, value, value) for n, value in enumerate((3.0, 9.0, 4.0, 1.0, 5.0))]
    tests = [outcome.test_top1 or math.nan for outcome in random_search(results, range(1, 6))]
    assert tests == sorted(tests)
    assert tests[0] == pytest.approx(4.4)
    assert tests[-1] == 9.0


def test_a_large_grid_has_replays_of_some_sizes_and_of_no_single_setting() -> None:
    comparison, results = study(60)
    found = replays(comparison, results)
    assert [replay.name for replay in of_kind(found, "random")][:3] == [
        "random 1 of 60",
        "random 2 of 60",
        "random 3 of 60",
    ]
    assert of_kind(found, "random")[-1].name == "random 60 of 60"
    assert len(of_kind(found, "random")) <= MOST_LISTED
    assert not of_kind(found, "declared")
    assert not stops_early(comparison.summaries[0].strategy.arm)


def test_seeds_at_which_a_scheduler_stopped_a_trial_are_left_out() -> None:
    comparison, results = study(4)
    stopped = [dataclasses.replace(results[0], status="stopped"), *results[1:]]
    before, after = (of_kind(replays(comparison, some), "random")[-1].test_top1.per_seed for some in (results, stopped))
    assert None not in before
    assert after[0] is None
    assert after[1:] == before[1:]
