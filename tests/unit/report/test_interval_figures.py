"""The figures of intervals, read back from their axes."""

import dataclasses
from typing import Any

import pytest
from matplotlib.figure import Figure

from ctkd_study.analysis import Comparison, Interval
from ctkd_study.report import interval_figures
from tests.support.comparisons import CASES, until_decided
from tests.support.figures import points, style
from tests.support.tabulated import quickstart

INK, ORANGE, GREEN, PINK = "#010203", "#d97706", "#2a9d6f", "#c2649a"


def drawn(figure: Figure | None) -> Figure:
    assert figure is not None
    return figure


def titles(figure: Figure) -> list[str]:
    return [text.get_text() for axes in figure.axes for text in axes.texts]


def legend(figure: Figure) -> list[str]:
    return [text.get_text() for text in figure.legends[0].get_texts()]


def marks(collection: Any) -> list[list[float]]:
    """The ends of a vertical line."""
    (segment,) = collection.get_segments()
    return [[round(value, 6) for value in point] for point in segment.tolist()]


def test_the_differences_show_every_seed_the_mean_the_interval_and_the_verdict_in_words() -> None:
    study = quickstart()
    figure = drawn(interval_figures.differences(study))
    (axes,) = figure.axes
    words = ["global: not worse", "instance: undecided", "student_alone: worse (exploratory)"]
    assert titles(figure) == words
    lines = axes.get_lines()
    assert len(lines) == 12
    for place, (pair, colour) in enumerate(zip(study.pairs, (ORANGE, GREEN, PINK), strict=True)):
        bar, ends, mean, seeds = lines[4 * place : 4 * place + 4]
        height = points(bar)[0][1]
        assert points(bar) == points(ends) == [(pair.low, height), (pair.high, height)]
        assert points(mean) == [pytest.approx((pair.difference, height))]
        assert [x for x, _ in points(seeds)] == list(pair.per_seed)
        assert [y for _, y in points(seeds)] == pytest.approx([height - 0.34] * 8)
        assert style(bar) == (colour, "-", 4.0, "None", 6.0, None)
        assert style(ends) == (colour, "None", 1.5, "|", 7.0, None)
        assert style(mean) == (colour, "None", 1.5, "D", 6.0, None)
        assert style(seeds) == (colour, "None", 1.5, "o", 3.5, 0.55)
    assert axes.get_xlabel() == "test accuracy minus grid, points"
    assert legend(figure) == ["the margin, -1.5"]


def test_zero_and_the_margin_are_marked_beside_every_pair_but_not_through_its_name() -> None:
    (axes,) = drawn(interval_figures.differences(quickstart())).axes
    upright = [each for each in axes.collections if hasattr(each, "get_segments")]
    assert len(upright) == 6
    names = [text.get_position()[1] for text in axes.texts]
    for zero, margin, name in zip(upright[::2], upright[1::2], names, strict=True):
        (x, low), (_, high) = marks(zero)
        assert (x, [end[0] for end in marks(margin)]) == (0, [-1.5, -1.5])
        assert low < high < name


def test_each_interval_is_drawn_and_the_one_of_the_verdict_is_thick() -> None:
    study = quickstart()
    both = (Interval("on this test set", -1.0, 1.0, 0.025), Interval("on new examples", -1.5, 1.5, 0.025))
    found = dataclasses.replace(study, pairs=(dataclasses.replace(study.pairs[0], intervals=both),))
    figure = drawn(interval_figures.differences(found))
    first, ends, mean, second, others, _, _ = figure.axes[0].get_lines()
    assert [(points(line)[0][0], line.get_linewidth()) for line in (first, second)] == [(-1.0, 1.4), (-1.5, 4.0)]
    assert [line.get_marker() for line in (ends, mean, others)] == ["|", "D", "o"]
    assert legend(figure) == ["on this test set", "on new examples", "the margin, -1.5"]


def test_seeds_that_are_not_in_a_pair_and_intervals_that_there_are_not_are_not_drawn() -> None:
    study = quickstart(2)
    partly = dataclasses.replace(study.pairs[0], per_seed=(None, -0.5))
    nothing = dataclasses.replace(study.pairs[1], difference=None)
    found = dataclasses.replace(study, pairs=(partly, nothing))
    figure = drawn(interval_figures.differences(found))
    mean, seeds = figure.axes[0].get_lines()
    assert [points(mean)[0][0], points(seeds)[0][0]] == [partly.difference, -0.5]
    assert titles(figure) == ["global: undecided"]


def test_a_long_name_is_cut_and_its_verdict_is_not() -> None:
    study = quickstart()
    arm = dataclasses.replace(study.summaries[1].strategy.arm, name="n" * 60)
    summary = dataclasses.replace(
        study.summaries[1], strategy=dataclasses.replace(study.summaries[1].strategy, arm=arm)
    )
    pair = dataclasses.replace(study.pairs[0], a="n" * 60)
    found = dataclasses.replace(study, summaries=(study.summaries[0], summary), pairs=(pair,))
    assert titles(drawn(interval_figures.differences(found))) == [f"{'n' * 30}…: not worse"]


def test_looks_are_drawn_from_the_second_on_with_the_last_one_thick() -> None:
    found = until_decided()
    figure = drawn(interval_figures.looks(found))
    (axes,) = figure.axes
    assert axes.get_title(loc="left") == "instance: undecided"
    decision = next(pair.decision for pair in found.pairs if pair.a == "instance")
    assert decision is not None
    zero, margin, *lines = axes.get_lines()
    assert [line.get_ydata()[0] for line in (zero, margin)] == [0, -1.5]  # type: ignore[index]
    assert [points(line) for line in lines[::2]] == [
        [(look.seeds, look.low), (look.seeds, look.high)] for look in decision.looks
    ]
    assert [points(line) for line in lines[1::2]] == [[(look.seeds, look.difference)] for look in decision.looks]
    assert [line.get_linewidth() for line in lines[::2]] == [1.4, 1.4, 4.0]
    assert (axes.get_ylabel(), axes.get_xlabel()) == ("minus grid, points", "seeds")
    low, high = axes.get_ylim()
    assert low < decision.looks[-1].low < decision.looks[-1].high < high  # type: ignore[operator]


@pytest.mark.parametrize("comparison", [CASES["paper"], CASES["empty"]], ids=["paper", "empty"])
def test_there_is_no_figure_of_what_there_is_nothing_of(comparison: Comparison) -> None:
    assert interval_figures.differences(comparison) is None
    assert interval_figures.looks(comparison) is None


def test_one_look_has_no_figure() -> None:
    assert interval_figures.looks(quickstart()) is None
    assert interval_figures.looks(until_decided(5)) is None
