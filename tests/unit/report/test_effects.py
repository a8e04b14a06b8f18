"""The report of an ablation: table, sentence and figure."""

from pathlib import Path

import pytest

from ctkd_study.analysis.importance import EVALUATOR, Effect
from ctkd_study.errors import StudyError
from ctkd_study.report import effects
from tests.support.figures import points, size, spines, style, ticks

KNOWN = [
    Effect("end", "0.1", -0.25, -0.5, 0.0, 3),
    Effect("end", "a|b", 0.25, 0.0, 0.5, 3),
    Effect("kind", "cosine", 0.125, None, None, 9),
]


def test_the_table() -> None:
    assert effects.table(KNOWN).splitlines() == [
        "| option | value | settings | test accuracy minus the mean, points | 95 % interval |",
        "|---|---|---|---|---|",
        "| `end` | 0.1 | 3 | -0.25 | -0.50 to +0.00 |",
        r"| `end` | a\|b | 3 | +0.25 | +0.00 to +0.50 |",
        "| `kind` | cosine | 9 | +0.12 | - |",
    ]


@pytest.mark.parametrize(
    ("shares", "said", "listed", "together"),
    [
        ({"end": 0.6, "seed": 0.25, "kind": 0.05}, "Of the options, end mattered most, and more than the seed.",
         "end 60 %, seed 25 %, kind 5 %", 10),
        ({"seed": 0.5, "end": 0.25}, "Of the options, end mattered most, but no more than the seed.",
         "seed 50 %, end 25 %", 25),
        ({"seed": 0.4, "end": 0.4}, "Of the options, end mattered most, but no more than the seed.",
         "seed 40 %, end 40 %", 20),
        ({"end": 0.9, "kind": 0.2}, "Of the options, end mattered most.", "end 90 %, kind 20 %", 0),
        ({"seed": 1.0}, "No option varied.", "seed 100 %", 0),
    ],
)  # fmt: skip
def test_the_sentence(shares: dict[str, float], said: str, listed: str, together: int) -> None:
    assert effects.sentence(shares, 36) == (
        f"{said} Shares of the variance of test accuracy over 36 trials: {listed}; several of them together "
        f"{together} %. By {EVALUATOR}."
    )


def test_the_figure_has_a_panel_per_option() -> None:
    figure = effects.draw(KNOWN)
    end, kind = figure.axes
    zero, *drawn = [points(line) for line in end.get_lines()]
    assert zero == [(0, 0), (1, 0)]
    assert drawn == [[(0, -0.5), (0, 0.0)], [(0, -0.25)], [(1, 0.0), (1, 0.5)], [(1, 0.25)]]
    assert [points(line) for line in kind.get_lines()] == [zero, [(0, 0.125)]]
    assert [style(line) for line in end.get_lines()[:3]] == [
        ("#000000", "-", 0.8, "None", 6.0, None),
        ("#1f77b4", "-", 3.0, "None", 6.0, 0.6),
        ("#1f77b4", "None", 1.5, "D", 6.0, None),
    ]
    assert end.get_lines()[1].get_solid_capstyle() == "butt"
    assert spines(end) == spines(kind) == {"left", "bottom"}
    assert end.get_shared_y_axes().joined(end, kind)
    assert type(figure.get_layout_engine()).__name__ == "ConstrainedLayoutEngine"
    assert size(effects.draw(KNOWN[:1])) == (4.0, 3.0)
    assert ticks(end, "x") == [(0, "0.1"), (1, "a|b")]
    assert (end.get_xlabel(), kind.get_xlabel()) == ("end", "kind")
    assert (end.get_xlim(), kind.get_xlim()) == ((-0.6, 1.6), (-0.6, 0.6))
    assert end.get_ylabel() == "test accuracy\nminus the mean, points"
    assert size(figure) == (5.8, 3.0)


def test_the_file(tmp_path: Path) -> None:
    file = tmp_path / "effects.svg"
    effects.plot(KNOWN, file)
    for label in ("end", "kind", "0.1", "a|b", "cosine"):
        assert f">{label}<" in file.read_text()
    with pytest.raises(StudyError, match="an option that varies"):
        effects.plot([], file)
