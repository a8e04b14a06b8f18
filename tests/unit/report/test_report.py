"""What people and programs read of a comparison: JSON, terminal, page."""

import dataclasses
import io
import json
import math
import re
from collections.abc import Callable
from html.parser import HTMLParser
from typing import Any
from xml.etree import ElementTree

import pytest
from rich.console import Console

from ctkd_study.analysis.strategies import ArmPlan, evaluate
from ctkd_study.analysis.verdict import Comparison, TeacherFacts, compare
from ctkd_study.records.results import History
from ctkd_study.report import figures, formatting, terminal
from ctkd_study.report.as_json import comparison_as_json
from ctkd_study.report.html import page
from tests.support.tabulated import failed, history, question, quickstart, strategies, trial

HOSTILE = '<script>alert("1")</script> & [red]$x_1$[/]'


def battered() -> Comparison:
    """A study in which about everything that can go wrong has."""
    arms = (
        ArmPlan("grid", ("T=1", "T=4"), fixed=True),
        ArmPlan("global", ("global",), overrides_student=True, overrides_epochs=True),
        ArmPlan("instance", ("instance",)),
    )
    results = [failed("grid", "T=1", seed, reason=HOSTILE) for seed in range(12)]
    results += [
        trial("grid", "T=4", seed, 90, 90, wasted_device_seconds=0.5, remarks=("trained on a toaster",))
        for seed in range(12)
    ]
    results += [failed("global", "global", 0), failed("global", "global", 1)]
    results += [trial("global", "global", seed, 91, 91) for seed in range(2, 12)]
    results += [trial("instance", "instance", seed, 90, 90 + 40 * (-1) ** seed) for seed in range(11)]
    asked = question(
        seeds=tuple(range(12)),
        text=HOSTILE,
        test=None,
        teacher=TeacherFacts(HOSTILE, may_have_seen_validation=True),
        seeds_planned=20,
    )
    return compare(asked, evaluate(arms, asked.seeds, results, "validation"), looks=3)


def empty() -> Comparison:
    """A study of which nothing has run."""
    return compare(question(), evaluate([ArmPlan("grid", ("T=1", "T=4"), fixed=True)], range(8), [], "validation"))


CASES = {
    "quickstart": quickstart(price_per_device_hour=2.0),
    "paper": quickstart(protocol="paper"),
    "two seeds": quickstart(2),
    "battered": battered(),
    "empty": empty(),
}
HISTORIES = [history(arm, seed, [15.0, 14.0 - seed, 12.0]) for arm in ("global", "instance") for seed in range(2)]


@pytest.fixture(params=CASES, name="comparison")
def each_case(request: pytest.FixtureRequest) -> Comparison:
    return CASES[request.param]


# -- JSON ------------------------------------------------------------------------------------------------------------

NUMBER, SOME, TEXT, FLAG = (float, int), (float, int, type(None)), str, bool
MEAN = {"mean": SOME, "low": SOME, "high": SOME, "per_seed": [SOME]}
COST = {"device_seconds": SOME, "tflop": SOME}
SHAPE: dict[str, Any] = {
    "study": TEXT,
    "question": TEXT,
    "protocol": TEXT,
    "margin": NUMBER,
    "baseline": TEXT,
    "seeds": [int],
    "seeds_planned": (int, type(None)),
    "interim": FLAG,
    "looks": int,
    "strategies": [
        {
            "name": TEXT,
            "settings": [TEXT],
            "trials": int,
            "failed": int,
            "missing": int,
            "dropped_seeds": [int],
            "overrides_student": FLAG,
            "overrides_epochs": FLAG,
            "selected": [(str, type(None))],
            "val_top1": MEAN,
            "test_top1": MEAN,
            "cost": {**COST, "money": SOME},
            "cost_ratio": COST,
            "wasted_device_seconds": NUMBER,
        }
    ],
    "pairwise": [
        {
            "a": TEXT,
            "b": TEXT,
            "difference": SOME,
            "low": SOME,
            "high": SOME,
            "p_value": SOME,
            "verdict": TEXT,
            "more_seeds": (int, type(None)),
            "seeds": [int],
            "per_seed": [SOME],
            "dropped": int,
        }
    ],
    "teacher": {
        "description": TEXT,
        "test_top1": SOME,
        "cost": (dict, type(None)),
        "may_have_seen_validation": FLAG,
        "charged": FLAG,
    },
    "bank": (dict, type(None)),
    "verdict": TEXT,
}


