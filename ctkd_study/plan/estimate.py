"""What a plan will cost: from finished trials, else from a few steps on this machine."""

import dataclasses
import statistics
import time
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from ctkd_study.plan.plan import Plan
from trainables import numerics, probe, teacher
from trainables.bank import Glance, keys_of, unbanked
from trainables.config import RunOptions, TrialConfig
from trainables.data import Arrays, split
from trainables.record import Manifest

_ROUNDS, _STEPS, _TESTED = 3, 4, 256


@dataclasses.dataclass(frozen=True)
class Range:
    """A middle value with the span of what was measured."""

    low: float
    middle: float
    high: float

    def __mul__(self, factor: float) -> "Range":
        return Range(self.low * factor, self.middle * factor, self.high * factor)

    def __add__(self, other: "Range") -> "Range":
        return Range(self.low + other.low, self.middle + other.middle, self.high + other.high)


@dataclasses.dataclass(frozen=True)
class ArmEstimate:
    """What an arm will cost, all its trials together."""

    arm: str
    settings: int
    trials: int
    tflop: float
    device_seconds: Range
    """Headline cost: training alone."""
    wall_seconds: Range
    """Of one slot: training, evaluation and the teacher's share."""
    money: float | None
    basis: str
    """Where the rate comes from."""


@dataclasses.dataclass(frozen=True)
class BankEstimate:
    """What the teacher will do for the trials that distil from logits or pooled vectors."""

    source: str
    """Where they read its outputs."""
    reads: int
    """How often they do, all trials and epochs together: what an online teacher would have to look at."""
    pairs: int
    """Pairs of example and view that the teacher still has to look at for a bank."""
    seconds: Range
    """Of one slot, for these."""

    def __str__(self) -> str:
        if self.source == "online":
            return f"The teacher runs online, {self.reads:,} images in all: a bank would save too little or not fit."
        if not self.pairs:
            return f"All of the {self.reads:,} reads of the teacher's outputs are in its bank."
        return (
            f"The teacher's outputs are read {self.reads:,} times; its bank takes {self.pairs:,} more looks, about "
            f"{self.seconds.middle:.2g} s."
        )


@dataclasses.dataclass(frozen=True)
class Estimate:
    """Time and cost of a plan."""

    arms: tuple[ArmEstimate, ...]
    slots: int
    """Trials that run at once."""
    teacher_seconds: Range | None
    """Training the teacher, where that is still to be done."""
    bank: BankEstimate | None = None
    """None where no trial distils from what a bank could hold."""

    @property
    def wall_seconds(self) -> Range:
        total = Range(0, 0, 0)
        for arm in self.arms:
            total = total + arm.wall_seconds
        if self.bank is not None:
            total = total + self.bank.seconds
        total = total * (1 / self.slots)
        return total + self.teacher_seconds if self.teacher_seconds is not None else total


def estimate(
    plan: Plan,
    finished: Mapping[str, Manifest],
    slots: int,
    teacher_ready: bool,
    teachers: str | None = None,
    gpu: float = 0.0,
) -> Estimate:
    """Estimates time and cost from arithmetic and a measured rate.

    The rate comes from trials of the same setting that are finished, else from a few steps on this machine with the
    real data, of which nothing is kept.

    Args:
        plan: the trials.
        finished: the records of finished trials of this study, by trial id.
        slots: how many trials run at once.
        teacher_ready: whether the teacher is trained already.
        teachers: where teachers and banks lie.
        gpu: share of a GPU that a trial is given.
    """
    spec, arms = plan.spec, []
    price = spec.price_per_device_hour
    probes = _Probes(gpu, spec.resources.cpu or float(spec.numerics.threads))
    for arm in spec.arms:
        settings = [setting for setting in spec.settings() if setting.arm == arm]
        tflop, device, wall, sources = 0.0, Range(0, 0, 0), Range(0, 0, 0), set()
        for setting in settings:
            records = [
                m for i, m in finished.items() if i.startswith(f"{arm}-{setting.key}-s") and m.status == "finished"
            ]
            rate = _from_records(records) if records else probes.measure(setting.config)
            sources.add(rate.basis)
            tflop += rate.tflop * len(spec.seeds)
            device = device + rate.device_seconds * len(spec.seeds)
            wall = wall + rate.wall_seconds * len(spec.seeds)
        money = device.middle / 3600 * price if price is not None else None
        trials = len(settings) * len(spec.seeds)
        arms.append(ArmEstimate(arm, len(settings), trials, tflop, device, wall, money, "; ".join(sorted(sources))))
    needing = [trial.config for trial in plan.trials if trial.config.teacher is not None]
    teacher_seconds = None
    if needing and not teacher_ready and needing[0].teacher is not None and needing[0].teacher.recipe is not None:
        teacher_seconds = probes.measure(teacher.teacher_trial(needing[0], needing[0].teacher)).wall_seconds
    return Estimate(tuple(arms), slots, teacher_seconds, _bank_estimate(plan, probes, teachers))


