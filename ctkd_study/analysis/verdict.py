"""Strategies -> means with intervals, paired differences, and a verdict that may be "undecided".

The verdict is read off one interval, over seeds, of strategy minus baseline (``pairs``). The confirmed arms share a
one-sided error of 2.5 % (Bonferroni): each has a t interval of 2.5 % divided by their number. Every further look after
adding seeds raises it. The interval assumes that differences between seeds are roughly normal.
"""

import dataclasses
import functools
import statistics
from collections.abc import Mapping, Sequence
from typing import Literal

from ctkd_study.analysis import inference
from ctkd_study.analysis.bill import Bill
from ctkd_study.analysis.cost_ratios import CostRatio, cost_ratio
from ctkd_study.analysis.families import confirmed_arms, default_baseline
from ctkd_study.analysis.intervals import replicates
from ctkd_study.analysis.metrics import METRICS, TOP1, Metric
from ctkd_study.analysis.pairs import (
    ONE_GROUP,
    Correct,
    PairedDifference,
    as_looked_at,
    nothing_known,
    paired_difference,
)
from ctkd_study.analysis.sequential import Decisions, Rule
from ctkd_study.analysis.strategies import Cost, Protocol, Strategy
from ctkd_study.errors import StudyError
from ctkd_study.spec import Published, Vary

#: What a remark is about; ``analysis/remarks.py`` has the rules.
RemarkKind = Literal[
    "teacher_guesses",
    "teacher_not_better",
    "teacher_no_help",
    "student_guesses",
    "few_validation",
    "grid_end",
    "temperature_bound",
]


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
    worst_top1: float | None = None
    """The lowest test accuracy of a teacher."""


@dataclasses.dataclass(frozen=True)
class Question:
    """What a comparison is about."""

    study: str
    text: str
    protocol: Protocol
    margin: float
    """In the unit of the metric."""
    seeds: tuple[int, ...]
    data: str
    validation: int
    test: int | None
    """How many test examples there are, where that is known."""
    teacher: TeacherFacts | None = None
    vary: Vary = ONE_GROUP
    """In which groups of seeds teacher and split are others."""
    seeds_planned: int | None = None
    baseline: str | None = None
    confirm: Sequence[str] | None = None
    """The arms that the study is to show something about; default: see ``confirmed_arms``."""
    price_per_device_hour: float | None = None
    currency: str = "USD"
    charges_teacher: bool = False
    published: Published | None = None
    published_differs: tuple[str, ...] = ()
    """How the study differs from the published experiments, in words."""
    chance: float | None = None
    """Percent of the test examples that are of the most frequent class, where that is known."""
    metric: Metric = TOP1
    """By what strategies are compared."""
    metric_declared: bool = True
    """Whether the study declares this metric; by another one, all that is found is exploratory."""

    @property
    def final_seeds(self) -> int:
        """The number of seeds at the final look: the planned one, else that of the study."""
        return self.seeds_planned or len(self.seeds)


@dataclasses.dataclass(frozen=True)
class Mean:
    """A mean over seeds with its two-sided 95 % t interval; no interval below three seeds."""

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
    test_top5: Mean
    test_nll: Mean
    test_ece: Mean
    cost: Cost | None
    money: float | None
    cost_ratio: CostRatio | None
    """Cost divided by the baseline's at the same seeds; None where no seed is complete in both."""


@dataclasses.dataclass(frozen=True)
class Remark:
    """Something to know before the verdict is read."""

    kind: RemarkKind
    about: str
    """The arm, or ``teacher``."""
    text: str
    """A sentence."""
    grave: bool = False
    """Whether the verdict means nothing until it is explained; the verdict's sentence then says so."""


