"""What a study would need before it runs, as tables and as one JSON object."""

from typing import Any

from rich.console import Console
from rich.table import Table
from rich.text import Text

from ctkd_study.analysis import VERDICTS, Prospect, StudyDesign
from ctkd_study.report.formatting import number
from ctkd_study.safe_text import visible

_HOUR = 3600.0


def show_design(found: StudyDesign, console: Console, price: float | None = None, currency: str = "USD") -> None:
    """Print a table for each spread.

    Args:
        found: what the study would need.
        console: where to.
        price: of a device-hour; None leaves money out.
        currency: of the price.
    """
    fixed, until = found.fixed.looks[-1], found.until.looks
    arms = ", ".join(found.until.confirmed)
    _print(
        console,
        f"{arms} minus {found.until.baseline}, margin {found.until.margin:g} points. Fixed: {fixed} seeds. Until "
        f"decided: {len(until)} looks, at {until[0]} to {until[-1]} seeds, with an error of 2.5 % in all.",
    )
    for spread in found.spreads:
        table = Table(box=None, pad_edge=False, header_style="bold")
        money = [] if price is None else [currency]
        for title in ("true difference", "design", "seeds", "device-h", *money, *map(_said, VERDICTS)):
            table.add_column(_text(title), justify="left" if title == "design" else "right")
        for prospect in (each for each in found.prospects if each.spread == spread.points):
            difference = f"{prospect.difference:+.2f}" if prospect.rule is found.fixed else ""
            table.add_row(*map(_text, (difference, *_cells(prospect, price))))
        _print(console, f"\nIf the differences spread by {spread.points:.2g} points over seeds ({spread.source}):")
        console.print(table)
    _print(
        console,
        "\nSeeds and costs are expected values, of the trials alone; chances are of one arm, from simulated studies "
        "with normal differences.",
    )


def design_as_json(found: StudyDesign, study: str, price: float | None = None) -> dict[str, Any]:
    """Return what a study would need as plain values.

    Args:
        found: what it would need.
        study: its name.
        price: of a device-hour; None leaves money null.
    """
    return {
        "study": study,
        "margin": found.until.margin,
        "baseline": found.until.baseline,
        "confirmed": list(found.until.confirmed),
        "designs": {"fixed": list(found.fixed.looks), "until": list(found.until.looks)},
        "spreads": [{"points": spread.points, "source": spread.source} for spread in found.spreads],
        "prospects": [
            {
                "spread": each.spread,
                "difference": each.difference,
                "design": _name(each),
                "seeds": each.outlook.seeds,
                "baseline_seeds": each.outlook.baseline_seeds,
                "device_seconds": each.device_seconds,
                "money": _money(each, price),
                "chances": dict(each.outlook.chances),
            }
            for each in found.prospects
        ],
    }


def _cells(prospect: Prospect, price: float | None) -> list[str]:
    seconds, money = prospect.device_seconds, _money(prospect, price)
    chances = prospect.outlook.chances
    return [
        _name(prospect),
        f"{prospect.outlook.seeds:.1f}",
        "-" if seconds is None else number(seconds / _HOUR),
        *([] if price is None else ["-" if money is None else number(money)]),
        *(f"{100 * chances[verdict]:.0f} %" for verdict in VERDICTS),
    ]


def _name(prospect: Prospect) -> str:
    return "fixed" if len(prospect.rule.looks) == 1 else "until"


def _money(prospect: Prospect, price: float | None) -> float | None:
    return None if price is None or prospect.device_seconds is None else prospect.device_seconds / _HOUR * price


def _said(verdict: str) -> str:
    return verdict.replace("_", " ")


def _print(console: Console, text: str) -> None:
    console.print(_text(text), soft_wrap=not console.is_terminal)


def _text(text: str) -> Text:
    return Text(visible(text))
