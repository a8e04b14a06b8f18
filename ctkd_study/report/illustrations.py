"""The figures of a comparison with their titles and captions, for pages and for files."""

import dataclasses
from collections.abc import Iterator, Sequence
from pathlib import Path

from matplotlib.figure import Figure

from ctkd_study.analysis import Across, Comparison, Replay
from ctkd_study.errors import StudyError
from ctkd_study.records import History
from ctkd_study.report import across, figures, interval_figures
from ctkd_study.report.files import save

_FORMATS = ("svg", "png")


@dataclasses.dataclass(frozen=True)
class Illustration:
    """A figure and its words."""

    name: str
    """Unique in a page; the name of the files."""
    title: str
    caption: str
    figure: Figure


def illustrations(
    comparison: Comparison, histories: Sequence[History] = (), replays: Sequence[Replay] = ()
) -> Iterator[Illustration]:
    """Yield the figures that the comparison has something to draw for.

    Args:
        comparison: what to draw.
        histories: of trials with a learned temperature.
        replays: of the grids.
    """
    differences = (
        f"Each strategy minus {comparison.baseline}, paired by seed: dots are seeds, bars are intervals of the mean, "
        "and the verdict is read off the thick one. An interval right of the dashed line "
        f"(-{comparison.question.margin:g}) is not worse, one left of it is worse, one right of 0 is better."
    )
    looks = (
        "The repeated interval at each look; the thick one is the last. All of them hold together, whenever a study "
        "stops. The first ones are wide, and may go on beyond the panel."
    )
    cost = "Mean test accuracy with its 95 % interval; further left is cheaper, further up is better."
    if replays:
        cost += " Hollow points are replays; the dotted line joins what nothing cheaper reaches."
    temperatures = "Mean over seeds, and the span of the seeds. λ scales the reversed gradient of T."
    for name, title, caption, figure in (
        ("differences", "Differences", differences, interval_figures.differences(comparison)),
        ("looks", "Looks", looks, interval_figures.looks(comparison)),
        ("cost", "Accuracy against cost", cost, figures.accuracy_by_cost(comparison, replays)),
        ("temperatures", "Temperature", temperatures, figures.temperatures(comparison, histories)),
    ):
        if figure is not None:
            yield Illustration(name, title, caption, figure)


def illustrations_across(found: Across) -> list[Illustration]:
    """Return the figure of several studies side by side, if there is something to draw."""
    figure = figures.across(found)
    return [Illustration("across", "Differences", across.FIGURE, figure)] if figure is not None else []


def save_all(found: Sequence[Illustration], folder: Path) -> None:
    """Write every figure as SVG and as PNG: ``differences.svg``, ``differences.png``, ...

    Args:
        found: what to write.
        folder: created where it is missing.

    Raises:
        StudyError: a file cannot be written.
    """
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as fault:
        raise StudyError(f"{folder} cannot be created: {fault.strerror}") from fault
    for each in found:
        for ending in _FORMATS:
            save(each.figure, folder / f"{each.name}.{ending}")
