"""Strategies -> means with intervals, paired differences, and a verdict that may be "undecided".

The verdict is read off one interval: the two-sided 95 % paired t interval, over seeds, of strategy minus baseline.
So the error of calling something not worse (or worse, or better) by mistake is 2.5 %, one-sided, at one look; every
further look after adding seeds raises it. The interval assumes that differences between seeds are roughly normal;
seeds vary student, batch order and views, while split, teacher and test set stay the same, so it says nothing about
another split or teacher.
"""

import dataclasses
import math
import statistics
from collections.abc import Mapping, Sequence

from ctkd_study.analysis import inference
from ctkd_study.analysis.inference import FEWEST_SEEDS, MOST_MORE_SEEDS, Word
from ctkd_study.analysis.strategies import Cost, Protocol, Strategy
from ctkd_study.errors import StudyError
from ctkd_study.spec import Published

_MOST_DROPPED = 0.10


@dataclasses.dataclass(frozen=True)
class TeacherFacts:
    """The teacher, as a table names it."""

    description: str
    test_top1: float | None = None
    cost: Cost | None = None
    """Of its training and its bank."""
    may_have_seen_validation: bool = False


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
    """What the study does otherwise than those who published, in words."""

    @property
    def final_seeds(self) -> int:
        """How many seeds the final look has: those planned, else all of the study."""
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
class Summary:
    """One strategy's line."""

    strategy: Strategy
    val_top1: Mean
    test_top1: Mean
    cost: Cost | None
    money: float | None
    cost_ratio: Cost | None
    """To the baseline, each kind of cost for itself; 1 for the baseline."""


@dataclasses.dataclass(frozen=True)
class Pair:
    """A strategy against the baseline, over the seeds that both have."""

    a: str
    b: str
    """The baseline."""
    seeds: tuple[int, ...]
    difference: float | None
    """Mean of a - b over seeds, percent points."""
    low: float | None
    high: float | None
    p_value: float | None
    """Two-sided paired t test of no difference."""
    verdict: Word
    more_seeds: int | None
    """How many more would decide with 80 % power if the two were equal; 0 where it is decided; None beyond 200."""
    dropped: int
    """Seeds at which one of the two had nothing left to select; above a tenth, the pair is undecided."""
    per_seed: tuple[float | None, ...]
    """Differences, in the order of the study's seeds; None where a seed is not in the pair."""

    @property
    def too_many_dropped(self) -> bool:
        """Whether so many seeds were dropped that the others no longer describe the pair."""
        return _too_many_dropped(self.dropped, len(self.seeds))


@dataclasses.dataclass(frozen=True)
class Comparison:
    """What ``compare`` reports."""

    question: Question
    baseline: str
    summaries: tuple[Summary, ...]
    pairs: tuple[Pair, ...]
    """Against the baseline; empty in the paper's protocol, which gives no verdict."""
    interim: bool
    """Whether a pair has fewer seeds than the final look will."""
    looks: int
    """How many different numbers of seeds somebody has looked at, this one included."""
    sentence: str


def compare(question: Question, strategies: Sequence[Strategy], looks: int = 1) -> Comparison:
    """Compares the strategies with the baseline.

    Args:
        question: what the comparison is about.
        strategies: one per arm, in the order of the study.
        looks: how many different numbers of seeds somebody has looked at, this one included.

    Raises:
        StudyError: the baseline is not an arm.
    """
    by_name = {strategy.name: strategy for strategy in strategies}
    name = question.baseline or default_baseline(strategies)
    if name not in by_name:
        raise StudyError(f"the baseline must be one of the arms, {', '.join(by_name)}, but got {name!r}")
    baseline = by_name[name]
    summaries = tuple(_summary(strategy, baseline, question) for strategy in strategies)
    pairs: tuple[Pair, ...] = ()
    if question.protocol == "validation":
        others = [strategy for strategy in strategies if strategy is not baseline]
        pairs = tuple(pair(strategy, baseline, question.margin, question.test) for strategy in others)
    interim = any(len(each.seeds) + each.dropped < question.final_seeds for each in pairs)
    comparison = Comparison(question, name, summaries, pairs, interim, looks, "")
    return dataclasses.replace(comparison, sentence=_sentence(comparison))


