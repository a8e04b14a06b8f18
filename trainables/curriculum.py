"""Schedules of λ, the strength of the curriculum (CTKD, section 3.3).

λ is ≥ 0 in this project; only ``temperatures/reversal.py`` applies the minus sign. (The authors' script stores -λ.)
λ is constant within an epoch; epochs are counted from 1. A schedule can rise or fall (``start`` and ``end`` in either
order) and can start late (``delay``).
"""

import itertools
import math
from abc import abstractmethod
from typing import Annotated, Literal, Self

from pydantic import Field, Strict, model_validator
from pydantic_core import PydanticCustomError

from trainables.options import Options
from trainables.registry import Registry


class CurriculumOptions(Options):
    """A schedule of λ: a pure function of the epoch."""

    @abstractmethod
    def strength(self, epoch: int) -> float:
        """Return λ in this epoch, counted from 1."""


class Constant(CurriculumOptions):
    """λ never changes, except for a late start."""

    kind: Literal["constant"] = "constant"
    value: float = Field(1.0, ge=0, le=1000, description="λ in every epoch.")
    delay: int = Field(0, ge=0, le=100_000, description="Epochs before it starts; λ is 0 in them.")

    def strength(self, epoch: int) -> float:
        return self.value if epoch > self.delay else 0.0


class _Span(CurriculumOptions):
    """A schedule between two values of λ; the subclass says how fast."""

    start: float = Field(0.0, ge=0, le=1000, description="λ before the first epoch (λ_min in the paper).")
    end: float = Field(1.0, ge=0, le=1000, description="λ at the end of the way, and from then on (λ_max).")
    epochs: int = Field(
        10, ge=1, le=100_000, description="Length in epochs (E_loops); λ reaches `end` in the last of them."
    )
    delay: int = Field(0, ge=0, le=100_000, description="Epochs before it starts; λ is `start` in them.")

    def strength(self, epoch: int) -> float:
        done = epoch - self.delay
        if done <= 0:
            return self.start
        return self.start + (self.end - self.start) * self._way(done)

    @abstractmethod
    def _way(self, done: int) -> float:
        """Return the share of the way from ``start`` to ``end`` after so many epochs, at least one."""

    def _time(self, done: int) -> float:
        """Return the share of ``epochs`` that has passed, at most 1."""
        return min(done, self.epochs) / self.epochs


class Linear(_Span):
    """λ goes from `start` to `end` in equal steps; unlike the authors' script, it arrives."""

    kind: Literal["linear"] = "linear"

    def _way(self, done: int) -> float:
        return self._time(done)


class Cosine(_Span):
    """λ goes from `start` to `end` along half a cosine: the paper's schedule."""

    kind: Literal["cosine"] = "cosine"

    def _way(self, done: int) -> float:
        return (1 + math.cos(math.pi * (1 + self._time(done)))) / 2


class Exponential(_Span):
    """λ approaches `end` exponentially: fast at first for a positive `rate`, slow at first for a negative one."""

    kind: Literal["exponential"] = "exponential"
    rate: float = Field(
        5.0, ge=-100, le=100, description="How often the distance shrinks by e on the way; 0 is linear."
    )

    def _way(self, done: int) -> float:
        if abs(self.rate) < 1e-9:
            return self._time(done)
        return math.expm1(-self.rate * self._time(done)) / math.expm1(-self.rate)


class Step(_Span):
    """λ goes from `start` to `end` in a few equal jumps, the last of them in the last epoch of the way."""

    kind: Literal["step"] = "step"
    steps: int = Field(4, ge=1, le=1000, description="How many jumps.")

    def _way(self, done: int) -> float:
        return min(done, self.epochs) * self.steps // self.epochs / self.steps


class Cyclic(_Span):
    """λ goes from `start` to `end` and back along a cosine, again and again, once in `epochs` epochs."""

    kind: Literal["cyclic"] = "cyclic"
    end: float = Field(1.0, ge=0, le=1000, description="λ in the middle of each cycle.")
    epochs: int = Field(10, ge=2, le=100_000, description="Length of a cycle in epochs.")

    def _way(self, done: int) -> float:
        return (1 - math.cos(2 * math.pi * (done % self.epochs) / self.epochs)) / 2


#: An epoch and λ in it; may be written as a list.
Point = Annotated[
    tuple[Annotated[int, Field(ge=1, le=100_000)], Annotated[float, Field(ge=0, le=1000)]],
    Strict(False),
]


class Piecewise(CurriculumOptions):
    """λ at some epochs, straight lines between them, and constant before the first and after the last.

    A jump is two points in neighbouring epochs.
    """

    kind: Literal["piecewise"] = "piecewise"
    points: Annotated[tuple[Point, ...], Strict(False)] = Field(
        min_length=1,
        max_length=1000,
        description="List of [epoch, λ], epochs rising, e.g. [[1, 0], [10, 1], [20, 0.5]].",
    )

    @model_validator(mode="after")
    def _rising(self) -> Self:
        epochs = [epoch for epoch, _ in self.points]
        if any(a >= b for a, b in itertools.pairwise(epochs)):
            raise PydanticCustomError("rising", "epochs of `points` must rise, but got {epochs}", {"epochs": epochs})
        return self

    def strength(self, epoch: int) -> float:
        if epoch <= self.points[0][0]:
            return self.points[0][1]
        for (before, low), (after, high) in itertools.pairwise(self.points):
            if epoch <= after:
                return low + (high - low) * (epoch - before) / (after - before)
        return self.points[-1][1]


CURRICULA = Registry("trainables.curriculum", CurriculumOptions, "kind", "ctkd_study.curricula")
