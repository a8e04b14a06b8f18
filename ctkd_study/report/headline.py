"""The answer in one line per strategy: the verdict in words, the difference, and what the strategy costs and saves."""

import dataclasses

from ctkd_study.analysis import Comparison, Question, StrategySummary, Use, Verdict
from ctkd_study.report.bill import uses_of
from ctkd_study.report.formatting import count, number, plus_minus
from ctkd_study.report.sentence import caveats, claim, described, estimate, ranked, relative_cost


@dataclasses.dataclass(frozen=True)
class Line:
    """What is to be read first about a strategy."""

    claim: str
    """The verdict in words."""
    details: str
    """Numbers, costs and caveats, as sentences; may be empty."""
    verdict: Verdict | None = None
    """None for the baseline."""


def headline(comparison: Comparison) -> list[Line]:
    """Return a line per strategy, what the study is to show first, the baseline last; none without a verdict."""
    pairs = ranked(comparison)
    if not any(pair.seeds or pair.dropped for pair in pairs):
        return []
    summaries = {summary.strategy.name: summary for summary in comparison.summaries}
    uses, lines = {use.name: use for use in uses_of(comparison)}, []
    for pair in pairs:
        found = (
            estimate(pair, f" {pair.metric.unit}"),
            _costs(summaries[pair.a], uses.get(pair.a), comparison.question),
            "; ".join(caveats(pair, comparison)),
        )
        lines.append(Line(claim(pair, comparison), _sentences(found), pair.verdict))
    return [*lines, _baseline(summaries[comparison.baseline])]


def _costs(ours: StrategySummary, use: Use | None, question: Question) -> str:
    """Say what a use of the strategy costs, and what it saves where it may take the baseline's place."""
    if not (times := relative_cost(ours)):
        return ""
    saved = use.saves if use is not None else None
    if use is None or saved is None:
        return f"costs {times}"
    price, money = question.price_per_device_hour, ""
    if price is not None:
        money = f" ({question.currency} {number(abs(saved) / 3600 * price)})"
    amount = f"{number(abs(saved))} device-seconds{money}"
    if use.pays_after is None:
        return f"costs {times}, which is {amount} more a use"
    return f"costs {times}, and saves {amount} a use: the study pays after {count(use.pays_after, 'use')}"


def _baseline(summary: StrategySummary) -> Line:
    accuracy = f"{plus_minus(summary.test_top1)} % on test" if summary.test_top1.mean is not None else ""
    costs = ""
    if summary.cost is not None:
        costs = f"{number(summary.cost.device_seconds)} device-seconds and {number(summary.cost.tflop)} TFLOP a use"
    return Line(f"{described(summary)} is the baseline", _sentences((", ".join(filter(None, (accuracy, costs))),)))


def _sentences(texts: tuple[str, ...]) -> str:
    return " ".join(f"{text[0].upper()}{text[1:]}." for text in texts if text)
