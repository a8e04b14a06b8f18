"""The report of an ablation: a table of effects, a sentence on importances, and a figure."""

from collections.abc import Mapping, Sequence
from pathlib import Path

import matplotlib
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from ctkd_study.analysis import EVALUATOR, SEED, Effect
from ctkd_study.errors import StudyError
from ctkd_study.report import markdown
from ctkd_study.report.files import STYLE, save
from ctkd_study.report.formatting import NOTHING, signed
from ctkd_study.safe_text import visible


def table(effects: Sequence[Effect]) -> str:
    """Return the effects as a Markdown table, a row per value."""
    rows = []
    for effect in effects:
        interval = NOTHING if effect.low is None or effect.high is None else f"{effect.low:+.2f} to {effect.high:+.2f}"
        value, settings = markdown.escape(effect.value), str(effect.settings)
        rows.append((f"`{effect.option}`", value, settings, signed(effect.difference), interval))
    titles = ("option", "value", "settings", "test accuracy minus the mean, points", "95 % interval")
    return markdown.table(titles, rows)


def sentence(shares: Mapping[str, float], trials: int) -> str:
    """Say which option mattered most, and whether more than chance (the seed) did.

    Args:
        shares: of the variance, as ``importances`` gives them: the largest first.
        trials: how many trials they rest on.
    """
    listed = ", ".join(f"{name} {100 * share:.0f} %" for name, share in shares.items())
    together = 100 * max(1 - sum(shares.values()), 0.0)
    parts = [name for name in shares if name != SEED]
    verdict = "No option varied."
    if parts:
        largest, seed = parts[0], shares.get(SEED, 0.0)
        than = "and more than" if shares[largest] > seed else "but no more than"
        compared = f", {than} the seed" if SEED in shares else ""
        verdict = f"Of the options, {largest} mattered most{compared}."
    return (
        f"{verdict} Shares of the variance of test accuracy over {trials} trials: {listed}; several of them together "
        f"{together:.0f} %. By {EVALUATOR}."
    )


def plot(effects: Sequence[Effect], file: Path) -> None:
    """Write the figure into a file, whose ending names the format: svg, pdf, png.

    Raises:
        StudyError: there are no effects, or the file cannot be written.
    """
    save(draw(effects), file)


def draw(effects: Sequence[Effect]) -> Figure:
    """Draw a panel per option: the effect of each value with its interval."""
    options = list(dict.fromkeys(effect.option for effect in effects))
    if not options:
        raise StudyError("there must be an option that varies to plot, but there is none")
    with matplotlib.rc_context(STYLE):
        figure = Figure(figsize=(max(2.9 * len(options), 4.0), 3.0), layout="constrained")
        panels = figure.subplots(1, len(options), sharey=True, squeeze=False)[0]
        for axes, option in zip(panels, options, strict=True):
            _panel(axes, option, [effect for effect in effects if effect.option == option])
        panels[0].set_ylabel("test accuracy\nminus the mean, points")
        return figure


def _panel(axes: Axes, option: str, effects: Sequence[Effect]) -> None:
    axes.axhline(0, color="black", lw=0.8)
    for place, effect in enumerate(effects):
        if effect.low is not None and effect.high is not None:
            axes.plot([place, place], [effect.low, effect.high], color="C0", lw=3, solid_capstyle="butt", alpha=0.6)
        axes.plot([place], [effect.difference], "D", color="C0")
    axes.set_xticks(range(len(effects)), [visible(effect.value) for effect in effects])
    axes.set_xlim(-0.6, len(effects) - 0.4)
    axes.set_xlabel(option)
