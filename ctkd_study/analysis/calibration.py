"""Simulated studies with a known truth, decided by the code that decides real ones: does it keep its error?"""

import dataclasses
import math
from collections.abc import Callable, Mapping, Sequence
from types import MappingProxyType
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy import stats

from ctkd_study.analysis.sequential import Rule, follow
from ctkd_study.records import TrialResult
from ctkd_study.spec import Arm, Setting, Vary
from trainables.config import TrialConfig

Array = NDArray[np.float64]
Draw = Callable[[np.random.Generator, int], Array]

#: Distributions of a difference over seeds, of mean 0 and deviation 1.
DRAWS: Mapping[str, Draw] = MappingProxyType(
    {
        "normal": lambda draw, size: draw.standard_normal(size),
        "t5": lambda draw, size: draw.standard_t(5, size) / math.sqrt(5 / 3),
        "skewed to the left": lambda draw, size: (4 - draw.chisquare(4, size)) / math.sqrt(8),
        "skewed to the right": lambda draw, size: (draw.chisquare(4, size) - 4) / math.sqrt(8),
    }
)


@dataclasses.dataclass(frozen=True)
class Tally:
    """What became of simulated studies with one true difference."""

    studies: int
    too_good: int
    """Studies in which an interval of a confirmed arm lay above the truth, at any look."""
    too_bad: int
    """The same, below."""
    decided: int
    """Studies in which all confirmed arms were decided."""
    seeds: float
    """Mean number of seeds that the baseline ran."""


def tally(rule: Rule, difference: float, deviation: float, studies: int, kind: str = "normal", seed: int = 0) -> Tally:
    """Simulate studies.

    Args:
        rule: by which seeds are added; a fixed design has one look.
        difference: the true one of each confirmed arm to the baseline, percent points.
        deviation: of the differences over seeds, percent points.
        studies: how many.
        kind: of ``DRAWS``. Arms share the baseline's part of the noise if it is normal, else they share none.
        seed: of the simulation.
    """
    draw, most = np.random.default_rng([seed, studies]), rule.looks[-1]
    arms = [_arm(name) for name in (rule.baseline, *rule.confirmed)]
    too_good = too_bad = decided = total = 0
    for _ in range(studies):
        baseline = DRAWS[kind](draw, most) / math.sqrt(2) if kind == "normal" else np.zeros(most)
        results = _results(arms[0], 50 + deviation * baseline)
        for arm in arms[1:]:
            own = DRAWS[kind](draw, most) / (math.sqrt(2) if kind == "normal" else 1)
            results += _results(arm, 50 + difference + deviation * own)
        found = follow(rule, arms, range(most), results)
        looks = [look for decision in found.by_arm.values() for look in decision.looks]
        too_good += any(look.low is not None and look.low > difference for look in looks)
        too_bad += any(look.high is not None and look.high < difference for look in looks)
        decided += all(decision.state == "decided" for decision in found.by_arm.values())
        total += found.reach[rule.baseline]
    return Tally(studies, too_good, too_bad, decided, total / studies)


def most_errors(studies: int, error: float, confidence: float = 0.999) -> int:
    """The largest number of errors among some studies that an error of this size explains."""
    return int(stats.binom.ppf((1 + confidence) / 2, studies, error))


def _arm(name: str) -> Arm:
    nothing: dict[str, Any] = {}
    setting = Setting(name, "simulated", name, False, False, TrialConfig.model_construct(**nothing), Vary())
    return Arm(name, (setting,), {})


def _results(arm: Arm, accuracies: Sequence[float] | Array) -> list[TrialResult]:
    return [
        TrialResult(
            id=arm.settings[0].trial(seed).id,
            arm=arm.name,
            setting=arm.name,
            seed=seed,
            status="finished",
            reason=None,
            val_loss=1.0,
            val_top1=50.0,
            test_loss=1.0,
            test_top1=float(value),
            device_seconds=1.0,
            tflop=1.0,
            teacher_device_seconds=0.0,
            teacher_tflop=0.0,
            eval_device_seconds=0.0,
            eval_tflop=0.0,
            selecting=1.0,
        )
        for seed, value in enumerate(accuracies)
    ]
