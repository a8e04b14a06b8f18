"""What every form of a report says in the same words: numbers with their intervals, marks, and notes."""

import math
from collections import Counter
from collections.abc import Iterator, Sequence

from ctkd_study.analysis import FEWEST_SEEDS, Comparison, Mean, Pair, Strategy, Summary, TeacherFacts
from ctkd_study.records import History

_NAMED_FAILURES = 10
_AT_BOUND = 0.01
"""Part of its span within which a temperature counts as sitting at a bound."""


def name(summary: Summary, teacher: TeacherFacts | None) -> str:
    """The arm's name, with the marks that ``notes`` explains."""
    plan = summary.strategy.plan
    leaky = plan.uses_teacher and teacher is not None and teacher.may_have_seen_validation
    return plan.name + "*" * plan.overrides_student + "†" * plan.overrides_epochs + "‡" * leaky


def plus_minus(mean: Mean) -> str:
    """A mean with half its interval: ``96.43 ± 0.52``."""
    if mean.mean is None:
        return "-"
    return f"{mean.mean:.2f}" + ("" if mean.high is None else f" ± {mean.high - mean.mean:.2f}")


def difference(pair: Pair) -> str:
    """A difference with its interval: ``-0.73 (-1.33 to -0.13)``."""
    if pair.difference is None:
        return "-"
    if pair.low is None or pair.high is None:
        return f"{pair.difference:+.2f}"
    return f"{pair.difference:+.2f} ({pair.low:+.2f} to {pair.high:+.2f})"


def word(pair: Pair) -> str:
    """The verdict as people read it."""
    return pair.verdict.replace("_", " ")


def kept(strategy: Strategy) -> str:
    """Which settings were selected, the most frequent first: ``T=4 x5, T=8 x3``; nothing where there is no choice."""
    if len(strategy.plan.settings) == 1:
        return ""
    counts = Counter(replicate.selected for replicate in strategy.replicates if replicate.selected is not None)
    return ", ".join(f"{label} x{count}" for label, count in counts.most_common()) or "-"


def costs(summary: Summary, priced: bool) -> list[str]:
    """Device-seconds and their ratio to the baseline, TFLOP and its ratio, and money where there is a price."""
    cost, ratio = summary.cost, summary.cost_ratio
    cells = ["-"] * 4
    if cost is not None:
        cells[0], cells[2] = number(cost.device_seconds), number(cost.tflop)
    if ratio is not None:
        cells[1], cells[3] = f"{ratio.device_seconds:.2f}", f"{ratio.tflop:.2f}"
    if priced:
        cells.append("-" if summary.money is None else number(summary.money))
    return cells


def number(value: float) -> str:
    """Three digits that count, without an exponent: ``0.0123``, ``12.3``, ``1,230,000``."""
    if value == 0 or not math.isfinite(value):
        return f"{value:g}"
    digits = 2 - math.floor(math.log10(abs(value)))
    rounded = round(value, digits)
    return f"{rounded:,.{max(digits, 0)}f}"


def notes(comparison: Comparison, histories: Sequence[History] = ()) -> list[str]:
    """What must not be overlooked when the numbers are read.

    Args:
        comparison: what was found.
        histories: of trials with a learned temperature, where they are at hand.
    """
    found: list[str] = []
    for summary in comparison.summaries:
        found += _strategy(summary.strategy)
    found += [_pair(pair) for pair in comparison.pairs if _equal(pair.per_seed)]
    found += at_bounds(histories)
    return [*found, *_study(comparison)]


def _strategy(strategy: Strategy) -> Iterator[str]:
    if strategy.missing:
        seeds = ", ".join(str(replicate.seed) for replicate in strategy.replicates if not replicate.complete)
        yield (
            f"{strategy.name}: {strategy.missing} of {strategy.trials} trials have not ended; incomplete seeds "
            f"({seeds}) are left out."
        )
    if strategy.failed:
        named = "; ".join(f"{result.id} ({result.reason})" for result in strategy.failed[:_NAMED_FAILURES])
        more = len(strategy.failed) - _NAMED_FAILURES
        yield (
            f"{strategy.name}: {_trials(len(strategy.failed))} failed, and the cost counts: {named}"
            + (f"; and {more} more." if more > 0 else ".")
        )
    if strategy.dropped:
        seeds = ", ".join(map(str, strategy.dropped))
        yield f"{strategy.name}: nothing was left to select at seeds {seeds}; they are left out."
    if strategy.wasted_device_seconds:
        wasted = number(strategy.wasted_device_seconds)
        yield f"{strategy.name}: {wasted} device-seconds were lost to faults (wasted); they are not in the cost."
    for text, count in strategy.remarks.items():
        yield f"{strategy.name}, {_trials(count)}: {text}."
    if strategy.plan.overrides_student:
        yield f"* {strategy.name} trains another student than the study's."
    if strategy.plan.overrides_epochs:
        yield f"† {strategy.name} trains for another number of epochs than the study's."


def _pair(pair: Pair) -> str:
    return (
        f"{pair.a}: its differences to {pair.b} are the same at every seed, which seeds can't show to be exact; the "
        "interval is as wide as one test example's rounding makes it."
    )


def _equal(per_seed: Sequence[float | None]) -> bool:
    values = [round(value, 9) for value in per_seed if value is not None]
    return len(values) >= FEWEST_SEEDS and len(set(values)) == 1


def at_bounds(histories: Sequence[History]) -> list[str]:
    """Which arms end with a learned temperature within 1 % of the end of its range."""
    ended: dict[tuple[str, str], int] = {}
    trials = Counter(history.arm for history in histories)
    for history in histories:
        last = history.rows[-1].get("temperature") if history.rows else None
        if history.bounds is None or last is None:
            continue
        low, high = history.bounds
        near = _AT_BOUND * (high - low)
        bound = f"lower bound {low:g}" if last - low < near else f"upper bound {high:g}" if high - last < near else ""
        if bound:
            ended[history.arm, bound] = ended.get((history.arm, bound), 0) + 1
    return [
        f"{arm}: T sits at its {bound} at the end of {count} of {_trials(trials[arm])}."
        for (arm, bound), count in ended.items()
    ]


def _study(comparison: Comparison) -> Iterator[str]:
    question, teacher = comparison.question, comparison.question.teacher
    if teacher is not None and teacher.may_have_seen_validation:
        yield "‡ The teacher comes from a file: it may have seen the validation split."
    if teacher is not None and teacher.cost is not None and not question.charges_teacher:
        yield (
            f"The teacher's own {number(teacher.cost.device_seconds)} device-seconds, its work in the trials, and "
            "evaluation are not in the cost (--charge-teacher each adds them to every strategy)."
        )
    if comparison.looks > 1:
        yield (
            f"This is look {comparison.looks} at a growing number of seeds; each raises the error of 2.5 % "
            "(two looks, at 5 and 10 seeds, make it 4.4 %)."
        )


def _trials(count: int) -> str:
    return f"{count} trial{'' if count == 1 else 's'}"
