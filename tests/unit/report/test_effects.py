"""The report of an ablation: table, sentence and figure."""

import dataclasses
from pathlib import Path

import numpy as np
import pytest

from ctkd_study.analysis.anova import Effect, Share, Shares
from ctkd_study.analysis.factors import Design
from ctkd_study.analysis.importance import EVALUATOR
from ctkd_study.errors import StudyError
from ctkd_study.report import effects
from tests.support.figures import points, size, spines, style, ticks

KNOWN = [
    Effect("end", "0.1", -0.25, -0.5, 0.0, -0.5, False, 3),
    Effect("end", "a|b", 0.25, 0.0, 0.5, 0.5, True, 3),
    Effect("kind", "cosine", 0.125, 0.0, 0.25, None, False, 9),
]
DESIGN = Design((0, 1, 2), {"end": ("1", "2", "3"), "kind": ("a", "b")}, np.zeros((3, 3, 2)), None)


def test_the_table() -> None:
    assert effects.table(KNOWN).splitlines() == [
        "| option | value | settings | validation minus mean | test minus mean | simultaneous 95 % interval |",
        "|---|---|---|---|---|---|",
        "| `end` | 0.1 | 3 | -0.50 | -0.25 | -0.50 to +0.00 |",
        r"| `end` | a\|b (chosen) | 3 | +0.50 | +0.25 | +0.00 to +0.50 |",
        "| `kind` | cosine | 9 | - | +0.12 | +0.00 to +0.25 |",
    ]


@pytest.mark.parametrize(
    ("found", "said"),
    [
        ([("end", 0.1, 0.34), ("kind", 0.2, 0.06)], "Not told apart from noise: end, kind."),
        ([("end", 0.2, 0.05), ("kind", 0.1, 0.06)], "Shown to matter: end. Not told apart from noise: kind."),
        ([("end", 0.2, 0.01), ("kind", 0.3, 0.02)], "Shown to matter, in this order: kind, end."),
    ],
)
def test_only_what_is_shown_is_ranked(found: list[tuple[str, float, float]], said: str) -> None:
    text = effects.sentence(Shares(tuple(Share(*each) for each in found), 0.25), DESIGN)
    assert text.startswith(f"{said} Shares of the variance of test accuracy (ω²) over 6 settings x 3 seeds: end ")


def test_a_design_that_can_show_nothing_says_so() -> None:
    text = effects.sentence(Shares((Share("end", 0.9, 0.0625, 0.0625),), 0.0), DESIGN)
    assert "noise: end. Too few seeds to show end: no p below 0.062 is possible. Shares" in text
    assert "Too few" not in effects.sentence(Shares((Share("end", 0.9, 0.06, 0.05),), 0.0), DESIGN)


def test_the_sentence() -> None:
    found = Shares((Share("end", 0.6, 0.0003), Share("kind", 0.0, 0.7)), 0.25)
    assert effects.sentence(found, dataclasses.replace(DESIGN, dropped=(4, 7))) == (
        "Shown to matter: end. Not told apart from noise: kind. Shares of the variance of test accuracy (ω²) over 6 "
        "settings x 3 seeds: end 60 % (p < 0.001); kind 0 % (p 0.700); seed 25 %; interaction and noise 15 %. p comes "
        "from permutations within seeds, adjusted for the number of options; an option is shown to matter if p is at "
        "most 0.05. Validation chooses values (chosen); the test set reports what they are worth. Left out, because a "
        "setting has no result there: seeds 4, 7."
    )
    assert effects.sentence(Shares((), 1.0), DESIGN) == "No option varied."


def test_trials_that_are_not_balanced_are_described_only() -> None:
    assert effects.unbalanced_sentence({"seed": 0.4, "end": 0.4}, 36) == (
        "Nothing is tested: that needs every combination of the options, at two seeds or more. A description only: "
        "shares of the variance of test accuracy over 36 trials: seed 40 %, end 40 %; interaction and noise 20 %. By "
        f"{EVALUATOR}, which does not tell an effect from noise."
    )
    assert "; interaction and noise 0 %." in effects.unbalanced_sentence({"end": 0.9, "kind": 0.2}, 36)


def test_the_figure_has_a_panel_per_option() -> None:
    figure = effects.draw(KNOWN)
    end, kind = figure.axes
    zero, *drawn = [points(line) for line in end.get_lines()]
    assert zero == [(0, 0), (1, 0)]
    assert drawn == [[(0, -0.5), (0, 0.0)], [(0, -0.25)], [(1, 0.0), (1, 0.5)], [(1, 0.25)]]
    assert [points(line) for line in kind.get_lines()] == [zero, [(0, 0.0), (0, 0.25)], [(0, 0.125)]]
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
