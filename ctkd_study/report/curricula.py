"""λ by epoch as a study plans it, and T where a schedule sets it: what `plan --plot` draws."""

import dataclasses
from collections.abc import Callable, Sequence
from pathlib import Path

import matplotlib
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from ctkd_study.errors import StudyError
from ctkd_study.report.files import STYLE, save
from ctkd_study.safe_text import visible
from ctkd_study.spec import Setting, StudySpec
from trainables.temperatures.schedule import ScheduleOptions

_DASHES = ("-", "--", ":", "-.")
_COLOURS = 10
_MARKED = 40
"""Courses of at most so many epochs have a marker at each."""


@dataclasses.dataclass(frozen=True)
class Course:
    """The planned values of λ or T, and the settings that share them."""

    label: str
    values: tuple[float, ...]
    """From epoch 1 on."""


def strengths(spec: StudySpec) -> list[Course]:
    """λ by epoch of each distinct curriculum, in the order of the settings."""
    return _courses(spec, lambda setting: getattr(setting.config.curriculum, "strength", None))


def temperatures(spec: StudySpec) -> list[Course]:
    """T by epoch of each distinct schedule of T, in the order of the settings."""

    def course_of(setting: Setting) -> Callable[[int], float] | None:
        temperature, epochs = setting.config.temperature, setting.config.recipe.epochs
        if not isinstance(temperature, ScheduleOptions):
            return None
        return lambda epoch: temperature.temperature(epoch, epochs)

    return _courses(spec, course_of)


def plot(spec: StudySpec, file: Path) -> None:
    """Write the figure into a file, whose ending names the format: svg, pdf, png.

    Raises:
        StudyError: there is nothing to draw, or the file cannot be written.
    """
    save(draw(spec), file)


def draw(spec: StudySpec) -> Figure:
    """Draw a panel of λ and one of T by epoch, as far as the study plans them."""
    panels = [(title, drawn) for title, drawn in (("λ", strengths(spec)), ("T", temperatures(spec))) if drawn]
    if not panels:
        raise StudyError("there must be a curriculum or a scheduled temperature to plot, but no arm has one")
    lines = sum(len(courses) for _, courses in panels)
    with matplotlib.rc_context(STYLE):
        figure = Figure(figsize=(8.6, max(3.0 * len(panels), 0.22 * lines + 0.8)), layout="constrained")
        drawn_on = figure.subplots(len(panels), 1, sharex=True, squeeze=False)[:, 0]
        for axes, (title, courses) in zip(drawn_on, panels, strict=True):
            _panel(axes, title, courses)
        drawn_on[-1].set_xlabel("epoch")
        drawn_on[-1].xaxis.get_major_locator().set_params(integer=True)
        return figure


def _panel(axes: Axes, title: str, courses: Sequence[Course]) -> None:
    for number, course in enumerate(courses):
        epochs = range(1, len(course.values) + 1)
        style = _DASHES[number // _COLOURS % len(_DASHES)]
        marker = "." if len(course.values) <= _MARKED else ""
        axes.plot(epochs, course.values, f"C{number % _COLOURS}", ls=style, marker=marker, label=course.label)
    axes.set_ylabel(title)
    axes.set_ylim(bottom=min(0.0, axes.get_ylim()[0]))
    axes.legend(loc="upper left", bbox_to_anchor=(1.0, 1.0), frameon=False, fontsize=9)


def _courses(spec: StudySpec, course_of: Callable[[Setting], Callable[[int], float] | None]) -> list[Course]:
    shared: dict[tuple[float, ...], list[Setting]] = {}
    for setting in spec.settings():
        value = course_of(setting)
        if value is not None:
            epochs = range(1, setting.config.recipe.epochs + 1)
            shared.setdefault(tuple(value(epoch) for epoch in epochs), []).append(setting)
    parted = [arm for users in shared.values() for arm in {setting.arm for setting in users}]
    return [Course(_label(users, parted), values) for values, users in shared.items()]


def _label(users: Sequence[Setting], parted: Sequence[str]) -> str:
    """Name the arms that share a course; for an arm with several courses, name the settings."""
    names: dict[str, list[str]] = {}
    for setting in users:
        names.setdefault(setting.arm, []).append(setting.label)
    named = (f"{arm}: {' / '.join(labels)}" if parted.count(arm) > 1 else arm for arm, labels in names.items())
    return visible("; ".join(named))
