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
from collections.abc import Sequence
from typing import Literal

from scipy import stats

from ctkd_study.errors import StudyError
from ctkd_study.strategies import Cost, Protocol, Strategy

Word = Literal["better", "not_worse", "worse", "undecided"]

FEWEST_SEEDS = 3
MOST_MORE_SEEDS = 200
_CONFIDENCE, _POWER, _SPREAD_BOUND, _MOST_DROPPED = 0.95, 0.80, 0.80, 0.10


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
    """Seeds at which one of the two had nothing left to select."""
    per_seed: tuple[float | None, ...]
    """Differences, in the order of the study's seeds; None where a seed is not in the pair."""


@dataclasses.dataclass(frozen=True)
class Comparison:
    """What ``compare`` reports."""

    question: Question
    baseline: str
    summaries: tuple[Summary, ...]
    pairs: tuple[Pair, ...]
    """Against the baseline; empty in the paper's protocol, which gives no verdict."""
    interim: bool
    """Whether more seeds are planned than this look has."""
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
        pairs = tuple(pair(strategy, baseline, question.margin) for strategy in others)
    seen = max((len(each.seeds) for each in pairs), default=0)
    interim = question.seeds_planned is not None and seen < question.seeds_planned
    comparison = Comparison(question, name, summaries, pairs, interim, looks, "")
    return dataclasses.replace(comparison, sentence=_sentence(comparison))


def default_baseline(strategies: Sequence[Strategy]) -> str:
    """The first arm with several fixed temperatures, else the first arm."""
    grids = [strategy for strategy in strategies if strategy.plan.fixed and len(strategy.plan.settings) > 1]
    return (grids or list(strategies))[0].name


def mean_interval(values: Sequence[float], confidence: float = _CONFIDENCE) -> tuple[float, float, float] | None:
    """Mean and two-sided t interval; None below three values.

    Args:
        values: independent, roughly normal.
        confidence: of the interval, two-sided.
    """
    if len(values) < FEWEST_SEEDS:
        return None
    mean, half = statistics.fmean(values), 0.0
    if spread := statistics.stdev(values):
        half = float(stats.t.ppf((1 + confidence) / 2, len(values) - 1)) * spread / math.sqrt(len(values))
    return mean, mean - half, mean + half


def decide(low: float | None, high: float | None, margin: float) -> Word:
    """The verdict that an interval of strategy minus baseline gives, for a margin > 0."""
    if low is None or high is None:
        return "undecided"
    if low > 0:
        return "better"
    if low > -margin:
        return "not_worse"
    return "worse" if high < -margin else "undecided"


def more_seeds(differences: Sequence[float], margin: float) -> int | None:
    """How many more seeds would show "not worse" with 80 % power if the two strategies were equal: a plan, not a
    promise.

    The spread of the differences is taken at its upper 80 % bound (chi-square), since a few seeds may well
    underestimate it. Power is that of the one-sided t test at 2.5 % of "worse by the margin", from the noncentral t
    distribution.

    Returns:
        At least 1; None beyond 200, or where two seeds are not there yet.
    """
    count = len(differences)
    if count < 2:
        return None
    spread = statistics.stdev(differences)
    bound = spread * math.sqrt((count - 1) / float(stats.chi2.ppf(1 - _SPREAD_BOUND, count - 1)))
    for total in range(max(count + 1, FEWEST_SEEDS), count + MOST_MORE_SEEDS + 1):
        if power(total, bound, margin) >= _POWER:
            return total - count
    return None


def power(seeds: int, spread: float, margin: float) -> float:
    """The chance that this many seeds show "not worse" when the two are equal and their differences have this
    deviation."""
    if spread == 0:
        return 1.0
    critical = float(stats.t.ppf((1 + _CONFIDENCE) / 2, seeds - 1))
    return float(stats.nct.sf(critical, seeds - 1, margin * math.sqrt(seeds) / spread))


def pair(strategy: Strategy, baseline: Strategy, margin: float) -> Pair:
    """A strategy against the baseline, paired by seed."""
    per_seed: list[float | None] = []
    dropped = 0
    for ours, theirs in zip(strategy.replicates, baseline.replicates, strict=True):
        both = ours.complete and theirs.complete
        values = (ours.test_top1, theirs.test_top1) if both else (None, None)
        dropped += both and None in values
        per_seed.append(values[0] - values[1] if values[0] is not None and values[1] is not None else None)
    pairs = [(r.seed, d) for r, d in zip(strategy.replicates, per_seed, strict=True) if d is not None]
    differences = [difference for _, difference in pairs]
    found = mean_interval(differences)
    low, high = (found[1], found[2]) if found else (None, None)
    word = decide(low, high, margin)
    if dropped > _MOST_DROPPED * (dropped + len(differences)):
        # A strategy that often fails is not described by the seeds at which it did not.
        word = "undecided"
    return Pair(
        a=strategy.name,
        b=baseline.name,
        seeds=tuple(seed for seed, _ in pairs),
        difference=statistics.fmean(differences) if differences else None,
        low=low,
        high=high,
        p_value=p_value(differences) if found else None,
        verdict=word,
        more_seeds=more_seeds(differences, margin) if word == "undecided" else 0,
        dropped=dropped,
        per_seed=tuple(per_seed),
    )


