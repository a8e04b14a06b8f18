"""Strategies -> means with intervals, paired differences, and a verdict that may be "undecided".

The verdict is read off one interval: the two-sided 95 % paired t interval, over seeds, of strategy minus baseline.
The one-sided error of each verdict (better, not worse, worse) is 2.5 % at one look; every further look after adding
seeds raises it. The interval assumes that differences between seeds are roughly normal. Seeds vary student, batch order
and views; split, teacher and test set stay the same, so the interval says nothing about another split or teacher.
"""

import dataclasses
import math
import statistics
from collections.abc import Sequence

from ctkd_study.analysis import inference
from ctkd_study.analysis.sequential import Decision, Decisions, Rule
from ctkd_study.analysis.strategies import Cost, Protocol, Strategy
from ctkd_study.errors import StudyError
from ctkd_study.spec import Arm, Published

_MOST_DROPPED = 0.10


@dataclasses.dataclass(frozen=True)
class TeacherFacts:
    """What a report says about the teacher."""

    description: str
    test_top1: float | None = None
    """Where there are several teachers, their mean."""
    cost: Cost | None = None
    """Of its training and its bank; of all teachers together where there are several."""
    may_have_seen_validation: bool = False
    number: int = 1
    """How many teachers there are: one for each group of seeds where the teacher or the split varies."""

    @property
    def cost_of_one(self) -> Cost:
        """Of one teacher's training and bank, on average."""
        return self.cost / self.number if self.cost is not None else Cost()


@dataclasses.dataclass(frozen=True)
class Question:
    """What a comparison is about."""

    study: str
    text: str
    protocol: Protocol
    margin: float
    """Percent points."""
    seeds: tuple[int, ...]
    data: str
    validation: int
    test: int | None
    """How many test examples there are, where that is known."""
    teacher: TeacherFacts | None = None
    seeds_planned: int | None = None
    baseline: str | None = None
    price_per_device_hour: float | None = None
    currency: str = "USD"
    charges_teacher: bool = False
    published: Published | None = None
    published_differs: tuple[str, ...] = ()
    """How the study differs from the published experiments, in words."""

    @property
    def final_seeds(self) -> int:
        """The number of seeds at the final look: the planned one, else that of the study."""
        return self.seeds_planned or len(self.seeds)


@dataclasses.dataclass(frozen=True)
class Mean:
    """A mean over seeds with its two-sided 95 % t interval; no interval below three seeds. Percent."""

    mean: float | None
    low: float | None
    high: float | None
    per_seed: tuple[float | None, ...]
    """In the order of the study's seeds; None where there is no value."""


@dataclasses.dataclass(frozen=True)
class StrategySummary:
    """What a strategy reached and cost."""

    strategy: Strategy
    val_top1: Mean
    test_top1: Mean
    cost: Cost | None
    money: float | None
    cost_ratio: Cost | None
    """Cost divided by the baseline's, for each kind of cost."""


@dataclasses.dataclass(frozen=True)
class PairedDifference:
    """A strategy minus the baseline, over the seeds that both have."""

    a: str
    b: str
    """The baseline."""
    seeds: tuple[int, ...]
    difference: float | None
    """Mean of a - b over seeds, percent points."""
    low: float | None
    high: float | None
    """Two-sided 95 % t interval; None below three seeds."""
    p_value: float | None
    """Two-sided paired t test of no difference."""
    verdict: inference.Verdict
    more_seeds: int | None
    """How many more would decide with 80 % power if the two were equal; 0 where it is decided; None beyond 200."""
    dropped: int
    """Seeds at which one of the two had nothing left to select."""
    too_many_dropped: bool
    """More than a tenth: the other seeds no longer describe the pair, which is undecided."""
    per_seed: tuple[float | None, ...]
    """Differences, in the order of the study's seeds; None where a seed is not in the pair."""
    anytime: tuple[float, float] | None = None
    """An interval that holds however often somebody looks; None where there are too few seeds for one."""
    decision: Decision | None = None
    """The looks, in a study that adds seeds until this pair is decided: interval and verdict are those of the last."""


@dataclasses.dataclass(frozen=True)
class Comparison:
    """All strategies side by side."""

    question: Question
    baseline: str
    summaries: tuple[StrategySummary, ...]
    pairs: tuple[PairedDifference, ...]
    """Each other strategy minus the baseline; empty in the paper's protocol, which gives no verdict."""
    interim: bool
    """Whether a pair has fewer seeds than the final look will, or is to get more."""
    looks: int = 0
    """How many different numbers of seeds somebody has looked at, this one included."""
    sentence: str = ""
    """The verdict in words; ``Study.compare`` fills it."""
    rule: Rule | None = None
    """How seeds are added until the confirmed arms are decided; None in another study."""


