"""The cost of one trial, from the time of a few steps on this machine."""

import dataclasses
import functools
import statistics
from collections.abc import Callable, Sequence

from trainables import probe
from trainables.config import TrialConfig
from trainables.data import Arrays, DataOptions, student_examples


@dataclasses.dataclass(frozen=True)
class Range:
    """A middle value between the lowest and the highest that were measured."""

    low: float = 0.0
    middle: float = 0.0
    high: float = 0.0

    @classmethod
    def of(cls, values: Sequence[float]) -> "Range":
        """Return the span of some values, around their median."""
        return cls(min(values), statistics.median(values), max(values))

    def __mul__(self, factor: float) -> "Range":
        return Range(self.low * factor, self.middle * factor, self.high * factor)

    def __add__(self, other: "Range") -> "Range":
        return Range(self.low + other.low, self.middle + other.middle, self.high + other.high)


@dataclasses.dataclass(frozen=True, kw_only=True)
class Cost:
    """The cost of one trial, or of several together."""

    tflop: float
    device_seconds: Range
    """Training alone: the headline cost."""
    wall_seconds: Range
    """Training, evaluation and the teacher's share, one trial after the other."""
    basis: str
    """What the numbers were measured on."""


class StepTimer:
    """Times a few steps for each kind of trial.

    Args:
        data: the data set of the trials; random images of its size stand in for it.
        gpu: share of a GPU that a trial is given; 0 for none.
        cores: CPU cores that a trial is given.
        steps: times a trial's steps.
        looks: times the teacher when it fills a bank: seconds per image.
    """

    def __init__(
        self,
        data: DataOptions,
        gpu: float,
        cores: float,
        steps: Callable[[TrialConfig, Arrays], Sequence[probe.PerImage]] = probe.time_steps,
        looks: Callable[[TrialConfig, Arrays], Sequence[float]] = probe.time_teacher,
    ) -> None:
        self._data, self._gpu, self._cores, self._steps, self._looks = data, gpu, cores, steps, looks
        self._rounds: dict[str, Sequence[probe.PerImage]] = {}

    def trial(self, config: TrialConfig) -> Cost:
        """Return the cost of a trial."""
        if (kind := probe.kind(config)) not in self._rounds:
            self._rounds[kind] = self._steps(self._placed(config), self._arrays)
        rounds, sizes, epochs = self._rounds[kind], self._arrays.sizes, config.recipe.epochs
        trained = student_examples(config.data, sizes.train) * epochs
        evaluated = (config.data.validation + sizes.test) * epochs
        walls = [(each.training + each.teacher) * trained + each.evaluation * evaluated for each in rounds]
        return Cost(
            tflop=rounds[0].tflop * trained,
            device_seconds=Range.of([each.training for each in rounds]) * (trained * (self._gpu or self._cores)),
            wall_seconds=Range.of(walls),
            basis=f"{len(rounds)} timed rounds of {probe.STEPS} steps on this machine",
        )

    def look(self, config: TrialConfig) -> Range:
        """Return the seconds that a trial's teacher takes to look at one image for its bank."""
        return Range.of(self._looks(self._placed(config), self._arrays))

    @functools.cached_property
    def _arrays(self) -> Arrays:
        return probe.stand_in(self._data)

    def _placed(self, config: TrialConfig) -> TrialConfig:
        """Return the trial on the device that it will have: without a share of a GPU, the CPU."""
        if self._gpu:
            return config
        return config.model_copy(update={"numerics": config.numerics.model_copy(update={"device": "cpu"})})
