"""The verdict as a sentence that a person can quote."""

from collections import Counter

from ctkd_study.analysis import (
    FEWEST_SEEDS,
    MOST_MORE_SEEDS,
    TOP1,
    Comparison,
    Decision,
    PairedDifference,
    Question,
    Rule,
    StrategySummary,
)
from ctkd_study.report.conditions import conditions, family
from ctkd_study.report.formatting import count, percent, signed


def sentence(comparison: Comparison) -> str:
    """Say how each strategy compares with the baseline, and on what data, seeds and margin that rests."""
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
    clauses = ". ".join(_clause(pair, comparison) for pair in ranked(comparison))
    return f"{clauses}. {basis(comparison)}{_caution(comparison)}"


def ranked(comparison: Comparison) -> list[PairedDifference]:
    """Return the pairs in the order in which a report names them: what the study is to show comes first."""
    uses_teacher = {each.strategy.name: each.strategy.arm.uses_teacher for each in comparison.summaries}
    # Strategies without the teacher answer another question, and come last.
    return sorted(comparison.pairs, key=lambda pair: (not pair.confirmed, not uses_teacher[pair.a]))


def basis(comparison: Comparison) -> str:
    """Say on what data, teacher, seeds and margin the verdicts rest, and what their intervals are about."""
    question = comparison.question
    counts = sorted({len(pair.seeds) for pair in comparison.pairs})
    seeds = count(counts[-1], "seed") if len(counts) == 1 else f"{counts[0]} to {counts[-1]} seeds"
    if not counts[-1]:
        seeds = "no seed with a result of two strategies"
    look = f"Interim look: {seeds} of {question.final_seeds}. " if comparison.interim else ""
    chosen = ", ".join(comparison.set_after_looking)
    after = f" {chosen[0].upper()}{chosen[1:]} set after looking." if chosen else ""
    costs = (
        " Costs include the teacher's training, one seed's looks at it, and evaluation on validation."
        if question.charges_teacher
        else ""
    )
    return f"{look}{_basis(comparison, seeds)}.{after}{costs}"


def _caution(comparison: Comparison) -> str:
    """The gravest remark, so that nobody quotes the verdict without it, and the number of the others like it."""
    first, *others = [remark.text for remark in comparison.remarks if remark.grave] or [""]
    more = f" ({count(len(others), 'more warning')} like this.)" if others else ""
    return f" Caution: {first}{more}" if first else ""


def _basis(comparison: Comparison, seeds: str) -> str:
    question = comparison.question
    teacher = ""
    if question.teacher is not None:
        accuracy = question.teacher.test_top1
        known = f" ({accuracy:.1f} % on test)" if accuracy is not None else ""
        teacher = f", teacher {question.teacher.description}{known}"
    test = f"tested on {question.test} examples" if question.test is not None else "tested on its test set"
    parts = (
        f"Data {question.data}{teacher}",
        f"{seeds}, each selecting on {question.validation} validation examples, and {test}",
        f"margin {question.metric.amount(question.margin)}",
        _metric(question) if question.metric is not TOP1 else "",
        family(comparison),
        f"intervals {limits}" if (limits := conditions(comparison)) else "",
    )
    return "; ".join(part for part in parts if part)


def _metric(question: Question) -> str:
    """Say by what strategies are compared, if not by accuracy, and whether that was declared beforehand."""
    metric = question.metric
    parts = [f"compared by {metric.title} on test", metric.direction]
    parts += [] if question.metric_declared else ["exploratory, because the study declares another metric"]
    return ", ".join(part for part in parts if part)


def _clause(pair: PairedDifference, comparison: Comparison) -> str:
    found = f" ({numbers})" if (numbers := estimate(pair)) else ""
    ours = next(each for each in comparison.summaries if each.strategy.name == pair.a)
    costs = f", at {times}" if (times := relative_cost(ours)) else ""
    return "; ".join((claim(pair, comparison) + found + costs, *caveats(pair, comparison)))


def claim(pair: PairedDifference, comparison: Comparison) -> str:
    """Return the verdict in words: ``global is not worse than grid (best of 5) by more than 1.5 points``."""
    summaries = {summary.strategy.name: summary for summary in comparison.summaries}
    a, b = described(summaries[pair.a]), described(summaries[pair.b])
    by_more = pair.metric.amount(comparison.question.margin)
    text = {
        "better": f"{a} is better than {b}",
        "not_worse": f"{a} is not worse than {b} by more than {by_more}",
        "slightly_worse": f"{a} is worse than {b}, but by less than {by_more}",
        "worse": f"{a} is worse than {b} by more than {by_more}",
        "undecided": f"{a} against {b} is undecided",
    }[pair.verdict]
    return text if pair.confirmed else f"Exploratory: {text}"


def estimate(pair: PairedDifference, unit: str = "") -> str:
    """Return the difference with its interval: ``-0.28, 95 % interval -1.33 to +0.76``; empty where there is none.

    Args:
        pair: what to estimate.
        unit: to be said after the difference, with a space before it.
    """
    if pair.difference is None:
        return ""
    interval, digits = pair.interval, pair.metric.digits
    text, repeated = f"{signed(pair.difference, digits)}{unit}", "repeated " if pair.decision is not None else ""
    if interval is None:
        return text
    low, high = signed(interval.low, digits), signed(interval.high, digits)
    return f"{text}, {repeated}{percent(interval.confidence)} interval {low} to {high}"