def compare(question: Question, strategies: Sequence[Strategy], decisions: Decisions | None = None) -> Comparison:
    """Compare the strategies, one per arm in the order of the study, with the baseline.

    Args:
        question: what the comparison is about.
        strategies: with what each seed would have picked and paid.
        decisions: the looks that were taken, in a study that adds seeds until it is decided.

    Raises:
        StudyError: the baseline is not an arm.
    """
    by_name = {strategy.name: strategy for strategy in strategies}
    name = question.baseline or default_baseline([strategy.arm for strategy in strategies])
    if name not in by_name:
        raise StudyError(f"the baseline must be one of the arms, {', '.join(by_name)}, but got {name!r}")
    baseline = by_name[name]
    summaries = tuple(_summary(strategy, baseline, question) for strategy in strategies)
    others = [each for each in strategies if each is not baseline] if question.protocol == "validation" else []
    pairs = tuple(paired_difference(strategy, baseline, question.margin, question.test) for strategy in others)
    if decisions is None:
        interim = any(len(pair.seeds) + pair.dropped < question.final_seeds for pair in pairs)
        return Comparison(question, name, summaries, pairs, interim)
    if name != decisions.rule.baseline:
        raise StudyError(f"the looks of this study are at differences to {decisions.rule.baseline}, not to {name}")
    pairs = tuple(_as_looked_at(pair, decisions, question) for pair in pairs)
    interim = any(decision.state == "open" for decision in decisions.by_arm.values())
    return Comparison(question, name, summaries, pairs, interim, rule=decisions.rule)


def _as_looked_at(pair: PairedDifference, decisions: Decisions, question: Question) -> PairedDifference:
    """The pair as the last look saw it; without a look, there is no interval yet."""
    decision = decisions.by_arm.get(pair.a)
    if decision is None:
        return pair
    more = 0 if decision.state == "decided" else None
    found = dataclasses.replace(
        pair, decision=decision, low=None, high=None, verdict="undecided", p_value=None, more_seeds=more
    )
    if not decision.looks:
        return found
    look = decision.looks[-1]
    verdict = look.verdict
    if question.margin != decisions.rule.margin and not pair.too_many_dropped:
        verdict = inference.decide(look.low, look.high, question.margin)
    return dataclasses.replace(
        found,
        seeds=tuple(seed for seed in question.seeds[: look.seeds] if seed in pair.seeds),
        difference=look.difference,
        low=look.low,
        high=look.high,
        verdict=verdict,
    )


def default_baseline(arms: Sequence[Arm]) -> str:
    """The first arm with several fixed temperatures, else the first arm."""
    grids = [arm for arm in arms if arm.fixed and arm.size > 1]
    return (grids or list(arms))[0].name


def paired_difference(
    strategy: Strategy, baseline: Strategy, margin: float, test: int | None = None
) -> PairedDifference:
    """A strategy minus the baseline, paired by seed.

    Args:
        strategy: a; its replicates give the order of the seeds.
        baseline: b; it has the same seeds.
        margin: percent points, above 0.
        test: how many test examples there are; where all differences are equal, the interval is as wide as the rounding
            of two accuracies to whole examples.
    """
    per_seed: dict[int, float | None] = {}
    theirs_by_seed = {replicate.seed: replicate for replicate in baseline.replicates}
    dropped = 0
    for ours in strategy.replicates:
        theirs = theirs_by_seed[ours.seed]
        per_seed[ours.seed] = None
        if ours.test_top1 is not None and theirs.test_top1 is not None:
            per_seed[ours.seed] = ours.test_top1 - theirs.test_top1
        elif ours.complete and theirs.complete:
            dropped += 1
    paired = {seed: difference for seed, difference in per_seed.items() if difference is not None}
    differences, floor = list(paired.values()), math.sqrt(2) * inference.rounding(test)
    _, low, high = inference.mean_interval(differences, floor) or (None, None, None)
    verdict: inference.Verdict = inference.decide(low, high, margin)
    more: int | None = 0
    too_many = dropped > _MOST_DROPPED * (dropped + len(paired))
    if too_many:
        # The seeds at which it did not fail do not describe a strategy that often fails, however many there are.
        verdict, more = "undecided", None
    elif verdict == "undecided":
        more = inference.more_seeds(differences, margin, floor)
    return PairedDifference(
        a=strategy.name,
        b=baseline.name,
        seeds=tuple(paired),
        difference=statistics.fmean(differences) if differences else None,
        low=low,
        high=high,
        p_value=inference.p_value(differences, floor),
        verdict=verdict,
        more_seeds=more,
        dropped=dropped,
        too_many_dropped=too_many,
        per_seed=tuple(per_seed.values()),
        anytime=inference.anytime_interval(differences, floor),
    )


def _summary(strategy: Strategy, baseline: Strategy, question: Question) -> StrategySummary:
    cost, reference = strategy.cost, baseline.cost
    ratio = None
    if cost is not None and reference is not None and reference.device_seconds > 0 and reference.tflop > 0:
        ratio = Cost(cost.device_seconds / reference.device_seconds, cost.tflop / reference.tflop)
    price = question.price_per_device_hour
    return StrategySummary(
        strategy=strategy,
        val_top1=mean_over_seeds([replicate.val_top1 for replicate in strategy.replicates], question.validation),
        test_top1=mean_over_seeds([replicate.test_top1 for replicate in strategy.replicates], question.test),
        cost=cost,
        money=cost.device_seconds / 3600 * price if cost is not None and price is not None else None,
        cost_ratio=ratio,
    )


def mean_over_seeds(per_seed: Sequence[float | None], examples: int | None) -> Mean:
    """Return the mean of a value per seed, with its interval.

    Args:
        per_seed: percent, in the order of the study's seeds; None where there is no value.
        examples: the size of the data set; see ``inference.rounding``.
    """
    values = [value for value in per_seed if value is not None]
    mean = statistics.fmean(values) if values else None
    _, low, high = inference.mean_interval(values, inference.rounding(examples)) or (mean, None, None)
    return Mean(mean, low, high, tuple(per_seed))
