"""Schedules of λ, the strength of the curriculum (CTKD, section 3.3).

λ is ≥ 0 here, everywhere. It is applied with a minus sign in one place, ``temperatures/reversal.py``. The authors' script
stores -λ instead. λ is constant within an epoch; epochs are counted from 1.
"""

import math
from abc import abstractmethod
from typing import Literal

from pydantic import Field

from trainables.options import Options
from trainables.registry import Registry


class CurriculumOptions(Options):
    """A schedule of λ: a pure function of the epoch."""

    @abstractmethod
    def strength(self, epoch: int) -> float:
        """λ in this epoch, counted from 1."""


class Constant(CurriculumOptions):
    """λ never changes."""

    kind: Literal["constant"] = "constant"
    value: float = Field(1.0, ge=0, le=1000, description="λ in every epoch.")

    def strength(self, epoch: int) -> float:
        return self.value


class _Ramp(CurriculumOptions):
    start: float = Field(0.0, ge=0, le=1000, description="λ before the first epoch (λ_min in the paper).")
    end: float = Field(1.0, ge=0, le=1000, description="λ at the end of the ramp, and from then on (λ_max).")
    epochs: int = Field(10, ge=1, le=100_000, description="Length of the ramp in epochs (E_loops); λ reaches `end` in this epoch.")

    def _share(self, epoch: int) -> float:
        return min(epoch, self.epochs) / self.epochs


class Linear(_Ramp):
    """λ goes from `start` to `end` in equal steps; unlike the authors' script, it arrives."""

    kind: Literal["linear"] = "linear"

    def strength(self, epoch: int) -> float:
        return self.start + (self.end - self.start) * self._share(epoch)


class Cosine(_Ramp):
    """λ goes from `start` to `end` along half a cosine: the paper's schedule (equation 8)."""

    kind: Literal["cosine"] = "cosine"

    def strength(self, epoch: int) -> float:
        return self.start + (self.end - self.start) / 2 * (1 + math.cos(math.pi * (1 + self._share(epoch))))


CURRICULA = Registry("trainables.curriculum", CurriculumOptions, "kind", "ctkd_study.curricula")
