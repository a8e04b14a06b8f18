"""The columns of a report's tables, each declared once.

Terminal, page, Markdown and JSON read ``COLUMNS``; to add a column, add an entry there.
"""

import dataclasses
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Literal

from ctkd_study.analysis import METRICS, TOP1, Comparison, Mean, Metric, PairedDifference, Ratio, StrategySummary
from ctkd_study.report.formatting import (
    NOTHING,
    difference,
    number,
    optional,
    p_value,
    plus_minus,
    ratio,
    signed,
    verdict_words,
)
from ctkd_study.report.notes import marked_name
from ctkd_study.spec import MetricName

Part = Literal["accuracy", "cost", "worst"]
"""The tables of a report; the terminal has no room for the last one."""
Layout = Literal["narrow", "wide"]
"""Narrow: a terminal of 80 columns. Wide: a page, or Markdown."""


_MOST_NAMED = 4


@dataclasses.dataclass(frozen=True)
class Row(StrategySummary):
    """A strategy in its comparison: what a column is a function of."""

    comparison: Comparison
    difference: PairedDifference | None
    """To the baseline; None for the baseline itself, and in the paper's protocol."""


@dataclasses.dataclass(frozen=True)
class Column:
    """One quantity of a strategy."""

    titles: Mapping[Part, str]
    """By the table that shows the column; ``{baseline}`` and ``{currency}`` stand for the comparison's, ``{selected}``
    and ``{selected_on}`` for what validation accuracy is where it selects: a maximum."""
    key: str
    """Dotted key in JSON's object of a strategy; empty where JSON has no such value."""
    value: Callable[[Row], Any]
    """What JSON holds, as plain types or a ``Mean``; None where there is none."""
    form: Callable[[Any], str] = str
    """The value as the tables' text."""
    short: Callable[[Any], str] | None = None
    """``form`` in the narrow layout, where it differs."""
    nothing: str = NOTHING
    """The text for None."""
    narrow: Mapping[Part, str] | None = None
    """``titles`` in the narrow layout, where they differ."""
    is_text: bool = False
    """Text is aligned left and may wrap; numbers are aligned right and do not."""
    shown: Callable[[Comparison], bool] = lambda comparison: True
    """Whether tables have the column; JSON always does."""

    def title(self, part: Part, layout: Layout) -> str | None:
        """Return the title in a table; None if the table does not show the column."""
        return (self.titles if layout == "wide" or self.narrow is None else self.narrow).get(part)

    def cell(self, row: Row, layout: Layout) -> str:
        """Return the text in a table."""
        value = self.value(row)
        form = self.short if self.short is not None and layout == "narrow" else self.form
        return self.nothing if value is None else form(value)


@dataclasses.dataclass(frozen=True)
class Table:
    """The texts of a table, not yet escaped."""

    caption: str
    titles: tuple[str, ...]
    is_text: tuple[bool, ...]
    """Which columns hold text; the first one always does."""
    rows: tuple[tuple[str, ...], ...]


def table(comparison: Comparison, part: Part, layout: Layout) -> Table:
    """Return one of the tables in a layout, a row per strategy."""
    question, baseline = comparison.question, comparison.baseline
    charged = ", with the teacher and validation" if question.charges_teacher else ""
    caption = {
        "accuracy": "Top-1 accuracy in percent: mean over seeds, with its 95 % interval"
        + _compared_by(question.metric)
        + (f"; {', '.join(comparison.set_after_looking)} set after looking" if comparison.set_after_looking else ""),
        "worst": "The worst seed of each strategy, and what failed",
        "cost": f"Cost of carrying a strategy out once{charged}, and its ratio to {baseline} at the same seeds",
    }[part]
    selects = question.protocol == "validation"
    filled = {"baseline": baseline, "currency": question.currency}
    filled |= {"selected": " (selected on)" * selects, "selected_on": "selected on" if selects else "validation"}
    titled = [(column.title(part, layout), column) for column in COLUMNS if column.shown(comparison)]
    columns = [(title, column) for title, column in titled if title is not None]
    return Table(
        caption,
        tuple(title.format(**filled) for title, _ in columns),
        tuple(column.is_text for _, column in columns),
        tuple(tuple(column.cell(row, layout) for _, column in columns) for row in _rows(comparison)),
    )


