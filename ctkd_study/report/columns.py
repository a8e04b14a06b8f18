"""The columns of a report's tables, each declared once.

Terminal, page, Markdown and JSON read ``COLUMNS``; to add a column, add an entry there.
"""

import dataclasses
from collections import Counter
from collections.abc import Callable, Mapping
from typing import Any, Literal

from ctkd_study.analysis import Comparison, Mean, PairedDifference, StrategySummary
from ctkd_study.report.formatting import NOTHING, difference, number, optional, p_value, plus_minus
from ctkd_study.report.notes import marked_name

Part = Literal["accuracy", "cost"]
"""The two tables of a report."""
Layout = Literal["narrow", "wide"]
"""Narrow: a terminal of 80 columns. Wide: a page, or Markdown."""


@dataclasses.dataclass(frozen=True)
class Row(StrategySummary):
    """A strategy in its comparison: what a column is a function of."""

    comparison: Comparison
    difference: PairedDifference | None
    """To the baseline; None for the baseline itself, and in the paper's protocol."""

    @property
    def labels(self) -> list[str]:
        return [setting.label for setting in self.strategy.arm.settings]

    @property
    def trials(self) -> int:
        return self.strategy.trials

    @property
    def failed(self) -> int:
        return len(self.strategy.failed)


@dataclasses.dataclass(frozen=True)
class Column:
    """One quantity of a strategy."""

    titles: Mapping[Part, str] = dataclasses.field(default_factory=dict)
    """By the table that shows the column; ``{baseline}`` and ``{currency}`` stand for the comparison's."""
    cell: Callable[[Row], str] = lambda row: ""
    key: str = ""
    """Dotted key in JSON's object of a strategy; empty where JSON has no such value."""
    value: Callable[[Row], Any] = lambda row: None
    """The value in JSON: plain types, None where there is none."""
    narrow: Mapping[Part, str] | None = None
    """``titles`` in the narrow layout, where they differ."""
    is_text: bool = False
    """Text is aligned left and may wrap; numbers are aligned right and do not."""
    shown: Callable[[Comparison], bool] = lambda comparison: True
    """Whether tables have the column; JSON always does."""

    def title(self, part: Part, layout: Layout) -> str | None:
        """The title in a table; None if it does not show the column."""
        return (self.titles if layout == "wide" or self.narrow is None else self.narrow).get(part)


@dataclasses.dataclass(frozen=True)
class Table:
    """The texts of a table, not yet escaped."""

    caption: str
    titles: tuple[str, ...]
    is_text: tuple[bool, ...]
    """Which columns hold text; the first one always does."""
    rows: tuple[tuple[str, ...], ...]


def table(comparison: Comparison, part: Part, layout: Layout) -> Table:
    """Return one of the two tables in a layout, a row per strategy."""
    question, baseline = comparison.question, comparison.baseline
    charged = ", with the teacher and evaluation" if question.charges_teacher else ""
    caption = {
        "accuracy": "Top-1 accuracy in percent: mean over seeds, with its 95 % interval",
        "cost": f"Cost of carrying a strategy out once{charged}, and its ratio to {baseline}",
    }[part]
    titled = [(column.title(part, layout), column) for column in COLUMNS if column.shown(comparison)]
    columns = [(title, column) for title, column in titled if title is not None]
    return Table(
        caption,
        tuple(title.format(baseline=baseline, currency=question.currency) for title, _ in columns),
        tuple(column.is_text for _, column in columns),
        tuple(tuple(column.cell(row) for _, column in columns) for row in _rows(comparison)),
    )


def values(comparison: Comparison) -> list[dict[str, Any]]:
    """Return the strategies as plain objects, with the value of every column that has a key."""
    objects = []
    for row in _rows(comparison):
        found: dict[str, Any] = {}
        for column in COLUMNS:
            *parents, last = column.key.split(".")
            place = found
            for parent in parents:
                place = place.setdefault(parent, {})
            if last:
                place[last] = column.value(row)
        objects.append(found)
    return objects


def _rows(comparison: Comparison) -> list[Row]:
    pairs = {pair.a: pair for pair in comparison.pairs}
    return [
        Row(**vars(each), comparison=comparison, difference=pairs.get(each.strategy.name))
        for each in comparison.summaries
    ]