def p_value(differences: Sequence[float]) -> float:
    """Two-sided paired t test of a mean difference of 0; without any spread it is 1 or 0."""
    spread = statistics.stdev(differences)
    mean = statistics.fmean(differences)
    if spread == 0:
        return 1.0 if mean == 0 else 0.0
    statistic = mean / (spread / math.sqrt(len(differences)))
    return float(2 * stats.t.sf(abs(statistic), len(differences) - 1))


def _summary(strategy: Strategy, baseline: Strategy, question: Question) -> Summary:
    cost, reference = strategy.cost, baseline.cost
    ratio = None
    if cost is not None and reference is not None and reference.device_seconds > 0 and reference.tflop > 0:
        ratio = Cost(cost.device_seconds / reference.device_seconds, cost.tflop / reference.tflop)
    price = question.price_per_device_hour
    return Summary(
        strategy=strategy,
        val_top1=_mean([replicate.val_top1 for replicate in strategy.replicates]),
        test_top1=_mean([replicate.test_top1 for replicate in strategy.replicates]),
        cost=cost,
        money=cost.device_seconds / 3600 * price if cost is not None and price is not None else None,
        cost_ratio=ratio,
    )


def _mean(per_seed: Sequence[float | None]) -> Mean:
    values = [value for value in per_seed if value is not None]
    found = mean_interval(values)
    if found is not None:
        return Mean(*found, tuple(per_seed))
    return Mean(statistics.fmean(values) if values else None, None, None, tuple(per_seed))


# -- the sentence ----------------------------------------------------------------------------------------------------


def _sentence(comparison: Comparison) -> str:
    question = comparison.question
    if question.protocol == "paper":
        return (
            f"No verdict for {question.study}: protocol 'paper' selects epochs and settings by test accuracy, so its "
            "accuracies are too high, by an amount that differs between strategies. Means and costs stand; use "
            "protocol 'validation' for a verdict."
        )
    seeds = max((len(pair.seeds) for pair in comparison.pairs), default=0)
    if not comparison.pairs or not seeds:
        return f"No verdict for {question.study} yet: no seed has all trials of two strategies."
    clauses = "; ".join(_clause(pair, comparison) for pair in comparison.pairs)
    look = ""
    if comparison.interim:
        look = f" This is an interim look, at {seeds} of {question.seeds_planned} planned seeds."
    return f"{_where(question)}, {_count(seeds, 'seed')}: {clauses}.{look}"


def _where(question: Question) -> str:
    test = f", {question.test} test examples" if question.test is not None else ""
    teacher = ""
    if question.teacher is not None:
        accuracy = question.teacher.test_top1
        known = f" ({accuracy:.1f} %)" if accuracy is not None else ""
        teacher = f", teacher {question.teacher.description}{known}"
    return f"On {question.data}{teacher}, selected on {question.validation} validation examples{test}"


def _clause(pair: Pair, comparison: Comparison) -> str:
    margin = f"{comparison.question.margin:g} points"
    words = {
        "better": f"{pair.a} is better than {pair.b}",
        "not_worse": f"{pair.a} is not worse than {pair.b} by more than {margin}",
        "worse": f"{pair.a} is worse than {pair.b} by more than {margin}",
        "undecided": f"{pair.a} against {pair.b} is undecided",
    }
    numbers = "no numbers yet"
    if pair.difference is not None:
        numbers = f"{pair.difference:+.2f}"
        if pair.low is not None and pair.high is not None:
            numbers += f", 95 % interval {pair.low:+.2f} to {pair.high:+.2f}"
    text = f"{words[pair.verdict]} ({numbers})"
    summary = next(each for each in comparison.summaries if each.strategy.name == pair.a)
    if summary.cost_ratio is not None:
        text += f" at {summary.cost_ratio.device_seconds:.2g} times its device-seconds"
    if pair.verdict == "undecided":
        text += f": {_what_would_tell(pair)}"
    return text


def _what_would_tell(pair: Pair) -> str:
    if pair.dropped:
        return f"{_count(pair.dropped, 'seed')} had nothing left to select"
    if len(pair.seeds) < 2:
        return f"an interval needs at least {FEWEST_SEEDS} seeds"
    if pair.more_seeds is None:
        return f"more than {MOST_MORE_SEEDS} further seeds would be needed to tell"
    return f"about {_count(pair.more_seeds, 'more seed')} would tell"


def _count(number: int, what: str) -> str:
    return f"{number} {what}{'' if number == 1 else 's'}"
