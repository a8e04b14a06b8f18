"""What the figures of a page hold, read back from their axes, and what their SVG is fit for."""

import dataclasses
from xml.etree import ElementTree

import numpy as np
import pytest
from matplotlib.collections import FillBetweenPolyCollection
from matplotlib.colors import to_hex
from matplotlib.figure import Figure

from ctkd_study.analysis.strategies import Cost
from ctkd_study.analysis.verdict import Mean
from ctkd_study.records.results import History
from ctkd_study.report import figures, interval_figures
from tests.support.comparisons import CASES, HISTORIES
from tests.support.figures import points, size, spines, style
from tests.support.tabulated import arm, history, quickstart

INK = "#010203"
BLUE, ORANGE, GREEN, PINK = "#0f8fc4", "#d97706", "#2a9d6f", "#c2649a"
SVG = "{http://www.w3.org/2000/svg}"


def drawn(figure: Figure | None) -> Figure:
    assert figure is not None
    return figure


def legend(figure: Figure) -> list[str]:
    return [text.get_text() for text in figure.legends[0].get_texts()]


def test_accuracy_against_cost_has_a_point_with_its_interval_per_strategy() -> None:
    study = quickstart()
    grid, curriculum, instance, alone = study.summaries
    made_up = (
        dataclasses.replace(grid, cost=Cost(50.0, 1.0), test_top1=Mean(96.0, 95.5, 96.5, ())),
        dataclasses.replace(curriculum, cost=Cost(10.0, 1.0), test_top1=Mean(95.0, None, None, ())),
        dataclasses.replace(instance, cost=None),
        dataclasses.replace(alone, test_top1=Mean(None, None, None, ())),
    )
    figure = drawn(figures.accuracy_by_cost(dataclasses.replace(study, summaries=made_up)))
    (axes,) = figure.axes
    assert legend(figure) == ["grid", "global"]
    first, second = axes.containers
    assert points(first[0]) == [(50.0, 96.0)]
    (bar,) = first[2]
    assert bar.get_segments()[0].tolist() == [[50.0, 95.5], [50.0, 96.5]]
    assert points(second[0]) == [(10.0, 95.0)]
    assert [(each[0].get_marker(), each[0].get_color()) for each in (first, second)] == [("o", BLUE), ("s", ORANGE)]
    assert (axes.get_xlabel(), axes.get_ylabel()) == (
        "device-seconds to carry the strategy out once",
        "test accuracy, %",
    )
    assert axes.get_xlim()[0] == 0
    assert size(figure) == (4.4, 3.12)
    assert style(first[0]) == (BLUE, "None", 1.5, "o", 7.0, None)
    assert (first[0].get_markerfacecolor(), first[0].get_markeredgewidth()) == (BLUE, 2)
    assert [cap.get_markersize() for cap in first[1]] == [8.0, 8.0]
    assert axes.get_xlim() == pytest.approx((0, 54)), "a tenth of 40 beside the last point"
    assert axes.get_ylim() == pytest.approx((95 - 0.15 * 1.5, 96.5 + 0.15 * 1.5))


def test_temperatures_are_means_over_seeds_with_their_span() -> None:
    paths = [
        history("global", 0, [15.0, 14.0, 12.0]),
        history("global", 1, [15.0, 12.0]),
        history("instance", 0, [3.0]),
    ]
    second = dataclasses.replace(paths[0], setting="λ=3")
    bare = History("global", "none", 0, ({"epoch": 1, "temperature": None},))
    unknown = history("gone", 0, [5.0])
    figure = drawn(figures.temperatures(quickstart(), [*paths, second, bare, unknown]))
    upper, lower = figure.axes
    assert [points(line) for line in upper.get_lines()] == [
        [(1, 15.0), (2, 13.0), (3, 12.0)],
        [(1, 3.0)],
        [(1, 15.0), (2, 14.0), (3, 12.0)],
    ]
    (strength, *_) = lower.get_lines()
    assert np.asarray(strength.get_xdata()).tolist() == [1, 2, 3]
    assert np.asarray(strength.get_ydata()).tolist() == pytest.approx([(1 / 3 + 1 / 2) / 2, (2 / 3 + 1) / 2, 1.0])
    plain = ("None", 6.0, None)
    for axes in (upper, lower):
        styles = [style(line) for line in axes.get_lines()]
        assert styles == [(ORANGE, "-", 2.0, *plain), (GREEN, "--", 2.0, *plain), (ORANGE, ":", 2.0, *plain)]
    assert legend(figure) == ["global", "instance", "global, λ=3"]
    span = next(each for each in upper.collections if isinstance(each, FillBetweenPolyCollection))
    corners = {(x, y) for x, y in np.asarray(span.get_paths()[0].vertices).tolist()}
    assert corners == {(1, 15), (2, 12), (2, 14), (3, 12)}
    assert to_hex(np.asarray(span.get_facecolor())[0]) == ORANGE
    assert (span.get_alpha(), np.asarray(span.get_linewidth()).tolist()) == (0.2, [0])
    heights = [axes.get_gridspec().get_height_ratios() for axes in (upper, lower)]  # type: ignore[union-attr]
    assert (size(figure), heights) == ((4.4, 4.34), [[2, 1], [2, 1]])
    assert upper.get_shared_x_axes().joined(upper, lower)
    assert (upper.get_ylabel(), lower.get_ylabel(), lower.get_xlabel()) == ("T, mean of the epoch", "λ", "epoch")
    assert np.diff(lower.get_xticks()) == pytest.approx(1), "epochs are whole numbers"


