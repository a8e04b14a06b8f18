"""Successive halving and ASHA against plain loops, by hand, and where they must equal the grid."""

import dataclasses
import itertools
import math
import statistics

import numpy as np
import pytest

from ctkd_study.analysis import early_stopping
from ctkd_study.analysis.early_stopping import Curve, asha, halving, rungs, subsets
from ctkd_study.analysis.strategies import select
from ctkd_study.records import TrialResult
from tests.support.tabulated import curves_of, failed, trial
from trainables.epoch_selection import rank as epoch_rank
from trainables.record import Row

EPOCHS = 8


def case(seed: int, settings: int, failures: tuple[int, ...] = ()) -> tuple[list[TrialResult], list[list[Row]]]:
    """Trials and their epochs: accuracies in steps, so that many are equal."""
    generator = np.random.default_rng([seed, settings])
    results, rows = [], []
    for number in range(settings):
        accuracies = (generator.integers(0, 5, EPOCHS) + np.arange(EPOCHS) // 2).astype(float)
        tests = generator.integers(0, 700, EPOCHS) / 7
        found: list[Row] = [
            {"epoch": epoch + 1, "val_top1": accuracies[epoch], "val_loss": 1.0, "test_top1": float(tests[epoch]),
             "device_seconds": 1.0 + number, "tflop": 0.5 * (epoch + 1)}
            for epoch in range(EPOCHS)
        ]  # fmt: skip
        result = failed("grid", f"T={number}", seed)
        if number in failures:
            found = found[:3]
        else:
            best = max(range(EPOCHS), key=lambda epoch: epoch_rank(found[epoch], "validation", seed))
            result = trial("grid", f"T={number}", seed, accuracies[best], float(tests[best]), val_loss=1.0)
            result = dataclasses.replace(result, device_seconds=EPOCHS * (1.0 + number), tflop=0.5 * EPOCHS)
        results.append(result)
        rows.append(found)
    return results, rows


def curves(results: list[TrialResult], rows: list[list[Row]]) -> list[Curve]:
    return [Curve.of(result, found) for result, found in zip(results, rows, strict=True)]


@pytest.mark.parametrize(
    ("settings", "factor", "epochs", "expected"),
    [
        (5, 2, 30, [(5, 8), (2, 15), (1, 30)]),
        (9, 3, 27, [(9, 3), (3, 9), (1, 27)]),
        (27, 3, 30, [(27, 2), (9, 4), (3, 10), (1, 30)]),
        (5, 4, 30, [(5, 8), (1, 30)]),
        (5, 6, 30, [(5, 30)]),
        (8, 2, 3, [(8, 1), (4, 1), (2, 2), (1, 3)]),
        (1, 2, 10, [(1, 10)]),
    ],
)
def test_rungs(settings: int, factor: int, epochs: int, expected: list[tuple[int, int]]) -> None:
    assert rungs(settings, factor, epochs) == expected


@pytest.mark.parametrize("settings", range(2, 7))
@pytest.mark.parametrize("failures", [(), (1,)])
def test_halving_is_the_mean_over_all_subsets(settings: int, failures: tuple[int, ...]) -> None:
    for seed, factor in itertools.product(range(3), (2, 3)):
        results, rows = case(seed, settings, failures)
        known = curves(results, rows)
        for size in range(1, settings + 1):
            tests, seconds, tflop = [], [], []
            for subset in itertools.combinations(range(settings), size):
                alive, reached = list(subset), dict.fromkeys(subset, 0)
                plan = rungs(size, factor, EPOCHS)
                for place, (count, epoch) in enumerate(plan):
                    assert len(alive) == count
                    reached.update(dict.fromkeys(alive, epoch))
                    kept = plan[place + 1][0] if place + 1 < len(plan) else 1
                    best_so_far = [
                        (n not in failures or epoch <= 3, known[n].standing[min(epoch, len(rows[n])) - 1])
                        for n in alive
                    ]
                    order = sorted(zip(best_so_far, alive, strict=True), reverse=True)
                    alive = [n for *_, n in order[:kept]]
                if alive[0] not in failures:
                    tests.append(results[alive[0]].test_top1 or 0)
                # A failed trial stops after its three rows, and three device-seconds in all.
                seconds.append(
                    sum(3.0 if n in failures and epoch > 3 else epoch * (1.0 + n) for n, epoch in reached.items())
                )
                tflop.append(sum(1.0 if n in failures and epoch > 3 else 0.5 * epoch for n, epoch in reached.items()))
            found = halving(known, size, factor, EPOCHS)
            assert found.test_top1 == (pytest.approx(statistics.fmean(tests)) if tests else None)
            assert found.cost.device_seconds == pytest.approx(statistics.fmean(seconds))
            assert found.cost.tflop == pytest.approx(statistics.fmean(tflop))


@pytest.mark.parametrize("workers", [1, 3])
def test_without_a_rung_between_both_are_the_grid(workers: int) -> None:
    for seed in range(10):
        results, rows = case(seed, 5)
        best = select(results, "validation")
        assert best is not None
        for found in (halving(curves(results, rows), 5, 6, EPOCHS), asha(curves(results, rows), 6, EPOCHS, workers)):
            assert found.test_top1 == pytest.approx(best.test_top1)
            assert found.cost.device_seconds == pytest.approx(sum(result.device_seconds for result in results))
            assert found.cost.tflop == pytest.approx(sum(result.tflop for result in results))


def line(number: int, accuracy: float, seconds: float = 1.0) -> Curve:
    """A setting of four epochs whose accuracy never changes."""
    result = trial("grid", f"T={number}", 0, accuracy, 10 * accuracy, device_seconds=4 * seconds, tflop=4.0)
    return Curve.of(result, curves_of(result, 4))


def test_asha_by_hand() -> None:
    # One worker, order 0 1 2 3, rungs 1, 2 and 4 epochs. 0 and 1 run an epoch; one of two is promoted: 1, to 2 epochs.
    # Of one at the second rung, none is promoted; 2 starts: of three, still one, 2, the best, is promoted: two at the
    # second rung, 2 is promoted to the end. Then 3 starts: of four, two are promoted: 2 and 1 were. Nothing is left.
    known = [line(0, 1), line(1, 2), line(2, 3), line(3, 0)]
    ends = [1, 2, 4]
    places = [early_stopping._places(known, epoch) for epoch in ends]
    test, cost = early_stopping._asha(known, (0, 1, 2, 3), ends, places, 2, 1)
    assert (test, cost.device_seconds) == (30.0, 1 + 2 + 4 + 1)
    # With the best first, only it and the second of the rung below go on: 3 to the end, 2 to two epochs.
    known = [line(0, 3), line(1, 2), line(2, 1), line(3, 0)]
    places = [early_stopping._places(known, epoch) for epoch in ends]
    test, cost = early_stopping._asha(known, (0, 1, 2, 3), ends, places, 2, 1)
    assert (test, cost.device_seconds) == (30.0, 4 + 2 + 1 + 1)


def test_asha_promotes_more_the_more_run_at_once() -> None:
    """Where the order is bad, asynchrony promotes what later turns out to be poor: it costs more than halving."""
    known = [line(number, float(number)) for number in range(8)]
    halved = halving(known, 8, 2, 4)
    asynchronous = asha(known, 2, 4, 2)
    assert halved.test_top1 == asynchronous.test_top1 == 70.0
    assert asynchronous.cost.device_seconds >= halved.cost.device_seconds


def test_asha_that_ends_early_keeps_the_best_of_its_highest_rung() -> None:
    known = [line(number, float(number)) for number in range(5)]
    found = asha(known, 4, 4, 5)
    # Rungs 1 and 4 epochs: the best of the first four is promoted, and the last one too, if it is the best of five.
    assert found.test_top1 == 40.0
    assert found.cost.device_seconds == pytest.approx(4 + 4 * 1 + 3 / 5)
    all_fail = [
        Curve.of(failed("grid", f"T={n}", 0), curves_of(trial("grid", f"T={n}", 0, 1, 1), 4)[:0]) for n in range(3)
    ]
    assert asha(all_fail, 2, 4, 2).test_top1 is None
    assert halving(all_fail, 3, 2, 4).test_top1 is None
    assert asha(all_fail, 2, 4, 2).cost.device_seconds == 9.0


def test_the_best_epoch_so_far_counts_not_the_last() -> None:
    result = trial("grid", "T=1", 0, 5.0, 50.0, val_loss=0.5)
    rows: list[Row] = [
        {"epoch": epoch, "val_top1": val, "val_loss": 0.5, "test_top1": 10 * val, "device_seconds": 1.0, "tflop": epoch}
        for epoch, val in enumerate((3.0, 5.0, 1.0, 4.0), 1)
    ]
    curve = Curve.of(result, rows)
    assert [standing[0] for standing in curve.standing] == [3, 5, 5, 5]
    assert curve.test == (30, 50, 50, 50)


def test_subsets_are_all_or_seeded_draws() -> None:
    assert sorted(map(tuple, subsets(5, 2).tolist())) == list(itertools.combinations(range(5), 2))
    many = subsets(30, 10)
    assert math.comb(30, 10) > early_stopping.SUBSETS == len(many)
    assert {len(set(row)) for row in many.tolist()} == {10}
    assert (many == subsets(30, 10)).all()
