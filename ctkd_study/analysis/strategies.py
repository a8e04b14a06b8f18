"""Strategies: what a practitioner would do with an arm, namely run its settings once and keep the best.

A grid costs the sum of its settings, and so does a search; one curriculum run costs one. Selection is part of the
strategy, so every seed selects, and searches, anew.
"""

import dataclasses
import hashlib
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from types import MappingProxyType
from typing import Literal

from ctkd_study.records import TrialResult
from ctkd_study.spec import Arm
from trainables import streams

Protocol = Literal["validation", "paper"]
#: What the teacher costs an arm at a seed, apart from its work in the trials; by arm and seed.
Charges = Mapping[tuple[str, int], "Cost"]


@dataclasses.dataclass(frozen=True)
class Cost:
    """Wall time times the share of the device, and arithmetic (1 TFLOP is 10^12 operations)."""

    device_seconds: float = 0.0
    tflop: float = 0.0

    def __add__(self, other: "Cost") -> "Cost":
        return Cost(self.device_seconds + other.device_seconds, self.tflop + other.tflop)

    def __truediv__(self, count: float) -> "Cost":
        return Cost(self.device_seconds / count, self.tflop / count)


@dataclasses.dataclass(frozen=True)
class Replicate:
    """A strategy carried out with one seed. Accuracies in percent."""

    seed: int
    complete: bool
    """Whether all its trials have ended."""
    selected: str | None
    """The setting that it kept; None where all failed, or some have not ended."""
    val_top1: float | None
    test_top1: float | None
    cost: Cost
    """Of all its settings that have ended, failed ones too."""
    trial: str | None = None
    """Id of the trial that it kept."""
    durations: tuple[float, ...] = dataclasses.field(default=(), compare=False, kw_only=True)
    """Wall time of all its trials that have ended, seconds."""
    test_top5: float | None = None
    test_nll: float | None = None
    """Mean negative log-likelihood of the test examples, nats."""
    test_ece: float | None = None
    """Expected calibration error on the test set, percent."""


@dataclasses.dataclass(frozen=True)
class Strategy:
    """An arm with what each seed would have picked and paid."""

    arm: Arm
    replicates: tuple[Replicate, ...]
    """One per seed that the arm is to run, in the order of the study."""
    failed: tuple[TrialResult, ...]
    missing: int
    """Trials that have not ended."""
    wasted_device_seconds: float
    stopped: int = 0
    """Trials that a scheduler stopped before their last epoch."""
    settings: tuple[str, ...] = ()
    """The labels of its settings; of a search, those that were tried, seed by seed."""
    remarks: Mapping[str, int] = dataclasses.field(default_factory=dict)
    """Caveats for readers of the results, with the number of trials each concerns."""

    @property
    def name(self) -> str:
        """The arm's name."""
        return self.arm.name

    @property
    def trials(self) -> int:
        """How many trials were planned."""
        return self.arm.size * len(self.replicates)

    @property
    def complete(self) -> tuple[Replicate, ...]:
        """The replicates whose trials have all ended."""
        return tuple(replicate for replicate in self.replicates if replicate.complete)

    @property
    def dropped(self) -> tuple[int, ...]:
        """Seeds at which every setting failed."""
        return tuple(replicate.seed for replicate in self.complete if replicate.selected is None)

    @property
    def cost(self) -> Cost | None:
        """Mean over the seeds whose trials have all ended; None before there is one."""
        done = self.complete
        return sum((replicate.cost for replicate in done), Cost()) / len(done) if done else None