def check(value: Any, shape: Any, at: str = "") -> None:
    """Sees to it that exactly the keys of the shape are there, with its types."""
    if isinstance(shape, dict):
        assert set(value) == set(shape), at
        for key, inner in shape.items():
            check(value[key], inner, f"{at}.{key}")
    elif isinstance(shape, list):
        assert isinstance(value, list), at
        for item in value:
            check(item, shape[0], f"{at}[]")
    else:
        assert isinstance(value, shape), f"{at} is {value!r}"
        assert not isinstance(value, float) or math.isfinite(value), at


def test_the_object_has_exactly_the_contracts_keys_and_only_finite_numbers(comparison: Comparison) -> None:
    content = comparison_as_json(comparison)
    check(content, SHAPE)
    assert json.loads(json.dumps(content, allow_nan=False)) == content


def test_lists_by_seed_are_as_long_as_the_seeds(comparison: Comparison) -> None:
    content = comparison_as_json(comparison)
    count = len(content["seeds"])
    for strategy in content["strategies"]:
        by_seed = (strategy["selected"], strategy["val_top1"]["per_seed"], strategy["test_top1"]["per_seed"])
        assert [len(values) for values in by_seed] == [count] * 3
    assert all(len(pair["per_seed"]) == count for pair in content["pairwise"])


def test_the_object_of_the_quickstart() -> None:
    content = comparison_as_json(CASES["quickstart"])
    grid, curriculum = content["strategies"][:2]
    assert grid["settings"] == ["T=1", "T=2", "T=4", "T=8", "T=16"]
    assert (grid["trials"], grid["failed"], grid["missing"]) == (40, 0, 0)
    assert grid["selected"] == ["T=4", "T=8", "T=16", "T=4", "T=8", "T=16", "T=4", "T=8"]
    assert grid["cost"] == {"device_seconds": 50.0, "tflop": 10.0, "money": pytest.approx(50 / 3600 * 2)}
    assert curriculum["cost_ratio"] == {"device_seconds": pytest.approx(0.2), "tflop": pytest.approx(0.2)}
    assert [(pair["a"], pair["b"], pair["verdict"]) for pair in content["pairwise"]] == [
        ("global", "grid", "not_worse"),
        ("instance", "grid", "undecided"),
        ("student_alone", "grid", "worse"),
    ]
    assert content["teacher"]["cost"] == {"device_seconds": 30.0, "tflop": 5.0}
    assert content["verdict"] == CASES["quickstart"].sentence


def test_a_study_without_a_teacher_has_none_in_its_object() -> None:
    assert comparison_as_json(quickstart(teacher=None))["teacher"] is None


# -- terminal --------------------------------------------------------------------------------------------------------


def printed(comparison: Comparison, width: int = 80, histories: list[History] | None = None, **console: Any) -> str:
    stream = io.StringIO()
    terminal.show(comparison, Console(file=stream, width=width, **console), histories or [])
    return stream.getvalue()


def test_the_tables_of_the_quickstart_fit_into_80_columns() -> None:
    lines = printed(CASES["quickstart"]).splitlines()
    tables = [line.rstrip() for line in lines[2 : lines.index(CASES["quickstart"].sentence) - 1]]
    assert tables == [
        "strategy       validation, %       test, %              minus grid    verdict",
        "grid            97.00 ± 0.12  96.12 ± 0.45",
        "global          97.00 ± 0.12  95.86 ± 0.22  -0.26 (-0.49 to -0.04)  not worse",
        "instance        97.00 ± 0.12  95.90 ± 1.79  -0.22 (-1.56 to +1.11)  undecided",
        "student_alone   91.00 ± 0.12  90.12 ± 0.45  -6.00 (-6.04 to -5.96)      worse",
        "",
        "strategy       trials  device-s  ratio  TFLOP  ratio      USD  kept, by seed",
        "grid               40      50.0   1.00   10.0   1.00   0.0278  T=4 x3, T=8 x3,",
        "                                                               T=16 x2",
        "global              8      10.0   0.20   2.00   0.20  0.00556",
        "instance            8      10.0   0.20   2.00   0.20  0.00556",
        "student_alone       8      10.0   0.20   2.00   0.20  0.00556",
    ]


