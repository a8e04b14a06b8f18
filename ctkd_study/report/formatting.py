"""Numbers as people read them, the same in every form of a report."""

import math
from collections.abc import Callable

from ctkd_study.analysis import Mean, PairedDifference, Ratio

NOTHING = "-"
"""Stands for a number that there is not."""


def number(value: float) -> str:
    """Three significant digits without an exponent: ``0.0123``, ``12.3``, ``1,230,000``."""
    if value == 0 or not math.isfinite(value):
        return f"{value:g}"
    digits = 2 - math.floor(math.log10(abs(value)))
    return f"{round(value, digits):,.{max(digits, 0)}f}"


def optional(value: float | None, form: Callable[[float], str]) -> str:
    """The value in this form, or a dash."""
    return NOTHING if value is None else form(value)


def plus_minus(mean: Mean, digits: int = 2) -> str:
    """A mean with half its interval: ``96.43 ± 0.52``."""
    if mean.mean is None:
        return NOTHING
    half = "" if mean.high is None else f" ± {mean.high - mean.mean:.{digits}f}"
    return f"{mean.mean:.{digits}f}{half}"


def difference(mean: float | None, low: float | None, high: float | None, digits: int = 2) -> str:
    """A difference with its interval: ``-0.73 (-1.33 to -0.13)``."""
    if mean is None or low is None or high is None:
        return optional(mean, lambda value: signed(value, digits))
    return f"{signed(mean, digits)} ({signed(low, digits)} to {signed(high, digits)})"


def ratio(found: Ratio) -> str:
    """A ratio with its interval, where that is wider than the digits show: ``0.17 (0.15 to 0.19)``, ``0.20``."""
    text, low, high = (optional(value, "{:.2f}".format) for value in (found.ratio, found.low, found.high))
    return text if NOTHING in (low, high) or low == high else f"{text} ({low} to {high})"


def signed(value: float, digits: int = 2) -> str:
    """A number with its sign: ``+0.20``."""
    return f"{value:+.{digits}f}"


def verdict_words(pair: PairedDifference) -> str:
    """The verdict, and whether it is exploratory: ``not worse (exploratory)``."""
    return pair.verdict.replace("_", " ") + ("" if pair.confirmed else " (exploratory)")


def p_value(value: float) -> str:
    """Three digits after the point: ``0.016``, ``< 0.001``."""
    return "< 0.001" if value < 0.001 else f"{value:.3f}"


def percent(share: float) -> str:
    """A share in percent, with up to three significant digits: ``95 %``, ``98.3 %``."""
    return f"{100 * share:.3g} %"


def count(number: int, what: str) -> str:
    """A number of things: ``1 seed``, ``8 seeds``."""
    return f"{number} {what}{'' if number == 1 else 's'}"


def duration(seconds: float) -> str:
    """A time span: ``45s``, ``3m07s``, ``25h01m``."""
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}h{minutes:02d}m" if hours else f"{minutes}m{rest:02d}s" if minutes else f"{rest}s"
