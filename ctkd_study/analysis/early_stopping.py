"""Successive halving and ASHA, replayed from the epochs of a grid's trials.

Both stop settings that lag behind after a few epochs. Every trial of a grid was trained to its end, so what each would
have seen, kept and paid can be read off the rows. That is exact where a stopped trial follows the schedules of the full
length; a scheduler that shortens the schedule of the learning rate or of λ for short trials does something else.
"""

import dataclasses
import heapq
import itertools
import math
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from ctkd_study.analysis.strategies import Cost, rank
from ctkd_study.records import TrialResult
from trainables.epoch_selection import rank as epoch_rank
from trainables.record import Row

SUBSETS, ORDERS = 2_000, 200
"""Replays average over all subsets of the settings, or all orders, if there are not more; else over so many draws."""


@dataclasses.dataclass(frozen=True)
class Curve:
    """A trial, epoch by epoch: what a scheduler sees of it, and what it has paid. Accuracies in percent."""

    standing: tuple[tuple[float, float, float], ...]
    """After each epoch, what the best epoch so far is ranked by: validation accuracy, -loss, and the trial's draw."""
    test: tuple[float, ...]
    """Test accuracy at the best epoch so far."""
    paid: tuple[Cost, ...]
    """From the start to the end of each epoch."""
    finished: bool

    @classmethod
    def of(cls, result: TrialResult, rows: Sequence[Row]) -> "Curve":
        """Return the curve of a trial that has ended.

        Args:
            result: the trial.
            rows: its epochs.
        """
        finished = result.status == "finished"
        draw = rank(result, "validation")[2] if finished else 0.0
        best: Row | None = None
        standing, test, paid, seconds = [], [], [], 0.0
        for row in rows:
            if best is None or epoch_rank(row, "validation", result.seed) > epoch_rank(best, "validation", result.seed):
                best = row
            standing.append((float(best["val_top1"] or 0), -float(best["val_loss"] or 0), draw))
            test.append(float(best["test_top1"] or 0))
            seconds += row.get("device_seconds") or 0.0
            paid.append(Cost(seconds, row.get("tflop") or 0.0))
        whole = Cost(result.device_seconds, result.tflop)
        # What a failed trial paid includes the epoch that failed, which has no row.
        return cls(tuple(standing), tuple(test), (*paid, whole) if not finished else (*paid[:-1], whole), finished)

    def alive(self, epoch: int) -> bool:
        """Whether the trial has completed this epoch."""
        return epoch <= len(self.standing)

    def paid_until(self, epoch: int) -> Cost:
        """What it has paid after this epoch, or when it failed."""
        return self.paid[min(epoch, len(self.paid)) - 1]


@dataclasses.dataclass(frozen=True)
class Outcome:
    """What a strategy reaches and pays at one seed, the mean over subsets or orders."""

    test_top1: float | None
    """None where every setting fails."""
    cost: Cost