def test_small_costs_leave_room_for_the_names() -> None:
    results = [
        trial(arm, arm, seed, 90, 90 + 11 * seed, device_seconds=0.0123, tflop=0.000123)
        for arm in ("grid", "student_alone")
        for seed in range(3)
    ]
    arms = [ArmPlan(arm, (arm,)) for arm in ("grid", "student_alone")]
    asked = question(seeds=(0, 1, 2), price_per_device_hour=2.0)
    text = printed(compare(asked, evaluate(arms, asked.seeds, results, "validation")))
    assert text.count("\nstudent_alone  ") == 2
    assert "0.000123" in text


def test_what_is_piped_has_no_escape_codes_and_the_sentence_in_one_line(comparison: Comparison) -> None:
    text = printed(comparison)
    assert "\x1b" not in text
    assert comparison.sentence in text.splitlines()


def test_on_a_terminal_nothing_is_wider_than_it(comparison: Comparison) -> None:
    coloured = printed(comparison, force_terminal=True, color_system="standard")
    plain = re.sub(r"\x1b\[[0-9;]*m", "", coloured)
    assert coloured != plain
    assert max(len(line) for line in plain.splitlines()) <= 80


def test_long_names_are_folded_and_numbers_stay_whole() -> None:
    long = "a" * 40
    values = {"grid": [95.0, 96.0, 97.0], long: [95.1, 96.3, 97.2]}
    text = printed(compare(question(seeds=(0, 1, 2)), strategies(values)))
    assert "+0.20 (-0.05 to +0.45)" in text
    assert "…" not in text


def test_text_of_a_study_is_printed_as_it_is() -> None:
    assert HOSTILE in printed(CASES["battered"]).splitlines()


@pytest.mark.parametrize(
    "note",
    [
        "grid: 12 trials failed, and the cost counts: grid-T=1-s0 (<script>",
        "and 2 more.",
        "global: nothing was left to select at seeds 0, 1; they are left out.",
        "instance: 1 of 12 trials have not ended; incomplete seeds (11) are left out.",
        "grid: 6.00 device-seconds were lost to faults (wasted); they are not in the cost.",
        "grid, 12 trials: trained on a toaster.",
        "* global trains another student than the study's.",
        "† global trains for another number of epochs than the study's.",
        "global: its differences to grid are the same at every seed",
        "‡ The teacher comes from a file: it may have seen the validation split.",
        "This is look 3 at a growing number of seeds",
    ],
)
def test_what_went_wrong_is_noted_under_the_tables_and_on_the_page(note: str) -> None:
    assert note in printed(CASES["battered"])
    assert any(note in each for each in formatting.notes(CASES["battered"]))


def test_the_marks_stand_at_the_names_and_failures_in_the_table() -> None:
    text = printed(CASES["battered"])
    assert "global*†‡" in text
    assert "24, 12 failed" in text


def test_a_clean_study_has_only_the_note_on_the_teachers_cost() -> None:
    values = {"grid": [95.0, 96.0, 97.0], "global": [95.1, 96.3, 97.2]}
    (note,) = formatting.notes(compare(question(seeds=(0, 1, 2)), strategies(values)))
    assert note.startswith("The teacher's own 30.0 device-seconds")
    charged = compare(question(seeds=(0, 1, 2), charges_teacher=True), strategies(values))
    assert formatting.notes(charged) == []


@pytest.mark.parametrize(
    ("last", "notes"),
    [
        (20.85, ["global: T sits at its upper bound 21 at the end of 2 of 2 trials."]),
        (1.1, ["global: T sits at its lower bound 1 at the end of 2 of 2 trials."]),
        (20.7, []),
        (11.0, []),
    ],
)
def test_a_temperature_that_sits_at_a_bound_is_noted(last: float, notes: list[str]) -> None:
    assert formatting.at_bounds([history("global", seed, [15.0, last]) for seed in range(2)]) == notes


def test_only_the_trials_at_a_bound_are_counted_and_other_temperatures_have_none() -> None:
    paths = [history("global", 0, [20.95]), history("global", 1, [12.0]), history("global", 2, [])]
    assert formatting.at_bounds(paths) == ["global: T sits at its upper bound 21 at the end of 1 of 3 trials."]
    assert formatting.at_bounds([dataclasses.replace(paths[0], bounds=None)]) == []


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (0.0, "0"),
        (0.00012345, "0.000123"),
        (0.9996, "1.000"),
        (12.34, "12.3"),
        (1234.5, "1,230"),
        (1234567.0, "1,230,000"),
    ],
)
def test_numbers_have_three_digits_that_count(value: float, text: str) -> None:
    assert formatting.number(value) == text


# -- page ------------------------------------------------------------------------------------------------------------