def test_there_is_no_figure_of_what_there_is_nothing_of() -> None:
    assert figures.accuracy_by_cost(CASES["empty"]) is None
    assert figures.temperatures(CASES["quickstart"], []) is None
    assert figures.temperatures(CASES["quickstart"], [dataclasses.replace(HISTORIES[0], rows=())]) is None


def every_figure() -> dict[str, Figure]:
    study = CASES["quickstart"]
    return {
        "differences": drawn(interval_figures.differences(study)),
        "cost": drawn(figures.accuracy_by_cost(study)),
        "temperatures": drawn(figures.temperatures(study, HISTORIES)),
    }


def test_an_svg_takes_the_pages_colour_keeps_text_as_text_and_is_the_same_each_time() -> None:
    again = every_figure()
    for name, figure in every_figure().items():
        svg = figures.svg(figure, name)
        root = ElementTree.fromstring(svg)
        assert svg == figures.svg(again[name], name)
        assert "fill: currentColor" in svg
        assert not {"#000000", "#010203", "<metadata", "<?xml", "#ffffff"} & {
            part for part in ("#000000", "#010203", "<metadata", "<?xml", "#ffffff") if part in svg
        }
        texts = {"".join(element.itertext()).strip() for element in root.iter(f"{SVG}text")}
        assert {"global", "global: not worse"} & texts
        ids = [element.attrib["id"] for element in root.iter() if "id" in element.attrib]
        assert ids
        assert all(each.startswith(f"{name}-") for each in ids)


def test_colours_dashes_and_markers_repeat_when_they_run_out() -> None:
    study = quickstart()
    many = [
        dataclasses.replace(
            study.summaries[1], strategy=dataclasses.replace(study.summaries[1].strategy, arm=arm(f"a{number}"))
        )
        for number in range(8)
    ]
    found = dataclasses.replace(study, summaries=tuple(many))
    (axes,) = drawn(figures.accuracy_by_cost(found)).axes
    assert [each[0].get_marker() for each in axes.containers] == ["o", "s", "^", "D", "v", "P", "o", "s"]
    colours = [each[0].get_color() for each in axes.containers]
    assert colours == [BLUE, ORANGE, GREEN, PINK, "#8b7bd8", "#a08a2c", BLUE, ORANGE]
    paths = [dataclasses.replace(history("a1", 0, [3.0, 4.0]), setting=f"λ={number}") for number in range(5)]
    upper, _ = drawn(figures.temperatures(found, paths)).axes
    assert [line.get_linestyle() for line in upper.get_lines()] == ["-", "--", ":", "-.", "-"]


def test_the_figures_are_bare_transparent_and_have_their_legend_outside() -> None:
    for name, figure in every_figure().items():
        figures.svg(figure, name)
        assert figure.patch.get_alpha() == 0
        assert type(figure.get_layout_engine()).__name__ == "ConstrainedLayoutEngine"
        for axes in figure.axes:
            assert spines(axes) == ({"bottom"} if name == "differences" else {"left", "bottom"})
            assert axes.patch.get_alpha() == 0
        for shown in figure.legends:
            assert not shown.get_frame_on()
            assert shown.get_window_extent().y1 < min(axes.get_window_extent().y0 for axes in figure.axes)
