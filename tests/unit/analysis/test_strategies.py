"""What each strategy would have picked and paid, from tabulated results."""

import dataclasses
import itertools
import random
from collections import Counter

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as generated

from ctkd_study.analysis.strategies import Cost, Protocol, Replicate, Strategy, evaluate, rank, replicate, select
from ctkd_study.records.results import TrialResult
from tests.support.tabulated import arm, failed, trial

LABELS = ("T=1", "T=4", "T=16")
GRID = arm("grid", *LABELS, fixed=True)


def grid(
    results: list[TrialResult], seeds: int = 1, protocol: Protocol = "validation", teacher: Cost | None = None
) -> Strategy:
    charges = {("grid", seed): teacher for seed in range(seeds)} if teacher is not None else None
    (strategy,) = evaluate([GRID], range(seeds), results, protocol, charges)
    return strategy


def test_the_setting_with_the_best_validation_accuracy_is_kept_and_its_test_accuracy_reported() -> None:
    results = [trial("grid", "T=1", 0, 90, 99), trial("grid", "T=4", 0, 92, 91), trial("grid", "T=16", 0, 91, 95)]
    (replicate,) = grid(results).replicates
    assert (replicate.selected, replicate.val_top1, replicate.test_top1) == ("T=4", 92, 91)


def test_the_papers_protocol_picks_by_test_accuracy() -> None:
    none = {"val_top1": None, "val_loss": None}
    results = [
        trial("grid", "T=1", 0, 0, 90, **none),
        trial("grid", "T=4", 0, 0, 93, **none, test_loss=0.4),
        trial("grid", "T=16", 0, 0, 93, **none, test_loss=0.3),
    ]
    (replicate,) = grid(results, protocol="paper").replicates
    assert (replicate.selected, replicate.val_top1, replicate.test_top1) == ("T=16", None, 93)


def test_every_seed_selects_anew() -> None:
    accuracies = [(90, 92, 91), (93, 92, 91), (90, 91, 92)]
    results = [
        trial("grid", setting, seed, value, value)
        for seed, row in enumerate(accuracies)
        for setting, value in zip(LABELS, row, strict=True)
    ]
    assert [replicate.selected for replicate in grid(results, 3).replicates] == ["T=4", "T=1", "T=16"]


def test_equal_accuracies_go_to_the_lower_loss() -> None:
    results = [
        trial("grid", "T=1", 0, 92, 91, val_loss=0.31),
        trial("grid", "T=4", 0, 92, 90, val_loss=0.30),
        trial("grid", "T=16", 0, 91, 95, val_loss=0.01),
    ]
    assert grid(results).replicates[0].selected == "T=4"


def tied(seed: int, name: str = "grid") -> list[TrialResult]:
    return [trial(name, setting, seed, 92, 90) for setting in LABELS]


def picked(results: list[TrialResult]) -> str:
    chosen = select(results, "validation")
    assert chosen is not None
    return chosen.setting


def test_a_full_tie_is_drawn_whatever_the_order_of_the_list() -> None:
    for seed in range(10):
        assert len({picked(list(order)) for order in itertools.permutations(tied(seed))}) == 1


def test_draws_favour_no_setting() -> None:
    counts = Counter(picked(tied(seed)) for seed in range(600))
    # 200 expected each, three standard deviations are 35.
    assert all(abs(counts[setting] - 200) < 35 for setting in LABELS)


def test_arms_draw_independently_and_another_candidate_changes_no_other_draw() -> None:
    assert any(picked(tied(seed)) != picked(tied(seed, "other")) for seed in range(20))
    for seed in range(20):
        fewer = [result for result in tied(seed) if result.setting != "T=1"]
        assert picked(tied(seed)) in ("T=1", picked(fewer))


def test_a_grid_costs_the_sum_of_its_settings_averaged_over_seeds() -> None:
    results = [
        trial("grid", setting, seed, 90, 90, device_seconds=seconds, tflop=seconds / 4)
        for seed, row in enumerate([(1.0, 2.0, 3.0), (4.0, 5.0, 9.0)])
        for setting, seconds in zip(LABELS, row, strict=True)
    ]
    assert grid(results, 2).cost == Cost(12.0, 3.0)