@dataclasses.dataclass(frozen=True)
class Comparison:
    """All strategies side by side."""

    question: Question
    baseline: str
    summaries: tuple[StrategySummary, ...]
    pairs: tuple[PairedDifference, ...]
    """Each other strategy minus the baseline; empty in the paper's protocol, which gives no verdict."""
    confirmed: tuple[str, ...]
    """The arms that share the error of the verdict."""
    interim: bool
    """Whether a pair has fewer seeds than the final look will, or is to get more."""
    looks: int = 0
    """How many different numbers of seeds somebody has looked at, this one included."""
    remarks: tuple[Remark, ...] = ()
    """What to know before the verdict is read; ``Study.compare`` fills it."""
    set_after_looking: tuple[str, ...] = ()
    """Which of margin, baseline and confirm differ from those of the first look."""
    sentence: str = ""
    """The verdict in words; ``Study.compare`` fills it."""
    bill: Bill | None = None
    """What the whole study took; ``Study.compare`` fills it."""
    rule: Rule | None = None
    """How seeds are added until the confirmed arms are decided; None in another study."""


def compare(
    question: Question,
    strategies: Sequence[Strategy],
    decisions: Decisions | None = None,
    correct: Correct = nothing_known,
) -> Comparison:
    """Compare the strategies, one per arm in the order of the study, with the baseline.

    Args:
        question: what the comparison is about.
        strategies: with what each seed would have picked and paid.
        decisions: the looks that were taken, in a study that adds seeds until it is decided.
        correct: tells which test examples a trial had right.

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
    confirmed = confirmed_arms([strategy.arm for strategy in strategies], name, question.confirm)
    confirmed = confirmed if question.metric_declared else ()
    known = functools.cache(correct)  # those of the baseline are read for every pair
    shared = inference.ERROR / max(len(confirmed), 1)
    pairs = tuple(
        paired_difference(
            strategy,
            baseline,
            question.margin,
            question.test,
            error=shared if strategy.name in confirmed else inference.ERROR,
            confirmed=strategy.name in confirmed,
            metric=question.metric,
            vary=question.vary,
            correct=known,
        )
        for strategy in others
    )
    if decisions is None:
        interim = any(len(pair.seeds) + pair.dropped < question.final_seeds for pair in pairs)
        return Comparison(question, name, summaries, pairs, confirmed, interim)
    if name != decisions.rule.baseline:
        raise StudyError(f"the looks of this study are at differences to {decisions.rule.baseline}, not to {name}")
    pairs = tuple(as_looked_at(pair, decisions, question.margin, question.seeds, question.vary) for pair in pairs)
    interim = any(decision.state == "open" for decision in decisions.by_arm.values())
    return Comparison(question, name, summaries, pairs, confirmed, interim, rule=decisions.rule)


def _summary(strategy: Strategy, baseline: Strategy, question: Question) -> StrategySummary:
    cost, price = strategy.cost, question.price_per_device_hour
    on_test = {
        metric.key: mean_over_seeds(
            {each.seed: getattr(each, metric.key) for each in strategy.replicates},
            metric.rounding(question.test),
            question.vary,
        )
        for metric in METRICS.values()
    }
    return StrategySummary(
        strategy=strategy,
        val_top1=mean_over_seeds(
            {each.seed: each.val_top1 for each in strategy.replicates},
            inference.rounding(question.validation),
            question.vary,
        ),
        **on_test,
        cost=cost,
        money=cost.device_seconds / 3600 * price if cost is not None and price is not None else None,
        cost_ratio=cost_ratio(strategy, baseline, question.vary),
    )


def mean_over_seeds(per_seed: Mapping[int, float | None], floor: float, vary: Vary = ONE_GROUP) -> Mean:
    """Return the mean of a value per seed, with its interval.

    Args:
        per_seed: by seed, in the order of the study's seeds; None where there is no value.
        floor: the deviation to assume where all values are equal.
        vary: in which groups of seeds teacher and split are others.
    """
    values = replicates({seed: value for seed, value in per_seed.items() if value is not None}, vary)
    mean = statistics.fmean(values) if values else None
    _, low, high = inference.mean_interval(values, floor) or (mean, None, None)
    return Mean(mean, low, high, tuple(per_seed.values()))
