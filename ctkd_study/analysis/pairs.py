"""A strategy minus the baseline, paired by seed: difference, intervals, verdict, and what would decide it."""

import dataclasses
import math
import statistics
from collections.abc import Callable, Iterable, Mapping, Sequence

import numpy as np
from numpy.typing import NDArray

from ctkd_study.analysis import inference
from ctkd_study.analysis.intervals import about, beyond_replicates, intervals, replicates
from ctkd_study.analysis.metrics import TOP1, Metric
from ctkd_study.analysis.sequential import Decision, Decisions
from ctkd_study.analysis.strategies import Strategy
from ctkd_study.spec import Vary

#: Tells by a trial's id which test examples it had right, shape (examples,); None where that is not known.
Correct = Callable[[str], NDArray[np.bool_] | None]

ONE_GROUP = Vary()

_MOST_DROPPED = 0.10


def nothing_known(trial_id: str) -> None:
    """Know of no trial which test examples it had right."""


@dataclasses.dataclass(frozen=True)
class PairedDifference:
    """A strategy minus the baseline, over the seeds that both have."""

    a: str
    b: str
    """The baseline."""
    seeds: tuple[int, ...]
    difference: float | None
    """Mean over seeds of a - b, or of b - a where lower is better; where teacher or split vary, over groups' means."""
    intervals: tuple[inference.Interval, ...]
    """Of the mean difference; none below three seeds. The verdict is read off the widest, ``interval``."""
    p_not_worse: float | None
    """One-sided test of "worse by the margin or more"; None where the interval gives none."""
    verdict: inference.Verdict
    more_seeds: int | None
    """How many more would decide with a chance of 80 %; 0 where it is decided; None beyond 200, and where teacher or
    split vary: more seeds then make no more groups."""
    dropped: int
    """Seeds at which one of the two had nothing left to select."""
    too_many_dropped: bool
    """More than a tenth: the other seeds no longer describe the pair, which is undecided."""
    per_seed: tuple[float | None, ...]
    """Differences, in the order of the study's seeds; None where a seed is not in the pair."""
    if_dropped_were_worst: inference.Verdict | None = None
    """The verdict if every dropped seed had the worst difference seen; None where none was dropped."""
    more_groups: int | None = None
    """The same of groups, where teacher or split vary; a study with more groups is another study."""
    confirmed: bool = True
    """Whether the pair shares the error of the verdict with the others; else it is exploratory."""
    metric: Metric = TOP1
    """By what the two are compared: the unit of all differences, which are above 0 where a is better."""
    anytime: tuple[float, float] | None = None
    """An interval that holds however often somebody looks; None where there are too few seeds for one."""
    decision: Decision | None = None
    """The looks, in a study that adds seeds until this pair is decided: interval and verdict are those of the last."""

    @property
    def worst(self) -> tuple[int, float] | None:
        """The seed with the smallest difference, and that difference; None where there is none."""
        found = zip(self.seeds, (value for value in self.per_seed if value is not None), strict=False)
        return min(found, key=lambda each: each[1], default=None)

    @property
    def interval(self) -> inference.Interval | None:
        """What the verdict is read off."""
        return inference.widest(self.intervals)

    @property
    def low(self) -> float | None:
        """Lower end of ``interval``."""
        return None if self.interval is None else self.interval.low

    @property
    def high(self) -> float | None:
        """Upper end of ``interval``."""
        return None if self.interval is None else self.interval.high