def test_a_failed_setting_cannot_be_kept_but_its_cost_counts() -> None:
    results = [failed("grid", "T=1", 0), trial("grid", "T=4", 0, 80, 80), trial("grid", "T=16", 0, 79, 81)]
    strategy = grid(results)
    assert strategy.replicates[0].selected == "T=4"
    assert strategy.cost == Cost(3 + 10 + 10, 1 + 2 + 2)
    assert [result.id for result in strategy.failed] == ["grid-T=1-s0"]
    assert strategy.dropped == ()


def test_a_seed_at_which_everything_failed_is_dropped_and_its_cost_counts() -> None:
    results = [failed("grid", setting, 0) for setting in LABELS]
    results += [trial("grid", setting, 1, 90, 90) for setting in LABELS]
    strategy = grid(results, 2)
    assert strategy.dropped == (0,)
    assert strategy.replicates[0].selected is None
    assert strategy.cost == Cost((9 + 30) / 2, (3 + 6) / 2)


@pytest.mark.parametrize("unfinished", [None, trial("grid", "T=16", 0, 99, 99, status="running", device_seconds=4.0)])
def test_a_seed_with_a_trial_to_run_selects_nothing_and_is_out_of_the_cost(unfinished: TrialResult | None) -> None:
    results = [trial("grid", "T=1", 0, 90, 90), trial("grid", "T=4", 0, 91, 91)]
    results += [unfinished] if unfinished is not None else []
    results += [trial("grid", setting, 1, 90, 90) for setting in LABELS]
    strategy = grid(results, 2)
    assert (strategy.replicates[0].complete, strategy.replicates[0].selected) == (False, None)
    assert (strategy.missing, strategy.trials, strategy.dropped) == (1, 6, ())
    assert strategy.cost == Cost(30, 6)


def test_nothing_recorded_has_no_cost() -> None:
    strategy = grid([], 2)
    assert strategy.cost is None
    assert strategy.missing == strategy.trials == 6


def test_charging_the_teacher_adds_its_training_once_and_what_is_counted_apart() -> None:
    alone = arm("student_alone", uses_teacher=False)
    results = [trial("grid", setting, 0, 90, 90) for setting in LABELS]
    results.append(trial("student_alone", "student_alone", 0, 80, 80))
    with_teacher, without = evaluate([GRID, alone], [0], results, "validation", {("grid", 0): Cost(100.0, 20.0)})
    assert with_teacher.cost == Cost(30 + 3 + 100, 6 + 1.5 + 20)
    assert without.cost == Cost(10 + 1, 2 + 0.5)


def test_work_lost_to_faults_is_summed_apart() -> None:
    results = [
        trial("grid", "T=1", 0, 90, 90, wasted_device_seconds=2.0),
        trial("grid", "T=4", 0, 90, 90, wasted_device_seconds=0.5),
        trial("grid", "T=16", 0, 90, 90),
    ]
    strategy = grid(results)
    assert strategy.wasted_device_seconds == 2.5
    assert strategy.cost == Cost(30, 6)


def test_results_that_are_not_planned_are_left_out() -> None:
    results = [trial("grid", setting, 0, 90, 90) for setting in LABELS]
    others = [trial("grid", "T=64", 0, 99, 99), trial("old", "old", 0, 99, 99), trial("grid", "T=1", 7, 99, 99)]
    assert grid(results + others) == grid(results)


def test_a_finished_trial_without_what_selects_is_an_error() -> None:
    with pytest.raises(ValueError, match=r"grid-T=1-s0 is finished.*lacks"):
        select([trial("grid", "T=1", 0, 90, 90, val_loss=None)], "validation")


STATES = generated.sampled_from(["finished", "failed", "running", "absent"])
LEVELS = generated.sampled_from([90.0, 91.0])
CELLS = generated.lists(generated.tuples(STATES, LEVELS, LEVELS), min_size=12, max_size=12)


@given(cells=CELLS, order=generated.randoms(use_true_random=False))
def test_whatever_happened_the_order_of_the_results_never_matters(
    cells: list[tuple[str, float, float]], order: random.Random
) -> None:
    results = []
    addresses = itertools.product(range(4), LABELS)
    for (seed, setting), (state, accuracy, loss) in zip(addresses, cells, strict=True):
        if state == "failed":
            results.append(failed("grid", setting, seed))
        elif state != "absent":
            results.append(trial("grid", setting, seed, accuracy, accuracy, val_loss=loss, status=state))
    shuffled = order.sample(results, len(results))
    strategy = grid(shuffled, 4)
    assert strategy == grid(results, 4)
    for each in strategy.replicates:
        states = [result.status for result in results if result.seed == each.seed]
        assert each.complete == (len(states) == 3 and "running" not in states)
        assert (each.selected is not None) == (each.complete and "finished" in states)