class Tags(HTMLParser):
    """All tags with their attributes, the text outside of tags, and what is still open."""

    VOID = frozenset({"meta"})

    def __init__(self, text: str) -> None:
        super().__init__()
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.texts: list[str] = []
        self.open: list[str] = []
        self.feed(text)
        self.close()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))
        if tag not in self.VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        self.texts.append(data)


def test_the_page_is_well_formed_and_needs_nothing_else(comparison: Comparison) -> None:
    parsed = Tags(page(comparison, HISTORIES))
    assert parsed.open == []
    names = {tag for tag, _ in parsed.tags}
    assert names.isdisjoint(
        {"script", "link", "img", "image", "iframe", "object", "embed", "base", "form", "foreignobject"}
    )
    for _, attributes in parsed.tags:
        assert not [name for name in attributes if name.startswith("on")]
        links = [attributes[name] or "" for name in attributes if name in ("href", "xlink:href", "src", "action")]
        assert all(link.startswith("#") for link in links)
    assert "@import" not in page(comparison, HISTORIES)
    assert "url(http" not in page(comparison, HISTORIES)
    policy = next(attributes for tag, attributes in parsed.tags if tag == "meta" and "http-equiv" in attributes)
    assert policy["content"] == "default-src 'none'; style-src 'unsafe-inline'"


def test_the_page_says_what_the_terminal_says(comparison: Comparison) -> None:
    parsed = Tags(page(comparison, HISTORIES))
    assert comparison.sentence in parsed.texts
    for note in formatting.notes(comparison, HISTORIES):
        assert note in parsed.texts
    for summary in comparison.summaries:
        assert formatting.name(summary, comparison.question.teacher) in parsed.texts
        assert formatting.plus_minus(summary.test_top1) in parsed.texts
    for pair in comparison.pairs:
        assert formatting.difference(pair) in parsed.texts


def test_what_comes_from_a_study_is_text_and_nothing_else() -> None:
    parsed = Tags(page(CASES["battered"]))
    assert HOSTILE in parsed.texts
    assert "<script" not in page(CASES["battered"])


def test_names_in_figures_are_text_and_nothing_else() -> None:
    values = {HOSTILE: [95.0, 96.0, 97.0], "b$_1$<b>": [95.1, 96.3, 97.2]}
    comparison = compare(question(seeds=(0, 1, 2)), strategies(values))
    text = page(comparison, [history("b$_1$<b>", 0, [3.0, 4.0])])
    assert Tags(text).open == []
    assert "<script" not in text
    assert Tags(text).texts.count("b$_1$<b>") >= 4


def test_every_reference_within_the_page_has_one_target(comparison: Comparison) -> None:
    text = page(comparison, HISTORIES)
    ids = re.findall(r'\sid="([^"]+)"', text)
    assert len(ids) == len(set(ids))
    assert set(re.findall(r"url\(#([^)]+)\)", text) + re.findall(r'href="#([^"]+)"', text)) <= set(ids)


DRAWN: dict[str, Callable[[], str | None]] = {
    "differences": lambda: figures.differences(CASES["quickstart"]),
    "cost": lambda: figures.accuracy_by_cost(CASES["quickstart"]),
    "temperatures": lambda: figures.temperatures(CASES["quickstart"], HISTORIES),
}


@pytest.mark.parametrize("name", DRAWN)
def test_a_figure_is_xml_takes_the_pages_colour_and_is_the_same_each_time(name: str) -> None:
    svg = DRAWN[name]()
    assert svg is not None
    ElementTree.fromstring(svg)
    assert "currentColor" in svg
    assert "#000000" not in svg
    assert "<metadata" not in svg
    assert DRAWN[name]() == svg


def test_there_is_no_figure_of_what_there_is_nothing_of() -> None:
    assert figures.differences(CASES["paper"]) is None
    assert figures.accuracy_by_cost(CASES["empty"]) is None
    assert figures.temperatures(CASES["quickstart"], []) is None
    assert "<svg" not in page(CASES["empty"])


def test_the_differences_show_every_seed_the_interval_and_the_margin() -> None:
    svg = figures.differences(CASES["quickstart"])
    assert svg is not None
    root = ElementTree.fromstring(svg)
    texts = ["".join(element.itertext()).strip() for element in root.iter("{http://www.w3.org/2000/svg}text")]
    assert {"global", "instance", "student_alone", "margin -1.5", "test accuracy minus grid, points"} <= set(texts)