def _compared_by(metric: Metric) -> str:
    if metric is TOP1:
        return ""
    return f". Differences: {metric.title}, {metric.unit}" + (f"; {metric.direction}" if metric.direction else "")


def values(comparison: Comparison) -> list[dict[str, Any]]:
    """Return the strategies as plain objects, with the value of every column that has a key."""
    objects = []
    for row in _rows(comparison):
        found: dict[str, Any] = {}
        for column in (column for column in COLUMNS if column.key):
            *parents, last = column.key.split(".")
            place = found
            for parent in parents:
                place = place.setdefault(parent, {})
            value = column.value(row)
            if isinstance(value, Mean):
                value = {**vars(value), "per_seed": _padded(value.per_seed, comparison)}
            elif isinstance(value, Ratio):
                value = vars(value)
            place[last] = value
        objects.append(found)
    return objects


def _padded(per_seed: Sequence[Any], comparison: Comparison) -> list[Any]:
    """A value for each of the study's seeds: None for those that an arm is not to run."""
    return [*per_seed, *[None] * (len(comparison.question.seeds) - len(per_seed))]


def _rows(comparison: Comparison) -> list[Row]:
    pairs = {pair.a: pair for pair in comparison.pairs}
    summaries = comparison.summaries
    return [Row(**vars(each), comparison=comparison, difference=pairs.get(each.strategy.name)) for each in summaries]


def _trials_and_failures(row: Row) -> str:
    strategy = row.strategy
    return f"{strategy.trials}, {len(strategy.failed)} failed" if strategy.failed else str(strategy.trials)


def _kept(row: Row) -> str:
    """Which settings were selected, the most frequent first: ``T=4 x5, T=8 x3``; empty where there is no choice.

    The seeds of a search seldom select the same, so that only some are named.
    """
    if row.strategy.arm.size == 1:
        return ""
    counts = Counter(replicate.selected for replicate in row.strategy.replicates if replicate.selected is not None)
    named = [f"{label} x{count}" for label, count in counts.most_common()]
    if row.strategy.arm.searched is not None and len(named) > _MOST_NAMED:
        named = [*named[:_MOST_NAMED], f"and {len(named) - _MOST_NAMED} others"]
    return ", ".join(named) or NOTHING


def _worst_on_test(row: Row) -> str:
    seeds = zip(row.comparison.question.seeds, row.test_top1.per_seed, strict=False)
    known = [(value, seed) for seed, value in seeds if value is not None]
    return "{:.2f} (seed {})".format(*min(known)) if known else NOTHING


def _worst_difference(pair: PairedDifference) -> str:
    return f"{signed(pair.worst[1], pair.metric.digits)} (seed {pair.worst[0]})" if pair.worst is not None else NOTHING


def _listed(seeds: Sequence[int]) -> str:
    return ", ".join(map(str, seeds)) or "none"


def _of_pair(title: str, form: Callable[[PairedDifference], str], narrow: Mapping[Part, str] | None = None) -> Column:
    """A column about the difference to the baseline, which tables have where the comparison has pairs."""
    column = Column({"accuracy": title}, "", lambda row: row.difference, form, nothing="", narrow=narrow)
    return dataclasses.replace(column, shown=lambda comparison: bool(comparison.pairs))


def _on_test(name: MetricName, title: str) -> Column:
    """A column of another metric than accuracy, which tables have where strategies are compared by it."""
    key, digits = METRICS[name].key, METRICS[name].digits
    column = Column({"accuracy": title}, key, lambda row: getattr(row, key), lambda mean: plus_minus(mean, digits))
    return dataclasses.replace(column, shown=lambda comparison: comparison.question.metric.name == name)