def test_failed_trials_pay_for_evaluation_and_the_teacher_too() -> None:
    results = [failed("grid", "T=1", 0), trial("grid", "T=4", 0, 90, 90), trial("grid", "T=16", 0, 91, 91)]
    results[0] = dataclasses.replace(results[0], teacher_device_seconds=6.5, teacher_tflop=2.75)
    assert grid(results).cost == Cost(3 + 10 + 10, 1 + 2 + 2)
    assert grid(results, teacher=Cost(100.0, 20.0)).cost == Cost(23 + 7 + 1 + 1 + 100, 5 + 3 + 0.5 + 0.5 + 20)
    everything = [failed("grid", label, 0) for label in LABELS]
    assert grid(everything, teacher=Cost(100.0, 20.0)).cost == Cost(9 + 3 + 100, 3 + 1.5 + 20)


def test_a_replicate_is_what_an_arm_picked_and_paid_at_a_seed() -> None:
    results = [trial("grid", label, 3, 90 + place, 80 + place) for place, label in enumerate(LABELS)]
    known = {result.id: result for result in results}
    assert replicate(GRID, 3, known, "validation") == Replicate(
        3, True, "T=16", 92, 82, Cost(30.0, 6.0), "grid-T=16-s3", None, 0.5, None
    )
    assert replicate(GRID, 4, known, "validation") == Replicate(4, False, None, None, None, Cost())
    del known["grid-T=16-s3"]
    assert replicate(GRID, 3, known, "validation") == Replicate(3, False, None, None, None, Cost(20.0, 4.0))


def test_remarks_are_counted_and_failures_come_in_the_order_of_seeds() -> None:
    results = [failed("grid", "T=4", 1), failed("grid", "T=1", 1), failed("grid", "T=16", 0)]
    results.append(trial("grid", "T=4", 0, 90, 90, remarks=("slow", "odd")))
    results.append(trial("grid", "T=16", 1, 90, 90, remarks=("slow",), status="running", wasted_device_seconds=1.5))
    strategy = grid(results, 2)
    assert strategy.remarks == {"slow": 2, "odd": 1}
    assert [result.id for result in strategy.failed] == ["grid-T=16-s0", "grid-T=1-s1", "grid-T=4-s1"]
    assert (strategy.name, strategy.trials, strategy.missing, strategy.wasted_device_seconds) == ("grid", 6, 2, 1.5)


@pytest.mark.parametrize(
    ("protocol", "lacking"), [("validation", "val_top1"), ("paper", "test_top1"), ("paper", "test_loss")]
)
def test_each_protocol_selects_by_its_own_split(protocol: Protocol, lacking: str) -> None:
    broken = trial("grid", "T=1", 0, 90, 90, **{lacking: None})
    with pytest.raises(ValueError, match=f"its record lacks what protocol '{protocol}' selects by"):
        select([broken], protocol)
    other: Protocol = "paper" if protocol == "validation" else "validation"
    assert select([broken], other) == broken
    assert select([], protocol) is None


def test_draws_are_the_same_in_every_version() -> None:
    """A study that goes on must keep the settings that it kept before."""
    assert [picked(tied(seed)) for seed in range(10)] == [
        *("T=16", "T=4", "T=16", "T=4", "T=16"),
        *("T=1", "T=16", "T=1", "T=4", "T=4"),
    ]


def test_the_draw_that_is_made_on_ties_alone_selects_what_the_whole_rank_does() -> None:
    draw = np.random.default_rng(4)
    for seed in range(300):
        # Few different values: about every second seed has a tie in accuracy and loss.
        results = [
            trial("grid", f"T={value}", seed, float(draw.integers(3)), 50, val_loss=float(draw.integers(2)))
            for value in range(5)
        ]
        assert select(results, "validation") is max(results, key=lambda each: rank(each, "validation"))
