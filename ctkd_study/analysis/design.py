"""What a study would need before it runs: seeds, and the chance of each verdict, by the true difference.

Simulated, with the same looks, bounds and futility as a study. Differences are normal, independent between seeds, and
of one spread; arms are compared with the same baseline, so their differences correlate by a half. Groups of seeds with
a teacher or split of their own are taken to differ by no more than their seeds explain.
"""

import dataclasses
import functools
import math
from collections import Counter
from collections.abc import Mapping
from typing import get_args

import numpy as np
from numpy.typing import NDArray

from ctkd_study.analysis import inference
from ctkd_study.analysis.sequential import FUTILE, Rule, chance_of_decision

Array = NDArray[np.float64]

PUBLISHED_SPREADS = (0.05, 0.15, 0.33)
"""Percent points: what seeds differ by in published tables, from small to large."""
TRUTHS = (-2.0, -1.5, -1.0, -0.5, 0.0, 0.5, 1.0)
"""True differences, in margins."""
VERDICTS: tuple[inference.Verdict, ...] = get_args(inference.Verdict)
_STUDIES, _MOST_VALUES, _SEED = 5_000, 4_000_000, 20_240_501


@dataclasses.dataclass(frozen=True)
class Outlook:
    """What becomes of studies with one true difference."""

    seeds: float
    """Expected, of a confirmed arm."""
    baseline_seeds: float
    """Expected, of the baseline, which goes on while any arm needs it."""
    chances: Mapping[inference.Verdict, float]
    """Of a confirmed arm."""


def outlook(rule: Rule, deviation: float, difference: float) -> Outlook:
    """Return what becomes of studies.

    Args:
        rule: how they are looked at; a fixed design has one look.
        deviation: of the paired differences over seeds, percent points.
        difference: the true one of every confirmed arm to the baseline, percent points.
    """
    groups = rule.vary.groups
    means, deviations = _draws(rule.looks, max(len(rule.confirmed), 1), groups)
    seeds, verdicts = np.full(means.shape[1:], rule.looks[-1]), np.full(means.shape[1:], "undecided", dtype=object)
    open_ = np.ones(means.shape[1:], dtype=bool)
    for place, (look, critical) in enumerate(zip(rule.looks, rule.critical, strict=True)):
        mean, spread = difference + deviation * means[place][open_], deviation * deviations[place][open_]
        half = critical * spread / math.sqrt(groups if groups > 1 else look)
        ends = zip(mean - half, mean + half, strict=True)
        found = np.array([inference.decide(low, high, rule.margin) for low, high in ends], dtype=object)
        ended = found != "undecided"
        if place < len(rule.looks) - 1 and groups == 1:
            ended |= chance_of_decision(mean, spread, look, rule.looks[-1], rule.critical[-1], rule.margin) < FUTILE
        verdicts[open_] = found
        seeds[open_] = np.where(ended, look, rule.looks[-1])
        open_[open_] = ~ended
    counted = Counter(verdicts.ravel().tolist())
    return Outlook(
        seeds=float(seeds.mean()),
        baseline_seeds=float(seeds.max(axis=1).mean()),
        chances={verdict: counted[verdict] / verdicts.size for verdict in VERDICTS},
    )


@functools.lru_cache(maxsize=4)
def _draws(looks: tuple[int, ...], arms: int, groups: int) -> tuple[Array, Array]:
    """Means and deviations of standard normal differences, or of their means in groups: looks x studies x arms."""
    draw, most = np.random.default_rng(_SEED), looks[-1]
    studies = max(min(_STUDIES, _MOST_VALUES // (most * arms)), 1)
    baseline = draw.standard_normal((most, studies, 1))
    values = (draw.standard_normal((most, studies, arms)) - baseline) / math.sqrt(2)
    seen = [values[:look] for look in looks]
    if groups > 1:  # the looks are at whole rounds of groups
        seen = [each.reshape(-1, groups, studies, arms).mean(axis=0) for each in seen]
    return np.stack([each.mean(axis=0) for each in seen]), np.stack([each.std(axis=0, ddof=1) for each in seen])


@dataclasses.dataclass(frozen=True)
class Spread:
    """A standard deviation of the differences over seeds, to plan with."""

    points: float
    source: str
    """Where it is from, for people."""


@dataclasses.dataclass(frozen=True)
class Prospect:
    """What a design would need, and find, for one true difference and spread."""

    rule: Rule
    """``fixed`` or ``until`` of the design."""
    spread: float
    """As the next one, percent points."""
    difference: float
    outlook: Outlook
    device_seconds: float | None
    """Expected, of all trials; None where an arm's cost is not known."""


@dataclasses.dataclass(frozen=True)
class StudyDesign:
    """A study's two designs side by side: a fixed number of seeds, and seeds until it is decided."""

    fixed: Rule
    until: Rule
    spreads: tuple[Spread, ...]
    prospects: tuple[Prospect, ...]
    """Spread by spread, difference by difference."""


def design(fixed: Rule, until: Rule, spreads: tuple[Spread, ...], costs: Mapping[str, float | None]) -> StudyDesign:
    """Return what a study would need under each of two rules.

    Args:
        fixed: with one look.
        until: with several.
        spreads: to plan with.
        costs: device-seconds of one seed by arm, of all arms; None where it is not known.
    """
    found = []
    for spread in spreads:
        for difference in (until.margin * truth for truth in TRUTHS):
            for rule in (fixed, until):
                expected = outlook(rule, spread.points, difference)
                seconds = _device_seconds(rule, expected, costs)
                found.append(Prospect(rule, spread.points, difference, expected, seconds))
    return StudyDesign(fixed, until, spreads, tuple(found))


def _device_seconds(rule: Rule, expected: Outlook, costs: Mapping[str, float | None]) -> float | None:
    total = 0.0
    for arm, cost in costs.items():
        if cost is None:
            return None
        is_confirmed = arm in rule.confirmed
        seeds = expected.seeds if is_confirmed else expected.baseline_seeds if arm == rule.baseline else rule.looks[0]
        total += cost * seeds
    return total
