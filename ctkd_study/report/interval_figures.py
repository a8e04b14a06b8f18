"""Figures of intervals: every strategy minus the baseline, and how an interval narrowed from look to look."""

from collections.abc import Mapping
from typing import Any

import matplotlib
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from ctkd_study.analysis import Comparison, Decision, PairedDifference
from ctkd_study.report.figures import INK, MOST, PAGE_STYLE, WIDTH, colours, legend_below, short
from ctkd_study.report.formatting import verdict_words

_THIN, _THICK = 1.4, 4.0
_ENDS = ("|", "o", "s")
"""Marks at the ends of intervals, by what they are about."""
_END_SIZE = 7
_TITLE, _BAR, _DOTS, _GAP = 0.55, 0.34, 0.3, 0.4
"""Heights of a pair's rows: its name, each interval, its seeds, and the space below."""
_INCHES = 0.42
"""Of a row of height 1."""


def differences(comparison: Comparison) -> Figure | None:
    """Draw every strategy minus the baseline: each interval, the mean, a dot per seed; and 0 and the margin.

    The thick interval is the one that the verdict is read off; the verdict stands above it as words.
    """
    pairs = [pair for pair in comparison.pairs if pair.difference is not None]
    if not pairs:
        return None
    abouts = dict.fromkeys(each.about for pair in pairs for each in pair.intervals)
    ends = dict(zip(abouts, _ENDS, strict=False))
    heights = [_TITLE + _BAR * max(len(pair.intervals), 1) + _DOTS + _GAP for pair in pairs]
    margin = comparison.question.margin
    with matplotlib.rc_context(PAGE_STYLE):
        figure = Figure(figsize=(WIDTH, 0.75 + _INCHES * sum(heights)), layout="constrained")
        axes = figure.add_subplot()
        top = 0.0
        for pair, height in zip(pairs, heights, strict=True):
            _pair(axes, pair, top, ends, colours(comparison)[pair.a])
            lines: Any = {"ymin": top - height + _GAP / 2, "ymax": top - _TITLE, "color": INK, "lw": 1}
            axes.vlines([0], **lines)
            axes.vlines([-margin], ls="--", **lines)
            axes.fill_between([-margin, 0], lines["ymin"], lines["ymax"], color=INK, alpha=0.06, lw=0)
            top -= height
        axes.set_yticks([])
        axes.spines["left"].set_visible(False)
        axes.set_ylim(top, 0)
        axes.set_xlabel(_minus_baseline(comparison))
        marks: Any = {"color": INK, "ms": _END_SIZE, "mfc": "none"}
        handles = [Line2D([], [], marker=ends[about], label=about, **marks) for about in abouts if len(abouts) > 1]
        legend_below(figure, [*handles, Line2D([], [], color=INK, lw=1, ls="--", label=f"the margin, -{margin:g}")])
        return figure


def _pair(axes: Axes, pair: PairedDifference, top: float, ends: Mapping[str, str], colour: str) -> None:
    title = axes.text(0, top - _TITLE + 0.08, _title(pair), transform=axes.get_yaxis_transform(), fontweight="bold")
    title.set_in_layout(False)
    height = top - _TITLE - _BAR / 2
    for each in pair.intervals:
        width = _THICK if each == pair.interval else _THIN
        axes.plot([each.low, each.high], [height, height], color=colour, lw=width, solid_capstyle="butt")
        axes.plot([each.low, each.high], [height] * 2, ends[each.about], color=colour, ms=_END_SIZE, mfc="none")
        axes.plot([(each.low + each.high) / 2], [height], "D", color=colour)
        height -= _BAR
    if not pair.intervals and pair.difference is not None:
        axes.plot([pair.difference], [height], "D", color=colour)
        height -= _BAR
    seeds: list[float] = [value for value in pair.per_seed if value is not None]
    axes.plot(seeds, [height] * len(seeds), "o", ms=3.5, color=colour, alpha=0.55, mew=0)


def looks(comparison: Comparison) -> Figure | None:
    """Draw how the repeated interval of each pair narrowed; None where no pair was looked at twice.

    The first intervals are wide, and end outside of the panel: it shows what the last one, the margin and 0 need.
    """
    looked = [(pair, pair.decision) for pair in comparison.pairs if pair.decision and len(pair.decision.looks) > 1]
    if not looked:
        return None
    margin = comparison.question.margin
    with matplotlib.rc_context(PAGE_STYLE):
        figure = Figure(figsize=(WIDTH, 0.4 + 1.75 * len(looked)), layout="constrained")
        panels = figure.subplots(len(looked), 1, sharex=True, squeeze=False)[:, 0]
        for axes, (pair, decision) in zip(panels, looked, strict=True):
            axes.axhspan(-margin, 0, color=INK, alpha=0.06, lw=0)
            axes.axhline(0, color=INK, lw=1)
            axes.axhline(-margin, color=INK, lw=1, ls="--")
            _looks(axes, decision, margin, colours(comparison)[pair.a])
            axes.set_title(_title(pair), loc="left", fontweight="bold", fontsize=10)
            axes.set_ylabel(f"minus {short(comparison.baseline, 12)}, {comparison.question.metric.unit}")
        panels[-1].set_xlabel("seeds")
        panels[-1].xaxis.get_major_locator().set_params(integer=True)
        return figure


def _looks(axes: Axes, decision: Decision, margin: float, colour: str) -> None:
    shown = [-margin, 0.0]
    for number, look in enumerate(decision.looks, 1):
        is_last = number == len(decision.looks)
        if look.low is not None and look.high is not None:
            width = _THICK if is_last else _THIN
            axes.plot([look.seeds] * 2, [look.low, look.high], color=colour, lw=width, solid_capstyle="butt")
            shown += [look.low, look.high] * is_last
        if look.difference is not None:
            axes.plot([look.seeds], [look.difference], "D", color=colour, ms=4)
            shown.append(look.difference)
    space = 0.5 * (max(shown) - min(shown))
    axes.set_ylim(min(shown) - space, max(shown) + space)
    axes.margins(x=0.08)


def _title(pair: PairedDifference) -> str:
    """Name and verdict; of a long name, only its beginning."""
    words = verdict_words(pair)
    return f"{short(pair.a, MOST - len(words))}: {words}"


def _minus_baseline(comparison: Comparison) -> str:
    metric = comparison.question.metric
    turned = f";\n{metric.direction}" if metric.direction else ""
    return f"{metric.title} minus {short(comparison.baseline, 24)}, {metric.unit}{turned}"
