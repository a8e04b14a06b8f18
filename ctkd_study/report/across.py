"""Several studies side by side: the table, the sentence, the notes and the JSON object (docs/results.md)."""

import dataclasses
from typing import Any

from ctkd_study.analysis import RESAMPLES, Across, Averaged, Metric, PairedDifference, StrategyAcross
from ctkd_study.report import columns
from ctkd_study.report.formatting import difference, optional, signed

AVERAGE = "mean"
"""Stands where the table names a study."""
LIMITS = (
    "Studies count equally, and only seeds vary: the intervals say what other seeds would give in these studies, not "
    "what other data sets or networks would."
)

METHOD = (
    f"Intervals of the means: stratified bootstrap, {RESAMPLES:,} resamples of the seeds within each study (Agarwal et "
    "al., NeurIPS 2021), widened to Student's t. They are not adjusted for several strategies. A mean has no verdict: "
    "margins belong to studies."
)
FIGURE = "Thin bars: the interval of each study's verdict. Thick bars: the 95 % interval of the mean over studies."


def heading(found: Across) -> str:
    """Return the studies' names, as a title."""
    return " | ".join(comparison.question.study for comparison in found.comparisons)


def sentence(found: Across) -> str:
    """Say how each strategy compares with the baseline on average, and what that does and does not know."""
    if not found.strategies:
        return f"No strategy can be averaged over {_named(found)}."
    clauses = ". ".join(_clause(each, found.baseline, found.metric) for each in found.strategies)
    return f"Mean over {_named(found)}: {clauses}. {LIMITS}"


def table(found: Across, layout: columns.Layout) -> columns.Table:
    """Return a row per strategy and study, and one for each strategy's average.

    The narrow layout leaves to the sentence what only an average has.
    """
    rows: list[tuple[str, ...]] = []
    metric, digits = found.metric, found.metric.digits
    for strategy in found.strategies:
        for place, (of, pair) in enumerate(zip(found.comparisons, strategy.pairs, strict=True)):
            points = difference(pair.difference, pair.low, pair.high, digits)
            name = "" if place else strategy.name
            rows.append((name, of.question.study, points, pair.verdict.replace("_", " "), "", ""))
        mean = strategy.difference
        points = difference(mean.mean, mean.low, mean.high, digits)
        rows.append(("", AVERAGE, points, "", _share(strategy.improvement), _ratio(strategy)))
    titles = ("strategy", "study", f"minus {found.baseline}", "verdict", "P(better)", "TFLOP ratio")
    caption = (
        f"{metric.title.capitalize()} minus that of {found.baseline}, {metric.unit}: in each study with the interval "
        "of its verdict, and their mean with its 95 % interval; P(better) is the probability of beating it at a new "
        f"seed{'; ' * bool(metric.direction)}{metric.direction}"
    )
    shown = 4 if layout == "narrow" else len(titles)
    is_text = (True, True, False, False, False, False)
    return columns.Table(caption, titles[:shown], is_text[:shown], tuple(row[:shown] for row in rows))


def notes(found: Across) -> list[str]:
    """Return the caveats: what is left out, and what is not the same in all studies."""
    said = [f"{name} is left out: {why}." for name, why in found.left_out]
    for name in (found.baseline, *(strategy.name for strategy in found.strategies)):
        arms = [each.strategy.arm for of in found.comparisons for each in of.summaries if each.strategy.name == name]
        if any(arm.block != arms[0].block for arm in arms):
            said.append(f"{name} is not the same in all studies: the keys of its arm differ.")
    margins = {of.question.study: of.question.margin for of in found.comparisons}
    if len(set(margins.values())) > 1:
        said.append(f"The margins differ: {', '.join(f'{margin:g} in {study}' for study, margin in margins.items())}.")
    said += [f"{of.question.study}, warning: {remark.text}" for of in found.comparisons for remark in of.remarks]
    unfinished = (of.question.study for of in found.comparisons if of.interim)
    said += [f"{name} is not finished: this is an interim look at it." for name in unfinished]
    return [*said, "The notes of a study by itself: compare it alone."]


def as_json(found: Across) -> dict[str, Any]:
    """Return plain values; every number is finite or None, differences in the unit of the metric."""
    return {
        "studies": [
            {
                "study": of.question.study,
                "data": of.question.data,
                "teacher": of.question.teacher.description if of.question.teacher is not None else None,
                "margin": of.question.margin,
                "seeds": list(of.question.seeds),
                "interim": of.interim,
                "looks": of.looks,
            }
            for of in found.comparisons
        ],
        "baseline": found.baseline,
        "metric": found.metric.name,
        "strategies": [
            {
                "name": strategy.name,
                "difference": dataclasses.asdict(strategy.difference),
                "probability_of_improvement": dataclasses.asdict(strategy.improvement),
                "tflop_ratio": strategy.tflop_ratio,
                "studies": [
                    {"study": of.question.study, **_of_pair(pair)}
                    for of, pair in zip(found.comparisons, strategy.pairs, strict=True)
                ],
            }
            for strategy in found.strategies
        ],
        "left_out": [{"name": name, "why": why} for name, why in found.left_out],
        "resamples": RESAMPLES,
        "notes": notes(found),
        "summary": sentence(found),
    }


def _of_pair(pair: PairedDifference) -> dict[str, Any]:
    plain = {name: getattr(pair, name) for name in ("difference", "low", "high", "verdict")}
    return {**plain, "seeds": list(pair.seeds), "per_seed": list(pair.per_seed)}


def _named(found: Across) -> str:
    names = [comparison.question.study for comparison in found.comparisons]
    return f"{len(names)} studies ({', '.join(names)})"


def _clause(strategy: StrategyAcross, baseline: str, metric: Metric) -> str:
    mean, share = strategy.difference, strategy.improvement
    value, low, high = (signed(number, metric.digits) for number in (mean.mean, mean.low, mean.high))
    text = (
        f"{strategy.name} minus {baseline} is {value} {metric.unit} (95 % interval {low} to "
        f"{high}); {strategy.name} is the better one at a new seed with probability {_share(share)}"
    )
    if strategy.tflop_ratio is not None:
        text += f", at {_ratio(strategy)} times the TFLOP"
    return text


def _share(share: Averaged) -> str:
    return f"{share.mean:.2f} ({share.low:.2f} to {share.high:.2f})"


def _ratio(strategy: StrategyAcross) -> str:
    return optional(strategy.tflop_ratio, "{:.2f}".format)
