"""The figures of a page, and their SVG: no script, no request, text as text, colours that follow the page's.

Each function returns None where the comparison has nothing to draw.
"""

import io
import itertools
import math
import re
from collections.abc import Iterator, Sequence
from types import MappingProxyType
from typing import Any

import matplotlib
from matplotlib.artist import Artist
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from ctkd_study.analysis import Across, Comparison, Replay
from ctkd_study.records import History
from ctkd_study.report.files import STYLE
from ctkd_study.safe_text import visible

#: Middle tones, to be told apart on white and on black, by colour-blind people too (after Okabe and Ito).
_COLOURS = ("#0f8fc4", "#d97706", "#2a9d6f", "#c2649a", "#8b7bd8", "#a08a2c")
DASHES = ("-", "--", ":", "-.")
_FRONTIER = "best for its cost"
_REPLAYED = MappingProxyType({"random": "o", "declared": "s", "transferred": "P", "halving": "^", "asha": "v"})
"""Markers by kind of replay."""
_MARKERS = ("o", "s", "^", "D", "v", "P")
INK = "#010203"
"""Stands for the page's text colour; no other part of a figure has it."""
WIDTH = 4.4
"""Inches: narrow enough that a phone, 390 pixels wide, shows text of 10 points in 11 pixels."""
MOST = 40
"""So many characters fit into a figure, a legend's handle included."""
_ROW = 0.22
"""Height of a legend's row in inches."""
_PER_ROW = 19
"""Labels up to so many characters stand two in a legend's row."""
_THIN, _THICK = 1.2, 3.0
PAGE_STYLE: Any = MappingProxyType(
    {
        **STYLE,
        **dict.fromkeys(("axes.edgecolor", "axes.labelcolor", "text.color", "xtick.color", "ytick.color"), INK),
        "svg.fonttype": "none",
        "font.family": "sans-serif",
        "font.size": 10.0,
    }
)


def across(found: Across) -> Figure | None:
    """Draw every strategy minus the baseline, in each study and on average over them."""
    if not found.strategies:
        return None
    lines = list(_bars(found))
    with matplotlib.rc_context(PAGE_STYLE):
        figure = Figure(figsize=(WIDTH, 0.9 + 0.32 * len(lines)), layout="constrained")
        axes = figure.add_subplot()
        axes.axvline(0, color=INK, lw=1)
        for line, (_, middle, ends, colour, width) in enumerate(lines):
            axes.plot(ends, [line, line], color=colour, lw=width, solid_capstyle="butt")
            axes.plot([middle], [line], "D" if width == _THICK else "o", color=colour, ms=4 + width)
        axes.set_yticks(range(len(lines)), [visible(label) for label, *_ in lines])
        axes.set_ylim(len(lines) - 0.4, -0.6)
        axes.set_xlabel(f"{found.metric.title} minus {visible(found.baseline)}, {found.metric.unit}")
        return figure


def _bars(found: Across) -> Iterator[tuple[str, float, tuple[float, float], str, float]]:
    """Name, middle, ends, colour and width of every bar, from the top down."""
    for strategy, colour in zip(found.strategies, itertools.cycle(_COLOURS), strict=False):
        for comparison, pair in zip(found.comparisons, strategy.pairs, strict=True):
            if pair.difference is not None and pair.low is not None and pair.high is not None:
                label = f"{strategy.name}, {comparison.question.study}"
                yield label, pair.difference, (pair.low, pair.high), colour, _THIN
        mean = strategy.difference
        yield f"{strategy.name}, mean", mean.mean, (mean.low, mean.high), colour, _THICK


def accuracy_by_cost(comparison: Comparison, replays: Sequence[Replay] = ()) -> Figure | None:
    """Draw test accuracy with its interval against device-seconds: a point per strategy, hollow ones for replays.

    A line joins the points that no cheaper one reaches.
    """
    points = [
        (each.strategy.name, each.cost.device_seconds, each.test_top1.mean, each.test_top1.high)
        for each in comparison.summaries
        if each.cost is not None and each.test_top1.mean is not None
    ]
    if not points:
        return None
    replayed: dict[str, list[tuple[float, float]]] = {}
    for each in replays:
        if each.test_top1.mean is not None:
            replayed.setdefault(each.kind, []).append((each.cost.device_seconds, each.test_top1.mean))
    with matplotlib.rc_context(PAGE_STYLE):
        figure = Figure(figsize=(WIDTH, 2.9), layout="constrained")
        axes = figure.add_subplot()
        if replayed:
            every = [*((seconds, mean) for _, seconds, mean, _ in points), *itertools.chain(*replayed.values())]
            axes.plot(*zip(*_frontier(every), strict=True), color=INK, lw=1, ls=":", label=_FRONTIER)
        hollow: dict[str, Any] = {"ms": 5, "mfc": "none", "mew": 1, "ls": "none", "color": INK, "alpha": 0.7}
        for kind, some in replayed.items():
            label = f"replay: {kind.replace('asha', 'ASHA')}"
            axes.plot(*zip(*some, strict=True), _REPLAYED[kind], label=label, **hollow)
        # Strategies of one run each cost about the same: shapes tell them apart where they overlap.
        markers, colour_of = itertools.cycle(_MARKERS), colours(comparison)
        style: dict[str, Any] = {"ms": 7, "capsize": 4, "mew": 2}
        for (arm, seconds, mean, high), marker in zip(points, markers, strict=False):
            half = None if high is None else [high - mean]
            axes.errorbar([seconds], [mean], yerr=half, fmt=marker, label=short(arm), color=colour_of[arm], **style)
        axes.margins(x=0.1, y=0.15)
        axes.set_xlim(left=0)
        axes.set_xlabel("device-seconds to carry the strategy out once")
        axes.set_ylabel("test accuracy, %")
        legend_below(figure, axes.get_legend_handles_labels()[0])
        return figure


