"""What a practitioner would do, replicated by every seed: run an arm's settings once, and keep the best by
validation accuracy.

A grid costs the sum of its settings; one curriculum run costs one. Selection is a part of the strategy, so every
seed selects anew.
"""

import dataclasses
import hashlib
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from typing import Literal

from ctkd_study.records import TrialResult
from trainables import streams

Protocol = Literal["validation", "paper"]


@dataclasses.dataclass(frozen=True)
class ArmPlan:
    """What was planned for an arm."""

    name: str
    settings: tuple[str, ...]
    """Labels, unique within the arm."""
    fixed: bool = False
    """Whether every setting has a fixed temperature."""
    uses_teacher: bool = True
    overrides_student: bool = False
    overrides_epochs: bool = False


@dataclasses.dataclass(frozen=True)
class Cost:
    """What something takes."""

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
    """The setting that it kept; None where all failed, or trials are still to run."""
    val_top1: float | None
    test_top1: float | None
    cost: Cost
    """Of all its settings, failed ones too."""


@dataclasses.dataclass(frozen=True)
class Strategy:
    """An arm as a strategy."""

    plan: ArmPlan
    replicates: tuple[Replicate, ...]
    """One per planned seed, in the order of the study."""
    failed: tuple[TrialResult, ...]
    missing: int
    """Trials that have not ended."""
    wasted_device_seconds: float
    remarks: Mapping[str, int] = dataclasses.field(default_factory=dict)
    """What one should know who reads the numbers, and of how many trials."""

    @property
    def name(self) -> str:
        """The arm's name."""
        return self.plan.name

    @property
    def trials(self) -> int:
        """How many trials were planned."""
        return len(self.plan.settings) * len(self.replicates)

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
    arms: Sequence[ArmPlan],
    seeds: Sequence[int],
    results: Iterable[TrialResult],
    protocol: Protocol,
    teacher_cost: Cost | None = None,
) -> tuple[Strategy, ...]:
    """What each arm would have picked and paid at each seed.

    Args:
        arms: what was planned.
        seeds: the study's.
        results: of the trials that have a record, in any order.
        protocol: ``validation`` keeps the best by validation accuracy, ``paper`` by test accuracy.
        teacher_cost: if given, every replicate also pays the teacher's training once (if it uses the teacher), the
            teacher's work in its trials, and evaluation.
    """
    known = {(result.arm, result.setting, result.seed): result for result in results}
    return tuple(_strategy(arm, seeds, known, protocol, teacher_cost) for arm in arms)


def _strategy(
    arm: ArmPlan,
    seeds: Sequence[int],
    known: Mapping[tuple[str, str, int], TrialResult],
    protocol: Protocol,
    teacher_cost: Cost | None,
) -> Strategy:
    replicates, failed, missing, wasted = [], [], 0, 0.0
    remarks: Counter[str] = Counter()
    for seed in seeds:
        found = [known.get((arm.name, setting, seed)) for setting in arm.settings]
        ended = [result for result in found if result is not None and result.status != "running"]
        failed += [result for result in ended if result.status == "failed"]
        missing += len(found) - len(ended)
        wasted += sum(result.wasted_device_seconds for result in found if result is not None)
        remarks.update(text for result in found if result is not None for text in result.remarks)
        replicates.append(_replicate(arm, seed, ended, len(ended) == len(found), protocol, teacher_cost))
    return Strategy(arm, tuple(replicates), tuple(failed), missing, wasted, remarks)


def _replicate(
    arm: ArmPlan, seed: int, ended: Sequence[TrialResult], complete: bool, protocol: Protocol, teacher_cost: Cost | None
) -> Replicate:
    cost = sum((Cost(result.device_seconds, result.tflop) for result in ended), Cost())
    if teacher_cost is not None:
        apart = (Cost(result.apart_device_seconds, result.apart_tflop) for result in ended)
        cost = sum(apart, cost + teacher_cost if arm.uses_teacher else cost)
    best = select([result for result in ended if result.status == "finished"], protocol) if complete else None
    if best is None:
        return Replicate(seed, complete, None, None, None, cost)
    return Replicate(seed, complete, best.setting, best.val_top1, best.test_top1, cost)


def select(candidates: Sequence[TrialResult], protocol: Protocol) -> TrialResult | None:
    """The trial of a seed to keep: the best by accuracy, then by loss, then by a draw; None where there is none.

    The draw is addressed by seed, arm and setting, so that neither the order of the trials nor what else is among them
    matters.
    """

    def rank(result: TrialResult) -> tuple[float, float, float]:
        accuracy = result.val_top1 if protocol == "validation" else result.test_top1
        loss = result.val_loss if protocol == "validation" else result.test_loss
        if accuracy is None or loss is None:
            raise ValueError(
                f"trial {result.id} is finished, but its record lacks what protocol {protocol!r} selects by"
            )
        return accuracy, -loss, _draw(result)

    return max(candidates, key=rank, default=None)


def _draw(result: TrialResult) -> float:
    address = hashlib.sha256(f"{result.arm}/{result.setting}".encode()).digest()
    return float(streams.generator(streams.Purpose.TIES, result.seed, int.from_bytes(address[:8])).random())
