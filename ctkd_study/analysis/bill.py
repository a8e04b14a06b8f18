"""What a whole study took, how long one use of a strategy takes, and after how many uses the study has paid."""

import dataclasses
import heapq
import math
import statistics
from collections.abc import Mapping, Sequence

from ctkd_study.analysis.pairs import PairedDifference
from ctkd_study.analysis.strategies import Strategy

DEVICES = (1, 4, 16)
"""Numbers of trials at once for which wall time is told."""


@dataclasses.dataclass(frozen=True)
class Bill:
    """Device-seconds of a whole study, by what they went into."""

    students: float
    """Their training: of all trials, arms and seeds."""
    teachers: float
    """Training and evaluation of the teachers."""
    banks: float
    teacher_in_trials: float
    """The teacher's work in the trials: reading a bank, or running online."""
    evaluation: float
    """Of students, on validation and test."""
    wasted: float
    """Lost to faults."""
    held: float | None
    """What the launches held: wall time times the devices of the machine or cluster; None where no launch says so."""

    @property
    def work(self) -> float:
        """All of it but idle time."""
        return self.students + self.teachers + self.banks + self.teacher_in_trials + self.evaluation + self.wasted

    @property
    def idle(self) -> float | None:
        """Held, but not worked with: starts, waiting for the teacher, the last trials; None where it is not known."""
        return None if self.held is None else max(self.held - self.work, 0.0)

    @property
    def total(self) -> float:
        """Of work and idle time."""
        return self.work + (self.idle or 0.0)


@dataclasses.dataclass(frozen=True)
class Use:
    """Carrying a strategy out once."""

    name: str
    wall_seconds: Mapping[int, float | None]
    """By the number of trials at once: mean over seeds, without start-up and the teacher; None before there is one."""
    saves: float | None = None
    """Device-seconds that one use costs less than one of the baseline, at the same seeds; None if it may be worse."""
    pays_after: int | None = None
    """After how many uses these savings exceed the study's bill; None where there are none."""


def uses(bill: Bill, strategies: Sequence[Strategy], pairs: Sequence[PairedDifference], baseline: str) -> list[Use]:
    """Return what one use of each strategy takes, and whether the study pays by it.

    Args:
        bill: of the study.
        strategies: all of them.
        pairs: their differences to the baseline; only a strategy that is better or not worse saves anything.
        baseline: its name.
    """
    good = {pair.a for pair in pairs if pair.verdict in ("better", "not_worse")}
    reference = next(strategy for strategy in strategies if strategy.name == baseline)
    found = []
    for strategy in strategies:
        saves = _saves(strategy, reference) if strategy.name in good else None
        pays = math.ceil(bill.total / saves) if saves is not None and saves > 0 else None
        found.append(Use(strategy.name, {count: wall_seconds(strategy, count) for count in DEVICES}, saves, pays))
    return found


def _saves(strategy: Strategy, baseline: Strategy) -> float | None:
    theirs = {each.seed: each.cost.device_seconds for each in baseline.complete}
    found = [theirs[each.seed] - each.cost.device_seconds for each in strategy.complete if each.seed in theirs]
    return statistics.fmean(found) if found else None


def wall_seconds(strategy: Strategy, devices: int) -> float | None:
    """Return how long a strategy takes with so many trials at once: mean over seeds; None before one is complete.

    A trial starts as soon as a device is free, in the order of the settings. A search waits for each trial before it
    suggests the next.

    Args:
        strategy: with the wall time of its trials.
        devices: how many trials run at once.
    """
    at_once = devices if strategy.arm.searched is None else 1
    found = [_makespan(each.durations, at_once) for each in strategy.complete]
    return statistics.fmean(found) if found else None


def _makespan(durations: Sequence[float], devices: int) -> float:
    free = [0.0] * devices
    for seconds in durations:
        heapq.heapreplace(free, free[0] + seconds)
    return max(free)