def evaluate(
    arms: Sequence[Arm],
    seeds: Sequence[int],
    results: Iterable[TrialResult],
    protocol: Protocol,
    charges: Charges | None = None,
    reach: Mapping[str, int] = MappingProxyType({}),
) -> tuple[Strategy, ...]:
    """Return what each arm would have picked and paid at each seed.

    Args:
        results: of the trials that have a record, in any order.
        protocol: ``validation`` keeps the best by validation accuracy, ``paper`` by test accuracy.
        charges: if given, every replicate also pays its charge, the teacher's work in its trials, and evaluation on
            validation; one without a charge has no teacher.
        reach: how many of the seeds an arm is to run, by name, where these are not all.
    """
    known = {result.id: result for result in results}
    strategies = []
    for arm in arms:
        its_seeds = seeds[: reach.get(arm.name, len(seeds))]
        every = [result for seed in its_seeds for result in results_of(arm, seed, known)]
        found = [result for result in every if result is not None]
        strategy = Strategy(
            arm=arm,
            replicates=tuple(replicate(arm, seed, known, protocol, charges) for seed in its_seeds),
            failed=tuple(result for result in found if result.status == "failed"),
            missing=len(every) - sum(result.status != "running" for result in found),
            stopped=sum(result.status == "stopped" for result in found),
            settings=_labels(arm, found),
            wasted_device_seconds=sum((result.wasted_device_seconds for result in found), 0.0),
            remarks=Counter(text for result in found for text in result.remarks),
        )
        strategies.append(strategy)
    return tuple(strategies)


def _labels(arm: Arm, found: Sequence[TrialResult]) -> tuple[str, ...]:
    if arm.searched is None:
        return tuple(setting.label for setting in arm.settings)
    return tuple(dict.fromkeys(result.setting for result in found))


def results_of(arm: Arm, seed: int, known: Mapping[str, TrialResult]) -> list[TrialResult | None]:
    """Return the results of an arm at one seed: setting by setting, or in the order of its search; None where none is.

    Args:
        known: the results that there are, by trial id.
    """
    if arm.searched is None:
        return [known.get(setting.trial(seed).id) for setting in arm.settings]
    by_number = {each.suggestion: each for each in known.values() if each.arm == arm.name and each.seed == seed}
    return [by_number.get(number) for number in range(1, arm.size + 1)]


def replicate(
    arm: Arm, seed: int, known: Mapping[str, TrialResult], protocol: Protocol, charges: Charges | None = None
) -> Replicate:
    """Return what an arm picked and paid at one seed.

    Args:
        arm: whose settings are run once each.
        seed: of all its trials.
        known: the results that there are, by trial id.
        protocol, charges: see ``evaluate``.
    """
    found = results_of(arm, seed, known)
    ended = [result for result in found if result is not None and result.status != "running"]
    cost = sum((Cost(result.device_seconds, result.tflop) for result in ended), Cost())
    if charges is not None:
        apart = (Cost(result.apart_device_seconds, result.apart_tflop) for result in ended)
        cost = sum(apart, cost + charges.get((arm.name, seed), Cost()))
    complete = len(ended) == len(found)
    best = select([result for result in ended if result.status != "failed"], protocol) if complete else None
    durations = tuple(result.wall_seconds for result in ended)
    if best is None:
        return Replicate(seed, complete, None, None, None, cost, durations=durations)
    others = best.id, best.test_top5, best.test_loss, best.test_ece
    return Replicate(seed, complete, best.setting, best.val_top1, best.test_top1, cost, *others, durations=durations)


def select(candidates: Sequence[TrialResult], protocol: Protocol) -> TrialResult | None:
    """Return the best trial of a seed by ``rank``; None where there is no trial."""
    merits = [_merit(result, protocol) for result in candidates]
    best = [result for result, merit in zip(candidates, merits, strict=True) if merit == max(merits)]
    # The draw takes longer than all else here, and few seeds need it.
    return best[0] if len(best) == 1 else max(best, key=lambda result: rank(result, protocol), default=None)


def rank(result: TrialResult, protocol: Protocol) -> tuple[float, float, float]:
    """Return what a seed's finished trials are ranked by: the accuracy, then the loss, then a draw; the highest wins.

    The draw is addressed by seed, arm and setting: neither the order of the trials nor the other trials change it.
    """
    address = hashlib.sha256(f"{result.arm}/{result.setting}".encode()).digest()
    draw = streams.generator(streams.Purpose.TIES, result.seed, int.from_bytes(address[:8])).random()
    return *_merit(result, protocol), float(draw)


def _merit(result: TrialResult, protocol: Protocol) -> tuple[float, float]:
    on_validation, on_test = (result.val_top1, result.val_loss), (result.test_top1, result.test_loss)
    accuracy, loss = on_validation if protocol == "validation" else on_test
    if accuracy is None or loss is None:
        lacking = f"its record lacks what protocol {protocol!r} selects by"
        raise ValueError(f"trial {result.id} is finished, but {lacking}")
    return accuracy, -loss
