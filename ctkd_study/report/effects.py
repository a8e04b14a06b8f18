"""The report of an ablation: a table of effects, a sentence on what mattered, and a figure."""

from collections.abc import Mapping, Sequence
from pathlib import Path

import matplotlib
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from ctkd_study.analysis import EVALUATOR, SIGNIFICANT, Design, Effect, Shares
from ctkd_study.errors import StudyError
from ctkd_study.report import markdown
from ctkd_study.report.files import STYLE, save
from ctkd_study.report.formatting import count, optional, p_value, signed
from ctkd_study.safe_text import visible


def table(effects: Sequence[Effect]) -> str:
    """Return the effects as a Markdown table, a row per value."""
    rows = []
    for effect in effects:
        value = markdown.escape(effect.value) + " (chosen)" * effect.chosen
        on_test, low, high = signed(effect.difference), signed(effect.low), signed(effect.high)
        on_validation = optional(effect.val_difference, signed)
        rows.append((f"`{effect.option}`", value, str(effect.settings), on_validation, on_test, f"{low} to {high}"))
    titles = ("option", "value", "settings", "validation minus mean", "test minus mean", "simultaneous 95 % interval")
    return markdown.table(titles, rows)


def sentence(shares: Shares, design: Design) -> str:
    """Say which options are shown to matter. Those that are not are listed in the order of the study, unranked."""
    if not shares.options:
        return "No option varied."
    shown = sorted((share for share in shares.options if share.shown), key=lambda share: -share.omega_squared)
    others = [share for share in shares.options if not share.shown]
    said = []
    if shown:
        order = "" if len(shown) == 1 else ", in this order"
        said.append(f"Shown to matter{order}: {', '.join(share.option for share in shown)}.")
    if others:
        said.append(f"Not told apart from noise: {', '.join(share.option for share in others)}.")
    listed = "; ".join(
        f"{share.option} {100 * share.omega_squared:.0f} % (p {p_value(share.p_value)})" for share in shares.options
    )
    dropped = ""
    if design.dropped:
        seeds = ", ".join(map(str, design.dropped))
        dropped = f" Left out, because a setting has no result there: seeds {seeds}."
    said += [
        f"Too few seeds to show {share.option}: no p below {share.smallest_p:.2g} is possible."
        for share in others
        if share.smallest_p > SIGNIFICANT
    ]
    return (
        f"{' '.join(said)} Shares of the variance of test accuracy (ω²) over {design.settings} settings x "
        f"{count(len(design.seeds), 'seed')}: {listed}; seed {100 * shares.seed:.0f} %; interaction and noise "
        f"{100 * shares.rest:.0f} %. p comes from permutations within seeds, adjusted for the number of options; an "
        f"option is shown to matter if p is at most {SIGNIFICANT:g}. Validation chooses values (chosen); the test set "
        f"reports what they are worth.{dropped}"
    )


def unbalanced_sentence(shares: Mapping[str, float], trials: int) -> str:
    """Give the importances of trials that form no balanced design, without a claim.

    Args:
        shares: of the variance, as ``importances`` gives them.
        trials: how many trials they rest on.
    """
    listed = ", ".join(f"{name} {100 * share:.0f} %" for name, share in shares.items())
    together = 100 * max(1 - sum(shares.values()), 0.0)
    return (
        "Nothing is tested: that needs every combination of the options, at two seeds or more. A description only: "
        f"shares of the variance of test accuracy over {trials} trials: {listed}; interaction and noise "
        f"{together:.0f} %. By {EVALUATOR}, which does not tell an effect from noise."
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
        axes.plot([place, place], [effect.low, effect.high], color="C0", lw=3, solid_capstyle="butt", alpha=0.6)
        axes.plot([place], [effect.difference], "D", color="C0")
    axes.set_xticks(range(len(effects)), [visible(effect.value) for effect in effects])
    axes.set_xlim(-0.6, len(effects) - 0.4)
    axes.set_xlabel(option)
