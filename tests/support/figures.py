"""What a figure holds, read back from its axes as plain values."""

from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.colors import to_hex
from matplotlib.figure import Figure


def points(line: Any) -> list[tuple[float, float]]:
    """The points of a line."""
    return [(x, y) for x, y in np.asarray(line.get_xydata()).tolist()]


def style(line: Any) -> tuple[str, str, float, str, float, float | None]:
    """Colour, dashes, width, marker, size of the marker, and opacity of a line."""
    colour, dashes, width = to_hex(line.get_color()), line.get_linestyle(), line.get_linewidth()
    return colour, dashes, width, str(line.get_marker()), line.get_markersize(), line.get_alpha()


def ticks(axes: Axes, axis: str) -> list[tuple[float, str]]:
    """The places and texts of the ticks of an axis, x or y."""
    places, texts = (
        (axes.get_xticks(), axes.get_xticklabels()) if axis == "x" else (axes.get_yticks(), axes.get_yticklabels())
    )
    return [(float(place), text.get_text()) for place, text in zip(places, texts, strict=True)]


def size(figure: Figure) -> tuple[float, float]:
    """Width and height in inches."""
    width, height = figure.get_size_inches().tolist()
    return round(width, 6), round(height, 6)


def spines(axes: Axes) -> set[str]:
    """The sides of the axes that have a line."""
    return {name for name, spine in axes.spines.items() if spine.get_visible()}
