"""A strategy minus the baseline, paired by seed: difference, intervals, verdict, and what would decide it."""

import dataclasses
import math
import statistics
from collections.abc import Sequence

from ctkd_study.analysis import inference
from ctkd_study.analysis.metrics import TOP1, Metric
from ctkd_study.analysis.sequential import Decision, Decisions
from ctkd_study.analysis.strategies import Strategy

_MOST_DROPPED = 0.10


@dataclasses.dataclass(frozen=True)
class PairedDifference:
    """A strategy minus the baseline, over the seeds that both have."""

    a: str
    b: str
    """The baseline."""
    seeds: tuple[int, ...]
    difference: float | None
    """Mean over seeds of a - b, or of b - a where lower is better."""
    intervals: tuple[inference.Interval, ...]
    """Of the mean difference; none below three seeds. The verdict is read off the widest, ``interval``."""
    p_not_worse: float | None
    """One-sided test of "worse by the margin or more"; None where the interval gives none."""
    verdict: inference.Verdict
    more_seeds: int | None
    """How many more would decide with a chance of 80 %; 0 where it is decided; None beyond 200."""
    dropped: int
    """Seeds at which one of the two had nothing left to select."""
    too_many_dropped: bool
    """More than a tenth: the other seeds no longer describe the pair, which is undecided."""
    per_seed: tuple[float | None, ...]
    """Differences, in the order of the study's seeds; None where a seed is not in the pair."""
    if_dropped_were_worst: inference.Verdict | None = None
    """The verdict if every dropped seed had the worst difference seen; None where none was dropped."""
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
    """
    per_seed: dict[int, float | None] = {}
    theirs_by_seed = {replicate.seed: replicate for replicate in baseline.replicates}
    dropped = 0
    for ours in strategy.replicates:
        theirs = theirs_by_seed[ours.seed]
        per_seed[ours.seed] = None
        if (difference := metric.difference(ours, theirs)) is not None:
            per_seed[ours.seed] = difference
        elif ours.complete and theirs.complete:
            dropped += 1
    paired = {seed: difference for seed, difference in per_seed.items() if difference is not None}
    differences, floor = list(paired.values()), math.sqrt(2) * metric.rounding(test)
    mean = statistics.fmean(differences) if differences else None
    intervals = inference.intervals(differences, error, floor)
    interval = inference.widest(intervals)
    verdict: inference.Verdict = (
        "undecided" if interval is None else inference.decide(interval.low, interval.high, margin)
    )
    more: int | None = 0
    too_many = dropped > _MOST_DROPPED * (dropped + len(paired))
    if too_many:
        # The seeds at which it did not fail do not describe a strategy that often fails, however many there are.
        verdict, more = "undecided", None
    elif verdict == "undecided":
        more = inference.more_seeds(differences, margin, floor, error)
    return PairedDifference(
        a=strategy.name,
        b=baseline.name,
        seeds=tuple(paired),
        difference=mean,
        intervals=intervals,
        p_not_worse=None if interval is None or mean is None else inference.p_not_worse(mean, interval, margin),
        verdict=verdict,
        more_seeds=more,
        dropped=dropped,
        too_many_dropped=too_many,
        per_seed=tuple(per_seed.values()),
        if_dropped_were_worst=_if_worst(differences, dropped, error, floor, margin),
        confirmed=confirmed,
        metric=metric,
        anytime=inference.anytime_interval(differences, floor),
    )


def _if_worst(
    differences: Sequence[float], dropped: int, error: float, floor: float, margin: float
) -> inference.Verdict | None:
    if not dropped or not differences:
        return None
    interval = inference.widest(inference.intervals([*differences, *[min(differences)] * dropped], error, floor))
    return "undecided" if interval is None else inference.decide(interval.low, interval.high, margin)


def as_looked_at(pair: PairedDifference, decisions: Decisions, margin: float, seeds: Sequence[int]) -> PairedDifference:
    """Return the pair as the last look saw it; without a look, there is no interval yet.

    Args:
        pair: over all seeds that have ended.
        decisions: the looks that were taken.
        margin: percent points; the rule's, or another one that somebody asks for.
        seeds: of the study, in their order.
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
            else (inference.Interval("on this test set", look.low, look.high, decisions.rule.error),)
        ),
        verdict=verdict,
    )