def default_baseline(strategies: Sequence[Strategy]) -> str:
    """The first arm with several fixed temperatures, else the first arm."""
    grids = [strategy for strategy in strategies if strategy.plan.fixed and len(strategy.plan.settings) > 1]
    return (grids or list(strategies))[0].name


def pair(strategy: Strategy, baseline: Strategy, margin: float, test: int | None = None) -> Pair:
    """A strategy against the baseline, paired by seed.

    Args:
        strategy: a.
        baseline: b.
        margin: percent points, above 0.
        test: how many test examples there are; where all differences are equal, the interval is as wide as the rounding
            of two accuracies to whole examples.
    """
    per_seed: list[float | None] = []
    dropped = 0
    for ours, theirs in zip(strategy.replicates, baseline.replicates, strict=True):
        both = ours.complete and theirs.complete
        values = (ours.test_top1, theirs.test_top1) if both else (None, None)
        dropped += both and None in values
        per_seed.append(values[0] - values[1] if values[0] is not None and values[1] is not None else None)
    pairs = [(r.seed, d) for r, d in zip(strategy.replicates, per_seed, strict=True) if d is not None]
    differences, floor = [difference for _, difference in pairs], math.sqrt(2) * inference.rounding(test)
    _, low, high = inference.mean_interval(differences, floor) or (None, None, None)
    word, more = inference.decide(low, high, margin), None
    if _too_many_dropped(dropped, len(differences)):
        # A strategy that often fails is not described by the seeds at which it did not, however many there are.
        word = "undecided"
    elif word == "undecided":
        more = inference.more_seeds(differences, margin, floor)
    else:
        more = 0
    return Pair(
        a=strategy.name,
        b=baseline.name,
        seeds=tuple(seed for seed, _ in pairs),
        difference=statistics.fmean(differences) if differences else None,
        low=low,
        high=high,
        p_value=inference.p_value(differences, floor),
        verdict=word,
        more_seeds=more,
        dropped=dropped,
        per_seed=tuple(per_seed),
    )


def _too_many_dropped(dropped: int, kept: int) -> bool:
    return dropped > _MOST_DROPPED * (dropped + kept)


def _summary(strategy: Strategy, baseline: Strategy, question: Question) -> Summary:
    cost, reference = strategy.cost, baseline.cost
    ratio = None
    if cost is not None and reference is not None and reference.device_seconds > 0 and reference.tflop > 0:
        ratio = Cost(cost.device_seconds / reference.device_seconds, cost.tflop / reference.tflop)
    price = question.price_per_device_hour
    return Summary(
        strategy=strategy,
        val_top1=_mean([replicate.val_top1 for replicate in strategy.replicates], question.validation),
        test_top1=_mean([replicate.test_top1 for replicate in strategy.replicates], question.test),
        cost=cost,
        money=cost.device_seconds / 3600 * price if cost is not None and price is not None else None,
        cost_ratio=ratio,
    )


def _mean(per_seed: Sequence[float | None], examples: int | None) -> Mean:
    values = [value for value in per_seed if value is not None]
    found = inference.mean_interval(values, inference.rounding(examples))
    if found is not None:
        return Mean(*found, tuple(per_seed))
    return Mean(statistics.fmean(values) if values else None, None, None, tuple(per_seed))


# -- the sentence ----------------------------------------------------------------------------------------------------