def relative_cost(ours: StrategySummary) -> str:
    """Return a strategy's cost as multiples of the baseline's; arithmetic, which no load changes, comes first."""
    ratio = ours.cost_ratio
    if ratio is None or ratio.tflop is None or ratio.device_seconds is None:
        return ""
    tflop, seconds, spread = _times(ratio.tflop.ratio), _times(ratio.device_seconds.ratio), ""
    if ratio.device_seconds.low is not None and ratio.device_seconds.high is not None:
        low, high = _times(ratio.device_seconds.low), _times(ratio.device_seconds.high)
        spread = f" ({low} to {high})" if low != high else ""
    if seconds == tflop and not spread:
        return f"{tflop} times the TFLOP and device-seconds"
    return f"{tflop} times the TFLOP and {seconds} times the device-seconds{spread}"


def caveats(pair: PairedDifference, comparison: Comparison) -> list[str]:
    """Say what seeds are missing, and how far the question is from an answer; empty where neither is of interest."""
    found = [dropped] if (dropped := _dropped(pair)) else []
    if pair.decision is not None and comparison.rule is not None:
        return [*found, _how_it_stands(pair.decision, comparison.rule)]
    return [*found, _what_would_tell(pair, comparison.question.margin)] if pair.verdict == "undecided" else found


def _how_it_stands(decision: Decision, rule: Rule) -> str:
    """Which look decided, or why there will be none, or when the next one is."""
    taken, most = len(decision.looks), rule.looks[-1]
    return {
        "open": f"the {'next' if taken else 'first'} look is at {rule.looks[min(taken, len(rule.looks) - 1)]} seeds",
        "decided": f"decided at look {taken} of at most {len(rule.looks)}",
        "futile": f"given up at look {taken} of {len(rule.looks)}: a decision by {most} seeds had a chance below 10 %",
        "all seeds": f"not decided at any of the {count(taken, 'look')}, the last at {most} seeds",
        "budget": f"the budget ended it after {count(taken, 'look')} of at most {len(rule.looks)}",
    }[decision.state]


def _times(ratio: float) -> str:
    return f"{ratio:,.0f}" if ratio >= 99.5 else f"{ratio:.2g}"


def described(summary: StrategySummary) -> str:
    """The arm's name and what sets it apart: ``grid (best of 5)``."""
    arm = summary.strategy.arm
    searched = f" by {arm.searched['search']['by']}" if arm.searched is not None else ""
    parts = []
    if arm.size > 1 or searched:
        failing = _always_failing(summary)
        parts = [
            f"best of the {arm.size - failing} of {arm.size} that worked"
            if failing
            else f"best of {arm.size}{searched}"
        ]
    parts += ["another student"] * arm.overrides_student + ["other epochs"] * arm.overrides_epochs
    return f"{arm.name} ({', '.join(parts)})" if parts else arm.name


def _always_failing(summary: StrategySummary) -> int:
    """How many of an arm's settings failed at every seed; of a search, which never repeats one, this is not known."""
    strategy = summary.strategy
    if strategy.arm.searched is not None:
        return 0
    failures = Counter(result.setting for result in strategy.failed)
    return sum(failed == len(strategy.replicates) for failed in failures.values())


def _dropped(pair: PairedDifference) -> str:
    """Say which part of the seeds is missing, and what difference that could make; empty where none is."""
    if not pair.dropped or pair.too_many_dropped:
        return ""
    text = f"{pair.dropped} of {count(pair.dropped + len(pair.seeds), 'seed')} had nothing left to select"
    if pair.if_dropped_were_worst is None or pair.worst is None:
        return text
    same = "still " if pair.if_dropped_were_worst == pair.verdict else ""
    verdict = pair.if_dropped_were_worst.replace("_", " ")
    return f"{text} (as bad as the worst seed, {pair.worst[1]:+.2f}, it would {same}be {verdict})"


def _what_would_tell(pair: PairedDifference, margin: float) -> str:
    if pair.too_many_dropped:
        return f"{pair.dropped} of {count(pair.dropped + len(pair.seeds), 'seed')} had nothing left to select"
    if len(pair.seeds) < FEWEST_SEEDS:
        return f"an interval needs at least {FEWEST_SEEDS} seeds"
    if pair.more_seeds is not None:
        return (
            f"about {count(pair.more_seeds, 'more seed')} would tell, if they are like these (in 8 of 10 such studies)"
        )
    if pair.more_groups is not None:
        return f"about {count(pair.more_groups, 'more group')} of seeds would tell, in a study of its own"
    near = pair.difference is not None and abs(pair.difference + margin) < margin / 2
    why = "the difference is about as large as your margin" if near else "seeds differ too much for your margin"
    return f"{why}: {MOST_MORE_SEEDS} more would not tell"
