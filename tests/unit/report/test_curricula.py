"""What `plan --plot` draws: each distinct course of λ and of a scheduled T once, with all that share it."""

from pathlib import Path
from typing import Any

import matplotlib.image
import numpy as np
import pytest
from click.testing import CliRunner

from ctkd_study import StudyError
from ctkd_study.cli import main
from ctkd_study.report import curricula
from ctkd_study.spec import StudySpec, from_mapping
from tests.support.figures import points, size, spines, style
from tests.support.studies import file_with, plain

LEARNS = "  learns: {temperature: {kind: global}}"
LEARNED = {"temperature": {"kind": "global"}}
LINEAR = {"kind": "linear", "epochs": 4}
ARMS: dict[str, Any] = {
    "fixed": {"temperature": {"kind": "fixed", "value": 4}},
    "one": {**LEARNED, "curriculum": LINEAR},
    "same": {"temperature": {"kind": "instance"}, "curriculum": LINEAR},
    "ends": {**LEARNED, "curriculum": {**LINEAR, "end": {"grid": [1, 2]}}},
    "rising": {"temperature": {"kind": "schedule", "start": 1, "end": 5, "path": "linear", "epochs": 3}},
    "short": {**LEARNED, "curriculum": LINEAR, "recipe": {"epochs": 2}},
}


def study(**arms: Any) -> StudySpec:
    return from_mapping(plain(recipe={"epochs": 5}, arms=arms or ARMS))


def test_each_course_is_there_once() -> None:
    assert {course.label: course.values for course in curricula.strengths(study())} == {
        "one; same; ends: end=1": (0.25, 0.5, 0.75, 1.0, 1.0),
        "ends: end=2": (0.5, 1.0, 1.5, 2.0, 2.0),
        "short": (0.25, 0.5),
    }
    assert [(course.label, course.values) for course in curricula.temperatures(study())] == [
        ("rising", (1.0, 3.0, 5.0, 5.0, 5.0))
    ]


@pytest.mark.parametrize("ending", ["svg", "png", "pdf"])
def test_the_ending_of_the_file_is_its_format(ending: str, tmp_path: Path) -> None:
    file = tmp_path / f"plan.{ending}"
    curricula.plot(study(), file)
    content = file.read_bytes()
    assert content.startswith({"svg": b"<?xml", "png": b"\x89PNG", "pdf": b"%PDF"}[ending])
    curricula.plot(study(), file)
    assert file.read_bytes() == content, "the same study gives the same file"
    assert b"Date" not in content, "which needs no date in it"


def test_every_line_is_named_and_drawn(tmp_path: Path) -> None:
    file = tmp_path / "plan.svg"
    curricula.plot(study(), file)
    text = file.read_text()
    for label in ("one; same; ends: end=1", "ends: end=2", "short", "rising", "epoch", "λ"):
        assert f">{label}<" in text
    curricula.plot(study(), file.with_suffix(".png"))
    pixels = matplotlib.image.imread(file.with_suffix(".png"))
    assert pixels.std() > 0.05


def test_the_figure_has_a_panel_of_each_quantity() -> None:
    figure = curricula.draw(study())
    strengths, temperatures = figure.axes
    assert [points(line) for line in strengths.get_lines()] == [
        [(1, 0.25), (2, 0.5), (3, 0.75), (4, 1.0), (5, 1.0)],
        [(1, 0.5), (2, 1.0), (3, 1.5), (4, 2.0), (5, 2.0)],
        [(1, 0.25), (2, 0.5)],
    ]
    assert [style(line) for line in strengths.get_lines()] == [
        (colour, "-", 1.5, ".", 6.0, None) for colour in ("#1f77b4", "#ff7f0e", "#2ca02c")
    ]
    assert [line.get_label() for line in strengths.get_lines()] == ["one; same; ends: end=1", "ends: end=2", "short"]
    assert points(temperatures.get_lines()[0]) == [(1, 1.0), (2, 3.0), (3, 5.0), (4, 5.0), (5, 5.0)]
    assert (strengths.get_ylabel(), temperatures.get_ylabel(), temperatures.get_xlabel()) == ("λ", "T", "epoch")
    assert (strengths.get_ylim()[0], temperatures.get_ylim()[0]) == (0, 0)
    assert np.diff(temperatures.get_xticks()) == pytest.approx(1), "epochs are whole numbers"
    assert strengths.get_shared_x_axes().joined(strengths, temperatures)
    assert type(figure.get_layout_engine()).__name__ == "ConstrainedLayoutEngine"
    assert size(figure) == (8.6, 6.0)
    for axes in figure.axes:
        legend = axes.get_legend()
        assert legend is not None
        assert (legend.get_frame_on(), legend.get_texts()[0].get_fontsize()) == (False, 9)
        assert legend.get_window_extent().x0 > axes.get_window_extent().x1
        assert spines(axes) == {"left", "bottom"}


def test_many_courses_are_told_apart_and_long_ones_have_no_markers() -> None:
    ends = [1 + number / 10 for number in range(41)]
    many = {**LEARNED, "curriculum": {**LINEAR, "end": {"grid": ends}}}
    spec = from_mapping(plain(recipe={"epochs": 41}, arms={"many": many}))
    figure = curricula.draw(spec)
    (axes,) = figure.axes
    lines = axes.get_lines()
    places = (0, 9, 10, 20, 30, 40)
    first, last = "#1f77b4", "#17becf"
    plain_line = (1.5, "", 6.0, None)
    assert [style(lines[place]) for place in places] == [
        *((colour, "-", *plain_line) for colour in (first, last)),
        *((first, dashes, *plain_line) for dashes in ("--", ":", "-.", "-")),
    ]
    assert size(figure) == (8.6, 9.82)
    short = curricula.draw(from_mapping(plain(recipe={"epochs": 40}, arms={"one": ARMS["one"]})))
    assert short.axes[0].get_lines()[0].get_marker() == "."
    assert size(short) == (8.6, 3.0)


@pytest.mark.parametrize(
    ("arms", "name", "rule"),
    [
        ({"fixed": ARMS["fixed"]}, "plan.svg", "must be a curriculum or a scheduled temperature"),
        (ARMS, "plan.txt", r"must end in one of .*\.svg"),
        (ARMS, "plan", r"must end in one of .*\.svg"),
        (ARMS, "nowhere/plan.svg", "cannot be written: No such file or directory"),
    ],
)
def test_refusals(arms: dict[str, Any], name: str, rule: str, tmp_path: Path) -> None:
    with pytest.raises(StudyError, match=rule):
        curricula.plot(study(**arms), tmp_path / name)


def test_the_command_draws_before_it_measures(tmp_path: Path) -> None:
    file, figure = tmp_path / "study.yaml", tmp_path / "plan.svg"
    file.write_text(file_with({5: "recipe: {epochs: 3, lr: 1000}", 10: LEARNS}))
    result = CliRunner().invoke(main, ["plan", str(file), "--plot", str(figure), "--storage", str(tmp_path)])
    assert result.exit_code == 1, "its timed steps diverge"
    assert figure.exists()
    file.write_text(file_with({10: LEARNS}))
    figure.unlink()
    result = CliRunner().invoke(main, ["plan", str(file), "--plot", str(figure), "--storage", str(tmp_path)])
    assert (result.exit_code, figure.exists()) == (0, True)
    assert "3 trials" in result.output