def _sentence(comparison: Comparison) -> str:
    question = comparison.question
    if question.protocol == "paper":
        any_mean = any(summary.test_top1.mean is not None for summary in comparison.summaries)
        return (
            f"No verdict for {question.study}: protocol 'paper' selects epochs and settings by test accuracy, so its "
            "accuracies are too high, by an amount that differs between strategies. "
            f"{'Means and costs stand; use' if any_mean else 'Use'} protocol 'validation' for a verdict."
        )
    if not any(pair.seeds or pair.dropped for pair in comparison.pairs):
        return f"No verdict for {question.study} yet: no seed has all trials of two strategies."
    # Strategies without the teacher answer another question, and come last.
    summaries = {summary.strategy.name: summary for summary in comparison.summaries}
    pairs = sorted(comparison.pairs, key=lambda pair: not summaries[pair.a].strategy.plan.uses_teacher)
    clauses = ". ".join(_clause(pair, summaries, question.margin) for pair in pairs)
    counts = sorted({len(pair.seeds) for pair in pairs})
    seeds = _count(counts[-1], "seed") if len(counts) == 1 else f"{counts[0]} to {counts[-1]} seeds"
    if not counts[-1]:
        seeds = "no seed with a result of two strategies"
    look = f" Interim look: {seeds} of {question.final_seeds}." if comparison.interim else ""
    costs = " Costs include the teacher's training and work, and evaluation." if question.charges_teacher else ""
    return f"{clauses}.{look} {_where(question, seeds)}.{costs}"


def _where(question: Question, seeds: str) -> str:
    teacher = ""
    if question.teacher is not None:
        accuracy = question.teacher.test_top1
        known = f" ({accuracy:.1f} % on test)" if accuracy is not None else ""
        teacher = f", teacher {question.teacher.description}{known}"
    test = f"tested on {question.test} examples" if question.test is not None else "tested on its test set"
    return (
        f"Data {question.data}{teacher}; {seeds}, each selecting on {question.validation} validation examples, and "
        f"{test}; margin {question.margin:g} points"
    )


def _clause(pair: Pair, summaries: Mapping[str, Summary], margin: float) -> str:
    ours, theirs = summaries[pair.a], summaries[pair.b]
    a, b = _named(ours.strategy), _named(theirs.strategy)
    text = {
        "better": f"{a} is better than {b}",
        "not_worse": f"{a} is not worse than {b} by more than {margin:g} points",
        "worse": f"{a} is worse than {b} by more than {margin:g} points",
        "undecided": f"{a} against {b} is undecided",
    }[pair.verdict]
    if pair.difference is not None:
        text += f" ({pair.difference:+.2f}"
        text += f", 95 % interval {pair.low:+.2f} to {pair.high:+.2f})" if pair.low is not None else ")"
    if ours.cost_ratio is not None:
        seconds, tflop = _times(ours.cost_ratio.device_seconds), _times(ours.cost_ratio.tflop)
        both = f"{seconds} times the device-seconds and {tflop} times the TFLOP"
        text += f", at {both if seconds != tflop else f'{seconds} times the device-seconds and TFLOP'}"
    return f"{text}; {_what_would_tell(pair)}" if pair.verdict == "undecided" else text


def _times(ratio: float) -> str:
    return f"{ratio:,.0f}" if ratio >= 99.5 else f"{ratio:.2g}"


def _named(strategy: Strategy) -> str:
    """The arm's name, and what sets it apart: ``grid (best of 5)``."""
    plan = strategy.plan
    parts = [
        part
        for part, on in (
            (f"best of {len(plan.settings)}", len(plan.settings) > 1),
            ("another student", plan.overrides_student),
            ("other epochs", plan.overrides_epochs),
        )
        if on
    ]
    return f"{plan.name} ({', '.join(parts)})" if parts else plan.name


def _what_would_tell(pair: Pair) -> str:
    if pair.too_many_dropped:
        return f"{pair.dropped} of {_count(pair.dropped + len(pair.seeds), 'seed')} had nothing left to select"
    if len(pair.seeds) < FEWEST_SEEDS:
        return f"an interval needs at least {FEWEST_SEEDS} seeds"
    if pair.more_seeds is None:
        return f"more than {MOST_MORE_SEEDS} further seeds would be needed to tell"
    return f"about {_count(pair.more_seeds, 'more seed')} would tell"


def _count(number: int, what: str) -> str:
    return f"{number} {what}{'' if number == 1 else 's'}"