def _frontier(points: Sequence[tuple[float, float]]) -> list[tuple[float, float]]:
    """Return the points that are better than all cheaper ones, the cheapest first."""
    found: list[tuple[float, float]] = []
    for cost, accuracy in sorted(points, key=lambda point: (point[0], -point[1])):
        if not found or accuracy > found[-1][1]:
            found.append((cost, accuracy))
    return found


def temperatures(comparison: Comparison, histories: Sequence[History]) -> Figure | None:
    """Draw T and λ by epoch: the mean over seeds of each setting, and the span of its seeds."""
    colour_of = colours(comparison)
    groups: dict[tuple[str, str], list[History]] = {}
    for history in histories:
        if history.arm in colour_of and any(row.get("temperature") is not None for row in history.rows):
            groups.setdefault((history.arm, history.setting), []).append(history)
    if not groups:
        return None
    with matplotlib.rc_context(PAGE_STYLE):
        figure = Figure(figsize=(WIDTH, 3.9), layout="constrained")
        upper, lower = figure.subplots(2, 1, sharex=True, height_ratios=[2, 1])
        dashes = itertools.cycle(DASHES)
        for (arm, setting), members in groups.items():
            label = short(arm if setting == arm else f"{arm}, {setting}")
            style = {"color": colour_of[arm], "ls": next(dashes), "label": label}
            _curve(upper, members, "temperature", style)
            _curve(lower, members, "lambda", style)
        upper.set_ylabel("T, mean of the epoch")
        lower.set_ylabel("λ")
        lower.set_xlabel("epoch")
        lower.xaxis.get_major_locator().set_params(integer=True)
        legend_below(figure, upper.get_legend_handles_labels()[0])
        return figure


def _curve(axes: Axes, members: Sequence[History], key: str, style: dict[str, Any]) -> None:
    by_epoch: dict[float, list[float]] = {}
    for row in (row for history in members for row in history.rows):
        epoch, value = row.get("epoch"), row.get(key)
        if epoch is not None and value is not None:
            by_epoch.setdefault(epoch, []).append(value)
    if by_epoch:
        epochs = sorted(by_epoch)
        spans = [by_epoch[epoch] for epoch in epochs]
        axes.fill_between(epochs, [*map(min, spans)], [*map(max, spans)], color=style["color"], alpha=0.2, lw=0)
        axes.plot(epochs, [sum(s) / len(s) for s in spans], lw=2, **style)


def legend_below(figure: Figure, handles: Sequence[Artist]) -> None:
    """Put a legend below the figure, which grows by its height."""
    columns = 2 if max((len(str(handle.get_label())) for handle in handles), default=0) <= _PER_ROW else 1
    figure.set_figheight(figure.get_figheight() + _ROW * math.ceil(len(handles) / columns))
    figure.legend(handles=handles, loc="outside lower left", frameon=False, ncols=columns)


def short(text: str, most: int = MOST) -> str:
    """Return a text that fits into a figure; the tables have all of it."""
    text = visible(text)
    return text if len(text) <= most else f"{text[: most - 1]}…"


def colours(comparison: Comparison) -> dict[str, str]:
    """One colour per arm, the same in all figures of a page."""
    return {each.strategy.name: colour for each, colour in zip(comparison.summaries, itertools.cycle(_COLOURS))}


def svg(figure: Figure, name: str) -> str:
    """Return a figure of this module as an SVG element.

    Args:
        figure: what to write; the same figure always gives the same text.
        name: of the figure, unique within its page: all ids begin with it.
    """
    figure.patch.set_alpha(0)
    for axes in figure.axes:
        axes.patch.set_alpha(0)
    # Without a salt, the ids of clip paths would be drawn at random.
    with matplotlib.rc_context({**PAGE_STYLE, "svg.hashsalt": name}):
        buffer = io.StringIO()
        figure.savefig(buffer, format="svg", metadata={"Date": None})
    _, start, rest = buffer.getvalue().partition("<svg")
    text = re.sub(r"<metadata>.*?</metadata>", "", start + rest, flags=re.DOTALL)
    # The page's own text colour: dark on light, light on dark.
    return re.sub(r'id="|url\(#|href="#', rf"\g<0>{name}-", text.replace(INK, "currentColor"))
