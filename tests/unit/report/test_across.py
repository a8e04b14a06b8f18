"""The report of several studies side by side: literal texts, the keys of its JSON, and nothing hostile in any form."""

import dataclasses
import io
import json
import math
from typing import Any

import pytest
from rich.console import Console

from ctkd_study.analysis.across import Across, across
from ctkd_study.analysis.verdict import compare
from ctkd_study.report import html, markdown, terminal
from ctkd_study.report.across import LIMITS, as_json, notes, sentence, table
from ctkd_study.report.formatting import difference
from tests.support.tabulated import arm, question, quickstart, strategies


def pair(**second: Any) -> Across:
    """The quickstart, and another study of the same arms with fewer seeds."""
    return across([quickstart(), quickstart(5, study="clothes", **second)])


def lone() -> Across:
    """Two studies without a strategy in common."""
    one = compare(question(study="one", seeds=(0, 1, 2)), strategies({"base": [1.0, 2, 3], "a": [1.0, 2, 3]}))
    two = compare(question(study="two", seeds=(0, 1, 2)), strategies({"base": [1.0, 2, 3], "b": [1.0, 2, 3]}))
    return across([one, two])


def test_the_table_has_a_row_per_study_and_one_for_the_mean() -> None:
    found = pair()
    content, ours = table(found, "wide"), found.strategies[0].pairs[0]
    assert content.titles == ("strategy", "study", "minus grid", "verdict", "P(better)", "TFLOP ratio")
    first, second, mean = content.rows[:3]
    assert first[:2] == ("global", "quickstart")
    assert first[2:] == (difference(ours.difference, ours.low, ours.high), ours.verdict.replace("_", " "), "", "")
    assert second[:2] == ("", "clothes")
    assert mean[:2] == ("", "mean")
    assert mean[4].startswith("0.")
    assert mean[5] == "0.20"
    assert [row[0] for row in content.rows] == ["global", "", "", "instance", "", "", "student_alone", "", ""]
    narrow = table(pair(), "narrow")
    assert narrow.titles == content.titles[:4]
    assert narrow.rows == tuple(row[:4] for row in content.rows)


def test_the_sentence_says_what_the_intervals_do_not_know() -> None:
    text = sentence(pair())
    assert text.startswith("Mean over 2 studies (quickstart, clothes): global minus grid is -0.25 points (95 % ")
    assert "; global is the better one at a new seed with probability 0." in text
    assert ", at 0.20 times the TFLOP. instance minus grid is " in text
    assert text.endswith(LIMITS)
    assert sentence(lone()) == "No strategy can be averaged over 2 studies (one, two)."


def test_what_differs_between_the_studies_is_noted() -> None:
    assert notes(pair()) == ["The notes of a study by itself: compare it alone."]
    assert notes(pair(margin=0.5, seeds_planned=10))[:2] == [
        "The margins differ: 1.5 in quickstart, 0.5 in clothes.",
        "clothes is not finished: this is an interim look at it.",
    ]
    assert notes(lone())[:2] == ["a is left out: two has no such arm.", "b is left out: one has no such arm."]


def test_arms_of_one_name_with_other_keys_are_noted() -> None:
    first = quickstart()
    changed = [
        dataclasses.replace(
            each,
            strategy=dataclasses.replace(each.strategy, arm=dataclasses.replace(each.strategy.arm, block={"x": 1})),
        )
        if each.strategy.name in ("grid", "instance")
        else each
        for each in first.summaries
    ]
    other = dataclasses.replace(quickstart(study="other"), summaries=tuple(changed))
    assert notes(across([first, other]))[:2] == [
        "grid is not the same in all studies: the keys of its arm differ.",
        "instance is not the same in all studies: the keys of its arm differ.",
    ]


NUMBER, SOME, TEXT = (int, float), (int, float, type(None)), str
AVERAGED = {"mean": NUMBER, "low": NUMBER, "high": NUMBER}
SHAPE: dict[str, Any] = {
    "studies": [
        {
            "study": TEXT,
            "data": TEXT,
            "teacher": (str, type(None)),
            "margin": NUMBER,
            "seeds": [int],
            "interim": bool,
            "looks": int,
        }
    ],
    "baseline": TEXT,
    "metric": TEXT,
    "strategies": [
        {
            "name": TEXT,
            "difference": AVERAGED,
            "probability_of_improvement": AVERAGED,
            "tflop_ratio": SOME,
            "studies": [
                {
                    "study": TEXT,
                    "difference": SOME,
                    "low": SOME,
                    "high": SOME,
                    "verdict": TEXT,
                    "seeds": [int],
                    "per_seed": [SOME],
                }
            ],
        }
    ],
    "left_out": [{"name": TEXT, "why": TEXT}],
    "resamples": int,
    "notes": [TEXT],
    "summary": TEXT,
}


def check(value: Any, shape: Any, at: str = "") -> None:
    if isinstance(shape, dict):
        assert set(value) == set(shape), at
        for key, inner in shape.items():
            check(value[key], inner, f"{at}.{key}")
    elif isinstance(shape, list):
        for item in value:
            check(item, shape[0], f"{at}[]")
    else:
        assert isinstance(value, shape), f"{at} is {value!r}"
        assert not isinstance(value, float) or math.isfinite(value), at


@pytest.mark.parametrize("found", [pair(), lone()], ids=["in common", "nothing in common"])
def test_the_object_has_exactly_the_contracts_keys(found: Across) -> None:
    content = as_json(found)
    check(content, SHAPE)
    assert json.loads(json.dumps(content, allow_nan=False)) == content


@pytest.mark.parametrize("found", [pair(margin=0.5), lone()], ids=["in common", "nothing in common"])
def test_all_forms_say_the_same(found: Across) -> None:
    console = Console(file=io.StringIO(), width=200)
    terminal.show_across(found, console)
    printed = console.file.getvalue()  # type: ignore[attr-defined]
    page, text = html.page_across(found), markdown.document_across(found)
    for said in (sentence(found), *notes(found)):
        assert said in printed
        assert html.escape(said) in page
        assert markdown.escape(said) in text
    for row in table(found, "wide").rows:
        assert markdown.table([], [[*map(markdown.escape, row)]]).splitlines()[-1] in text
    assert page.count("<svg") == bool(found.strategies)
    assert ("P(better)" in page) == bool(found.strategies)


def test_a_terminal_of_80_columns_breaks_no_number() -> None:
    console = Console(file=io.StringIO(), width=80)
    terminal.show_across(pair(), console)
    printed = console.file.getvalue()  # type: ignore[attr-defined]
    for row in table(pair(), "narrow").rows:
        assert any(row[2] in line and row[3] in line for line in printed.splitlines())


def test_names_are_text_and_nothing_else() -> None:
    hostile = "<b>|[red]$x_1$[/]\x1b[31m"
    values = {hostile: [90.0, 91, 92], "other": [91.0, 91, 91]}
    asked = (question(study=f"{name}{hostile}", seeds=(0, 1, 2)) for name in ("one", "two"))
    found = across([compare(each, strategies(values, [arm(hostile)])) for each in asked])
    console = Console(file=io.StringIO(), width=200)
    terminal.show_across(found, console)
    for text in (console.file.getvalue(), html.page_across(found), markdown.document_across(found)):  # type: ignore[attr-defined]
        assert "\x1b" not in text
    assert "<b>" not in html.page_across(found)
    assert "<b>" not in markdown.document_across(found)