def rungs(settings: int, factor: int, epochs: int) -> list[tuple[int, int]]:
    """Return how many settings are trained until which epoch: the first rung first.

    The number of settings is divided by the factor from rung to rung, and the last rung trains to the end (Jamieson and
    Talwalkar, AISTATS 2016; Li et al., JMLR 2018, one bracket). With fewer settings than the factor, there is one rung.
    """
    last = 0
    while factor ** (last + 1) <= settings:
        last += 1
    return [(settings // factor**n, max(math.ceil(epochs / factor ** (last - n)), 1)) for n in range(last + 1)]


def halving(curves: Sequence[Curve], settings: int, factor: int, epochs: int) -> Outcome:
    """Replay successive halving of some of the settings.

    Args:
        curves: of all settings of a seed.
        settings: how many of them it starts with; the mean over all such subsets is returned, or over seeded draws.
        factor: by which the number of settings is divided.
        epochs: of a whole training.
    """
    alive = subsets(len(curves), settings)
    seconds, tflop, before = np.zeros(len(alive)), np.zeros(len(alive)), [Cost()] * len(curves)
    plan = rungs(settings, factor, epochs)
    for place, (_, epoch) in enumerate(plan):
        now = [curve.paid_until(epoch) for curve in curves]
        spent = list(zip(now, before, strict=True))
        seconds += np.array([b.device_seconds - a.device_seconds for b, a in spent])[alive].sum(axis=1)
        tflop += np.array([b.tflop - a.tflop for b, a in spent])[alive].sum(axis=1)
        before = now
        kept = plan[place + 1][0] if place + 1 < len(plan) else 1
        order = np.argsort(_places(curves, epoch)[alive], axis=1)[:, :kept]
        alive = np.take_along_axis(alive, order, axis=1)
    reached = [curve.test[epochs - 1] if curve.finished else math.nan for curve in curves]
    chosen = np.array(reached)[alive[:, 0]]
    test = float(np.nanmean(chosen)) if not np.isnan(chosen).all() else None
    return Outcome(test, Cost(float(seconds.mean()), float(tflop.mean())))


def subsets(count: int, size: int) -> NDArray[np.int64]:
    """Return all subsets of ``size`` of the numbers below ``count``, shape (subsets, size), or 2,000 seeded draws."""
    if math.comb(count, size) <= SUBSETS:
        return np.array(list(itertools.combinations(range(count), size)), dtype=np.int64)
    every = np.broadcast_to(np.arange(count), (SUBSETS, count))
    return np.random.default_rng(0).permuted(every, axis=1)[:, :size]


def asha(curves: Sequence[Curve], factor: int, epochs: int, workers: int) -> Outcome:
    """Replay asynchronous successive halving of all settings, which arrive in a random order.

    A free worker promotes a setting that is among the best 1/factor of its rung, the highest rung first; else it starts
    the next setting (Li et al., A System for Massively Parallel Hyperparameter Tuning, MLSys 2020, algorithm 2). Trials
    take the time that they took. The end is when no worker has anything left to do. The best setting of the highest
    rung that was reached is kept; where that is not the last one, with the epochs that it has.

    Args:
        curves: of all settings of a seed.
        factor: by which the number of settings is divided from rung to rung.
        epochs: of a whole training.
        workers: how many trials run at once.
    """
    ends = [epoch for _, epoch in rungs(len(curves), factor, epochs)]
    places = [_places(curves, epoch) for epoch in ends]
    found = [_asha(curves, order, ends, places, factor, workers) for order in _orders(len(curves))]
    tests = [test for test, _ in found if test is not None]
    cost = sum((cost for _, cost in found), Cost()) / len(found)
    return Outcome(sum(tests) / len(tests) if tests else None, cost)


def _asha(
    curves: Sequence[Curve],
    order: Sequence[int],
    ends: Sequence[int],
    places: Sequence[NDArray[np.int64]],
    factor: int,
    workers: int,
) -> tuple[float | None, Cost]:
    """Return what one order of arrival reaches and pays."""
    waiting, running = list(reversed(order)), list[tuple[float, int, int, int]]()
    done: list[list[int]] = [[] for _ in ends]
    promoted: list[set[int]] = [set() for _ in ends]
    reached, now, started = dict.fromkeys(order, -1), 0.0, 0

    def next_job() -> tuple[int, int] | None:
        for rung in reversed(range(len(ends) - 1)):
            best = sorted(done[rung], key=lambda setting: places[rung][setting])[: len(done[rung]) // factor]
            for setting in best:
                if setting not in promoted[rung] and curves[setting].alive(ends[rung]):
                    promoted[rung].add(setting)
                    return setting, rung + 1
        return (waiting.pop(), 0) if waiting else None

    while True:
        while len(running) < workers and (job := next_job()) is not None:
            setting, rung = job
            paid = curves[setting].paid_until(ends[rung]).device_seconds
            already = curves[setting].paid_until(ends[rung - 1]).device_seconds if rung else 0.0
            heapq.heappush(running, (now + paid - already, started, setting, rung))
            started += 1
        if not running:
            break
        now, _, setting, rung = heapq.heappop(running)
        reached[setting] = rung
        done[rung].append(setting)
    cost = sum((curves[setting].paid_until(ends[rung]) for setting, rung in reached.items()), Cost())
    for rung in reversed(range(len(ends))):
        whole = [setting for setting in done[rung] if curves[setting].alive(ends[rung])]
        if whole:
            chosen = min(whole, key=lambda setting: places[rung][setting])
            return curves[chosen].test[ends[rung] - 1], cost
    return None, cost


def _places(curves: Sequence[Curve], epoch: int) -> NDArray[np.int64]:
    """Return each curve's place after an epoch, the best first; those that have failed come last."""
    keys = [(1, *curve.standing[epoch - 1]) if curve.alive(epoch) else (0, 0.0, 0.0, 0.0) for curve in curves]
    order = sorted(range(len(curves)), key=lambda n: keys[n], reverse=True)
    places = np.empty(len(curves), dtype=np.int64)
    places[order] = np.arange(len(curves))
    return places


def _orders(count: int) -> list[tuple[int, ...]]:
    if math.factorial(count) <= ORDERS:
        return list(itertools.permutations(range(count)))
    generator = np.random.default_rng(0)
    return [tuple(generator.permutation(count).tolist()) for _ in range(ORDERS)]
