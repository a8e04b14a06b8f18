"""The table and the figures of docs/statistics.md, from the counts."""

from collections.abc import Iterator, Mapping

import matplotlib
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from ctkd_study.report.files import STYLE
from tests.calibration.cases import CURVES, SECTIONS, out_of, span
from tests.calibration.simulation import Outcome, Tally

#: Tallies by section and title.
Found = Mapping[str, Mapping[str, Tally]]

START, END = "<!-- written by make calibrate -->", "<!-- end of what make calibrate writes -->"
_GOOD, _BAD = "#0f8fc4", "#d97706"
_WORDS = {"better": "#2a9d6f", "not_worse": "#0f8fc4", "slightly_worse": "#a08a2c", "worse": "#d97706"}


def table(found: Found) -> str:
    """Return the table: rates in percent, with their 99.9 % intervals."""
    lines = ["| | too good, % | too bad, % | decided, % | seeds |", "|---|---|---|---|---|"]
    for section, cases in SECTIONS.items():
        lines.append(f"| **{section}** | | | | |")
        for title, case in cases.items():
            each = found[section][title]
            name = f"{title} *(breaks)*" if case.breaks else title
            decided = _rate(each, "decided")
            if case.design.follows_plan:
                decided += f"; of the {_percent(each, 'planned')} % with a plan {_rate(each, 'kept')}"
            cells = (name, _rate(each, "too_good"), _rate(each, "too_bad"), decided, f"{each.seeds:.1f}")
            lines.append(f"| {' | '.join(cells)} |")
    return "\n".join(lines)


def _percent(each: Tally, outcome: Outcome) -> str:
    return f"{100 * each.counts.get(outcome, 0) / max(out_of(outcome, each), 1):.1f}"


def _rate(each: Tally, outcome: Outcome) -> str:
    low, high = span(each.counts.get(outcome, 0), out_of(outcome, each))
    return f"{_percent(each, outcome)} ({100 * low:.1f} to {100 * high:.1f})"


def errors(found: Found) -> Figure:
    """Draw how often intervals lie above and below the truth, with the 99.9 % intervals of these rates."""
    lines = list(_lines(found))
    with matplotlib.rc_context(STYLE):
        figure = Figure(figsize=(10, 0.9 + 0.26 * len(lines)), layout="constrained")
        axes = figure.add_subplot()
        axes.axvline(2.5, color="black", lw=1, ls="--")
        axes.annotate("promised: 2.5 %", (2.5, 1), xycoords=("data", "axes fraction"), ha="center", va="bottom")
        for height, (_, each) in enumerate(lines):
            for outcome, colour, shift in (("too_good", _GOOD, -0.15), ("too_bad", _BAD, 0.15)):
                _dot(axes, each, outcome, colour, height + shift)  # type: ignore[arg-type]
        for colour, label in ((_GOOD, "interval above the truth: too good"), (_BAD, "below: too bad")):
            axes.plot([], [], "o", color=colour, label=label)
        axes.set_xscale("log")
        axes.set_xlim(0.05, 100)
        axes.set_xticks(
            [0.1, 0.5, 1, 2.5, 5, 10, 25, 50, 100], ["0.1", "0.5", "1", "2.5", "5", "10", "25", "50", "100"]
        )
        axes.minorticks_off()
        axes.set_yticks(range(len(lines)), [title for title, _ in lines], fontsize=8)
        axes.set_ylim(len(lines) - 0.4, -0.6)
        axes.set_xlabel("studies, %")
        figure.legend(loc="outside lower center", ncols=2, frameon=False)
        return figure


def _lines(found: Found) -> Iterator[tuple[str, Tally]]:
    for section, cases in SECTIONS.items():
        for title, case in cases.items():
            plan = "more seeds as planned, " if case.design.follows_plan else ""
            yield f"{plan}{title}{' (breaks)' if case.breaks else ''}", found[section][title]


def _dot(axes: Axes, each: Tally, outcome: Outcome, colour: str, height: float) -> None:
    count = each.counts.get(outcome, 0)
    low, high = span(count, each.studies)
    axes.plot([max(100 * low, 0.01), 100 * high], [height, height], color=colour, lw=1.5)
    if count:
        axes.plot([100 * count / each.studies], [height], "o", ms=4, color=colour)


def verdicts(found: Found) -> Figure:
    """Draw the chance of each verdict by the true difference, in margins."""
    with matplotlib.rc_context(STYLE):
        figure = Figure(figsize=(10, 3.6), layout="constrained")
        for axes, (name, cases) in zip(figure.subplots(1, len(CURVES), sharey=True), CURVES.items(), strict=True):
            tallies = [found[name][title] for title in cases]
            at = [case.truth.difference for case in cases.values()]
            for word, colour in _WORDS.items():
                chances = [100 * each.counts.get(word, 0) / each.studies for each in tallies]  # type: ignore[call-overload]
                axes.plot(at, chances, "o-", ms=3, color=colour, label=word.replace("_", " "))
            open_ = [100 - 100 * each.counts.get("decided", 0) / each.studies for each in tallies]
            axes.plot(at, open_, "o:", ms=3, color="gray", label="undecided")
            axes.axvline(-1, color="black", lw=1, ls="--")
            axes.set_title(name)
            axes.set_xlabel("true difference, margins")
        figure.axes[0].set_ylabel("studies, %")
        figure.legend(*figure.axes[0].get_legend_handles_labels(), loc="outside lower center", ncols=5, frameon=False)
        return figure