def _of_ratio(kind: Literal["tflop", "device_seconds"]) -> Column:
    """A column about a cost divided by the baseline's; where there is room, with its interval."""

    def value(row: Row) -> Any:
        return row.cost_ratio and getattr(row.cost_ratio, kind)

    return Column({"cost": "ratio"}, f"cost_ratio.{kind}", value, ratio, short=lambda found: f"{found.ratio:.2f}")


COLUMNS = (
    Column(
        dict.fromkeys(("accuracy", "cost", "worst"), "strategy"),
        "",
        lambda row: marked_name(row.strategy, row.comparison.question.teacher),
        is_text=True,
    ),
    Column({}, "name", lambda row: row.strategy.name),
    Column({"cost": "settings"}, "", lambda row: row.strategy.arm.size, narrow={}),
    Column({}, "searched_by", lambda row: (row.strategy.arm.searched or {}).get("search", {}).get("by")),
    Column({}, "settings", lambda row: list(row.strategy.settings)),
    Column({}, "", _trials_and_failures, narrow={"cost": "trials"}),
    Column({"cost": "trials"}, "trials", lambda row: row.strategy.trials, narrow={}),
    Column({"worst": "worst on test"}, "", _worst_on_test, narrow={}),
    dataclasses.replace(_of_pair("", _worst_difference), titles={"worst": "worst minus {baseline}"}),
    Column({"worst": "failed trials"}, "failed", lambda row: len(row.strategy.failed), narrow={}),
    Column({}, "stopped", lambda row: row.strategy.stopped),
    Column({}, "missing", lambda row: row.strategy.missing),
    Column({"worst": "dropped seeds"}, "dropped_seeds", lambda row: list(row.strategy.dropped), _listed),
    Column({}, "overrides_student", lambda row: row.strategy.arm.overrides_student),
    Column({}, "overrides_epochs", lambda row: row.strategy.arm.overrides_epochs),
    Column(
        {"accuracy": "validation{selected}"},
        "val_top1",
        lambda row: row.val_top1,
        plus_minus,
        narrow={"accuracy": "{selected_on}"},
    ),
    Column({"accuracy": "test"}, "test_top1", lambda row: row.test_top1, plus_minus, narrow={"accuracy": "test, %"}),
    _on_test("top5", "top-5 on test"),
    _on_test("nll", "NLL on test"),
    _on_test("ece", "ECE on test"),
    _of_pair("minus {baseline}", lambda pair: difference(pair.difference, pair.low, pair.high, pair.metric.digits)),
    _of_pair("p (not worse)", lambda pair: optional(pair.p_not_worse, p_value), narrow={}),
    dataclasses.replace(_of_pair("verdict", verdict_words), is_text=True),
    Column({"cost": "TFLOP"}, "cost.tflop", lambda row: row.cost and row.cost.tflop, number),
    _of_ratio("tflop"),
    Column(
        {"cost": "device-seconds"},
        "cost.device_seconds",
        lambda row: row.cost and row.cost.device_seconds,
        number,
        narrow={"cost": "device-s"},
    ),
    _of_ratio("device_seconds"),
    Column(
        {"cost": "{currency}"},
        "cost.money",
        lambda row: row.money,
        number,
        shown=lambda comparison: comparison.question.price_per_device_hour is not None,
    ),
    Column({"accuracy": "kept, by seed"}, "", _kept, narrow={"cost": "kept, by seed"}, is_text=True),
    Column({}, "selected", lambda row: _padded([each.selected for each in row.strategy.replicates], row.comparison)),
    Column(
        {"worst": "lost device-seconds"}, "wasted_device_seconds", lambda r: r.strategy.wasted_device_seconds, number
    ),
)
