"""What a study would need, as text and as JSON."""

import io
import json
import math

import pytest
from rich.console import Console

from ctkd_study.analysis import Rule, Spread, StudyDesign, design
from ctkd_study.report import design_as_json, show_design

FIXED, UNTIL = (Rule(looks, "grid", ("global",), margin=1.5) for looks in ((20,), tuple(range(5, 21))))
COSTS = {"grid": 3600.0, "global": 720.0, "alone": 360.0}


@pytest.fixture(scope="module")
def found() -> StudyDesign:
    return design(FIXED, UNTIL, (Spread(1.0, "published"), Spread(2.1, "published")), COSTS)


def text_of(found: StudyDesign, price: float | None = None) -> list[str]:
    stream = io.StringIO()
    show_design(found, Console(file=stream, width=80), price)
    return [line.rstrip() for line in stream.getvalue().splitlines()]


def test_each_spread_has_a_table_with_both_designs(found: StudyDesign) -> None:
    text = text_of(found, 2.0)
    assert text[0].startswith(
        "global minus grid, margin 1.5 points. Fixed: 20 seeds. Until decided: 16 looks, at 5 to 20"
    )
    assert "If the differences spread by 1 points over seeds (published):" in text
    row = next(place for place, line in enumerate(text) if "+0.00" in line)
    fixed, until = text[row].split(), text[row + 1].split()
    assert fixed[:5] == ["+0.00", "fixed", "20.0", "26.0", "52.0"], "20 seeds of 1.3 device-hours, at 2 an hour"
    assert until[0] == "until"
    assert 8 < float(until[1]) < 10
    assert float(until[2]) == pytest.approx(1.2 * float(until[1]) + 0.5, abs=0.2), "a student alone runs 5 seeds"
    assert all(len(line) <= 80 for line in text[2:-1])


def test_json_has_every_prospect_and_only_finite_numbers(found: StudyDesign) -> None:
    content = design_as_json(found, "quickstart", 2.0)
    assert json.loads(json.dumps(content, allow_nan=False)) == content
    assert content["designs"] == {"fixed": [20], "until": list(range(5, 21))}
    assert len(content["prospects"]) == 2 * 7 * 2
    for each in content["prospects"]:
        assert math.fsum(each["chances"].values()) == pytest.approx(1)
        assert each["money"] == pytest.approx(each["device_seconds"] / 1800)
    assert design_as_json(found, "quickstart")["prospects"][0]["money"] is None


def test_unknown_costs_are_dashes_and_names_are_printed_as_they_are() -> None:
    fixed, until = (Rule(looks, "[red]", ("[x](y)\x1b[31m",), margin=1.0) for looks in ((5,), (3, 5)))
    text = "\n".join(text_of(design(fixed, until, (Spread(1.0, "published"),), {"[red]": None}), 2.0))
    assert "[x](y)" in text
    assert "[red]" in text
    assert "\x1b" not in text
    rows = [line.split() for line in text.splitlines() if "fixed " in line]
    assert [row[3:5] for row in rows] == [["-", "-"]] * 7