def _kept(row: Row) -> str:
    """Which settings were selected, the most frequent first: ``T=4 x5, T=8 x3``; empty where there is no choice."""
    if len(row.labels) == 1:
        return ""
    counts = Counter(replicate.selected for replicate in row.strategy.replicates if replicate.selected is not None)
    return ", ".join(f"{label} x{count}" for label, count in counts.most_common()) or NOTHING


def _accuracy(key: Literal["val_top1", "test_top1"], title: str) -> Column:
    def mean(row: Row) -> Mean:
        return row.val_top1 if key == "val_top1" else row.test_top1

    return Column(
        {"accuracy": title},
        lambda row: plus_minus(mean(row)),
        key,
        lambda row: {**vars(mean(row)), "per_seed": list(mean(row).per_seed)},
        {"accuracy": f"{title}, %"},
    )


def _compared(title: str, cell: Callable[[PairedDifference], str], narrow: Mapping[Part, str] | None = None) -> Column:
    """A column about the difference to the baseline; empty in the baseline's own row."""
    return Column(
        {"accuracy": title},
        lambda row: "" if row.difference is None else cell(row.difference),
        narrow=narrow,
        shown=lambda comparison: bool(comparison.pairs),
    )


def _cost(kind: Literal["device_seconds", "tflop"], title: str, narrow: str) -> tuple[Column, Column]:
    """The columns of one kind of cost, and of its ratio to the baseline's."""

    def cost(row: Row) -> float | None:
        return getattr(row.cost, kind, None)

    def ratio(row: Row) -> float | None:
        return getattr(row.cost_ratio, kind, None)

    return (
        Column({"cost": title}, lambda row: optional(cost(row), number), f"cost.{kind}", cost, {"cost": narrow}),
        Column({"cost": "ratio"}, lambda row: optional(ratio(row), "{:.2f}".format), f"cost_ratio.{kind}", ratio),
    )


COLUMNS = (
    Column(
        {"accuracy": "strategy", "cost": "strategy"},
        lambda row: marked_name(row.strategy, row.comparison.question.teacher),
        "name",
        lambda row: row.strategy.name,
        is_text=True,
    ),
    Column({"cost": "settings"}, lambda row: str(len(row.labels)), "settings", lambda row: row.labels, narrow={}),
    Column(
        cell=lambda row: f"{row.trials}, {row.failed} failed" if row.failed else str(row.trials),
        narrow={"cost": "trials"},
    ),
    Column({"cost": "trials"}, lambda row: str(row.trials), "trials", lambda row: row.trials, narrow={}),
    Column({"cost": "failed"}, lambda row: str(row.failed), "failed", lambda row: row.failed, narrow={}),
    Column(key="missing", value=lambda row: row.strategy.missing),
    Column(key="dropped_seeds", value=lambda row: list(row.strategy.dropped)),
    Column(key="overrides_student", value=lambda row: row.strategy.arm.overrides_student),
    Column(key="overrides_epochs", value=lambda row: row.strategy.arm.overrides_epochs),
    _accuracy("val_top1", "validation"),
    _accuracy("test_top1", "test"),
    _compared("minus {baseline}", lambda pair: difference(pair.difference, pair.low, pair.high)),
    _compared("p", lambda pair: optional(pair.p_value, p_value), {}),
    _compared("verdict", lambda pair: pair.verdict.replace("_", " ")),
    *_cost("device_seconds", "device-seconds", "device-s"),
    *_cost("tflop", "TFLOP", "TFLOP"),
    Column(
        {"cost": "{currency}"},
        lambda row: optional(row.money, number),
        "cost.money",
        lambda row: row.money,
        shown=lambda comparison: comparison.question.price_per_device_hour is not None,
    ),
    Column(
        {"accuracy": "kept, by seed"},
        _kept,
        "selected",
        lambda row: [replicate.selected for replicate in row.strategy.replicates],
        {"cost": "kept, by seed"},
        is_text=True,
    ),
    Column(key="wasted_device_seconds", value=lambda row: row.strategy.wasted_device_seconds),
)