def _bank_estimate(plan: Plan, probes: "_Probes", teachers: str | None) -> BankEstimate | None:
    configs = [s.config for s in plan.spec.settings() if s.config.distiller.needs in ("logits", "pooled")]
    if not configs:
        return None
    config, seeds = configs[0], plan.spec.seeds
    longest = {c.distiller.needs: c for c in sorted(configs, key=lambda c: c.recipe.epochs)}
    run = RunOptions(teachers=teachers)
    readers = [c.model_copy(update={"run": run, "seed": seed}) for c in longest.values() for seed in seeds]
    reads = len(seeds) * sum(c.recipe.epochs for c in configs) * probes.examples(config)
    pairs = unbanked(readers)
    seconds = probes.glance(config) * pairs if pairs else Range(0, 0, 0)
    return BankEstimate(str(config.teacher_source), reads, pairs, seconds)


@dataclasses.dataclass(frozen=True)
class _Rate:
    """One trial's cost."""

    tflop: float
    device_seconds: Range
    wall_seconds: Range
    basis: str


def _from_records(records: Sequence[Manifest]) -> _Rate:
    def spread(values: list[float]) -> Range:
        return Range(min(values), statistics.median(values), max(values))

    summaries = [manifest.summary for manifest in records]
    return _Rate(
        statistics.median(s.tflop for s in summaries),
        spread([s.device_seconds for s in summaries]),
        spread([s.epoch_seconds + s.eval_seconds + s.teacher_seconds for s in summaries]),
        f"{len(records)} finished trials" if len(records) > 1 else "1 finished trial",
    )


@dataclasses.dataclass(frozen=True)
class _Round:
    """Seconds and TFLOP per image."""

    training: float
    teacher: float
    evaluation: float
    tflop: float


class _Probes:
    """Times a few steps per kind of trial; trials that do the same work share a probe.

    Args:
        gpu: share of a GPU that a trial is given.
        cores: that it is given.
    """

    def __init__(self, gpu: float, cores: float) -> None:
        self._gpu, self._share = gpu, gpu or cores
        self._data: dict[str, tuple[Arrays, int]] = {}
        self._rates: dict[str, list[_Round]] = {}

    def measure(self, config: TrialConfig) -> _Rate:
        arrays, examples = self._loaded(config)
        key = probe.kind(config)
        if key not in self._rates:
            self._rates[key] = self._time(config, arrays)
        rounds = self._rates[key]
        epochs = config.recipe.epochs
        evaluated = config.data.validation + len(arrays.test_labels)
        training = [one.training * examples * epochs for one in rounds]
        others = [(one.teacher * examples + one.evaluation * evaluated) * epochs for one in rounds]
        return _Rate(
            rounds[0].tflop * examples * epochs,
            _around(training) * self._share,
            _around([a + b for a, b in zip(training, others, strict=True)]),
            f"{_ROUNDS} timed rounds of {_STEPS} steps on this machine",
        )

    def examples(self, config: TrialConfig) -> int:
        """On which the student trains."""
        return self._loaded(config)[1]

    def glance(self, config: TrialConfig) -> Range:
        """Seconds that the teacher looks at an image for its bank."""
        arrays, device = self._loaded(config)[0], numerics.apply(self._placed(config).numerics, 0)
        glance = Glance(probe.teacher(config, arrays, device), config.data, arrays, device)
        ids = np.arange(glance.size) % len(arrays.train_labels)
        keys = keys_of(ids, np.zeros_like(ids), config.data.views.count)
        times = []
        for _ in range(_ROUNDS):
            began = time.perf_counter()
            glance(keys)
            times.append((time.perf_counter() - began) / len(keys))
        return _around(times)

    def _loaded(self, config: TrialConfig) -> tuple[Arrays, int]:
        """The data set, and on how many of its examples the student trains."""
        key = repr(config.data)
        if key not in self._data:
            arrays = config.data.load()
            self._data[key] = arrays, len(split(arrays.train_labels, config.data).student)
        return self._data[key]

    def _time(self, config: TrialConfig, arrays: Arrays) -> "list[_Round]":
        trainer = probe.trainer(self._placed(config), arrays, _STEPS, _TESTED)
        trainer.train_epoch()  # warms up
        rounds, before, count = [], trainer.tflop, len(trainer.materials.split.student)
        for _ in range(_ROUNDS):
            row: dict[str, Any] = trainer.train_epoch()
            evaluation = row["eval_seconds"] / len(trainer.materials.arrays.test_labels)
            work = (row["tflop"] - before) / count
            rounds.append(_Round(row["epoch_seconds"] / count, row["teacher_seconds"] / count, evaluation, work))
            before = row["tflop"]
        return rounds

    def _placed(self, config: TrialConfig) -> TrialConfig:
        """The trial where it will run: without a share of a GPU, on the CPU."""
        if self._gpu:
            return config
        return config.model_copy(update={"numerics": config.numerics.model_copy(update={"device": "cpu"})})


def _around(values: list[float]) -> Range:
    return Range(min(values), statistics.median(values), max(values))