def paired_difference(
    strategy: Strategy,
    baseline: Strategy,
    margin: float,
    test: int | None = None,
    error: float = inference.ERROR,
    confirmed: bool = True,
    metric: Metric = TOP1,
    vary: Vary = ONE_GROUP,
    correct: Correct = nothing_known,
) -> PairedDifference:
    """A strategy minus the baseline, paired by seed.

    Args:
        strategy: a; its replicates give the order of the seeds.
        baseline: b; it has the same seeds.
        margin: in the unit of the metric, above 0.
        test: how many test examples there are; where all differences are equal, the interval is as wide as the rounding
            of two accuracies to whole examples.
        error: one-sided, of each interval.
        confirmed: whether the pair is one of those that share the error of the verdict.
        metric: by what the two are compared.
        vary: in which groups of seeds teacher and split are others.
        correct: tells which test examples a trial had right.
    """
    per_seed: dict[int, float | None] = {}
    theirs_by_seed = {replicate.seed: replicate for replicate in baseline.replicates}
    without: list[int] = []
    for ours in strategy.replicates:
        theirs = theirs_by_seed[ours.seed]
        per_seed[ours.seed] = None
        if (difference := metric.difference(ours, theirs)) is not None:
            per_seed[ours.seed] = difference
        elif ours.complete and theirs.complete:
            without.append(ours.seed)
    dropped = len(without)
    paired = {seed: difference for seed, difference in per_seed.items() if difference is not None}
    differences, floor = replicates(paired, vary), math.sqrt(2) * metric.rounding(test)
    mean = statistics.fmean(differences) if differences else None
    right = _right(strategy, baseline, paired, correct) if metric == TOP1 else {}
    found = intervals(paired, right, vary, error, floor)
    interval = inference.widest(found)
    verdict: inference.Verdict = (
        "undecided" if interval is None else inference.decide(interval.low, interval.high, margin)
    )
    more: int | None = 0
    too_many = dropped > _MOST_DROPPED * (dropped + len(paired))
    if too_many:
        # The seeds at which it did not fail do not describe a strategy that often fails, however many there are.
        verdict, more = "undecided", None
    elif verdict == "undecided":
        more = inference.more_seeds(differences, margin, floor, error, beyond_replicates(found))
    by_seed = vary.groups == 1
    return PairedDifference(
        a=strategy.name,
        b=baseline.name,
        seeds=tuple(paired),
        difference=mean,
        intervals=found,
        p_not_worse=None if interval is None or mean is None else inference.p_not_worse(mean, interval, margin),
        verdict=verdict,
        more_seeds=more if by_seed or more == 0 else None,
        more_groups=None if by_seed else more,
        dropped=dropped,
        too_many_dropped=too_many,
        per_seed=tuple(per_seed.values()),
        if_dropped_were_worst=_if_worst(paired, without, vary, error, floor, margin),
        confirmed=confirmed,
        metric=metric,
        anytime=inference.anytime_interval(differences, floor) if by_seed else None,
    )


def _if_worst(
    paired: Mapping[int, float], missing: Sequence[int], vary: Vary, error: float, floor: float, margin: float
) -> inference.Verdict | None:
    if not missing or not paired:
        return None
    filled = {**paired, **dict.fromkeys(missing, min(paired.values()))}
    interval = inference.widest(intervals(filled, {}, vary, error, floor))
    return "undecided" if interval is None else inference.decide(interval.low, interval.high, margin)


def _right(
    strategy: Strategy, baseline: Strategy, seeds: Iterable[int], correct: Correct
) -> dict[int, NDArray[np.int8]]:
    """Return the differences at each test example, by seed, of the seeds at which both are known."""
    trials = [{each.seed: each.trial for each in side.replicates} for side in (strategy, baseline)]
    found = {}
    for seed in seeds:
        ours, theirs = (correct(trial) if (trial := side[seed]) is not None else None for side in trials)
        if ours is None or theirs is None or len(ours) != len(theirs):
            return {}
        found[seed] = ours.astype(np.int8) - theirs.astype(np.int8)
    return found


def as_looked_at(
    pair: PairedDifference, decisions: Decisions, margin: float, seeds: Sequence[int], vary: Vary = ONE_GROUP
) -> PairedDifference:
    """Return the pair as the last look saw it; without a look, there is no interval yet.

    Args:
        pair: over all seeds that have ended.
        decisions: the looks that were taken.
        margin: percent points; the rule's, or another one that somebody asks for.
        seeds: of the study, in their order.
        vary: in which groups of seeds teacher and split are others; then every seed is a group.
    """
    decision = decisions.by_arm.get(pair.a)
    if decision is None:
        return pair
    more = 0 if decision.state == "decided" else None
    found = dataclasses.replace(
        pair,
        decision=decision,
        intervals=(),
        verdict="undecided",
        p_not_worse=None,
        more_seeds=more,
        more_groups=None,
        if_dropped_were_worst=None,
    )
    if not decision.looks:
        return found
    look = decision.looks[-1]
    verdict = look.verdict
    if margin != decisions.rule.margin and not pair.too_many_dropped:
        verdict = inference.decide(look.low, look.high, margin)
    return dataclasses.replace(
        found,
        seeds=tuple(seed for seed in seeds[: look.seeds] if seed in pair.seeds),
        difference=look.difference,
        intervals=(
            ()
            if look.low is None or look.high is None
            else (inference.Interval(about(vary), look.low, look.high, decisions.rule.error),)
        ),
        verdict=verdict,
    )
