"""Every column in every form, cell by cell, from a study small enough to be worked out by hand."""

import dataclasses
from typing import Any

import pytest

from ctkd_study.analysis.inference import Interval
from ctkd_study.analysis.pairs import PairedDifference
from ctkd_study.analysis.strategies import Cost, evaluate
from ctkd_study.analysis.verdict import Comparison, Mean, TeacherFacts, compare
from ctkd_study.report import columns
from tests.support.comparisons import CASES
from tests.support.tabulated import arm, cost_ratio, failed, question, trial

CAPTION = "Top-1 accuracy in percent: mean over seeds, with its 95 % interval"
NO_COST = {"device_seconds": None, "tflop": None}


def by_hand(**fields: Any) -> Comparison:
    """A grid of two and a curriculum, with three seeds; all numbers of the comparison are made up, and all differ."""
    arms = (arm("grid", "T=2", "T=8", fixed=True), arm("global", overrides_student=True, overrides_epochs=True))
    results = [failed("grid", "T=2", 0), *(trial("grid", "T=2", seed, 90, 90) for seed in (1, 2))]
    results += [trial("grid", "T=8", seed, 91, 91, wasted_device_seconds=0.25) for seed in (0, 1)]
    results += [trial("grid", "T=8", 2, 89, 89), failed("global", "global", 0), trial("global", "global", 1, 90, 90)]
    asked = question(seeds=(0, 1, 2), price_per_device_hour=2.0, currency="EUR", **fields)
    found = compare(asked, evaluate(arms, asked.seeds, results, "validation"))
    grid, curriculum = found.summaries
    made_up = PairedDifference(
        "global",
        "grid",
        (1,),
        -0.5,
        (Interval("on this test set", -1.25, 0.75, 0.025),),
        0.0321,
        "not_worse",
        0,
        1,
        False,
        (),
    )
    return dataclasses.replace(
        found,
        summaries=(
            dataclasses.replace(
                grid,
                val_top1=Mean(91.0, 90.5, 91.5, (91.0, 90.0, 92.0)),
                test_top1=Mean(92.0, 91.75, 92.25, (92.0, 91.0, 93.0)),
                cost=Cost(1234.0, 56.7),
                money=0.6856,
                cost_ratio=cost_ratio(1.0, 1.0),
            ),
            dataclasses.replace(
                curriculum,
                val_top1=Mean(89.5, None, None, (None, 89.5, None)),
                test_top1=Mean(None, None, None, (None, None, None)),
                cost=Cost(123.0, 4.5),
                money=0.0683,
                cost_ratio=cost_ratio(0.0794, 0.0997, 0.0301),
            ),
        ),
        pairs=(made_up,),
    )


def test_the_narrow_tables() -> None:
    accuracy = columns.table(by_hand(), "accuracy", "narrow")
    assert accuracy.titles == ("strategy", "selected on", "test, %", "minus grid", "verdict")
    assert accuracy.is_text == (True, False, False, False, True)
    assert accuracy.rows == (
        ("grid", "91.00 ± 0.50", "92.00 ± 0.25", "", ""),
        ("global*†", "89.50", "-", "-0.50 (-1.25 to +0.75)", "not worse"),
    )
    cost = columns.table(by_hand(), "cost", "narrow")
    assert cost.titles == ("strategy", "trials", "TFLOP", "ratio", "device-s", "ratio", "EUR", "kept, by seed")
    assert cost.is_text == (True, False, False, False, False, False, False, True)
    assert cost.rows == (
        ("grid", "6, 1 failed", "56.7", "1.00", "1,230", "1.00", "0.686", "T=8 x2, T=2 x1"),
        ("global*†", "3, 1 failed", "4.50", "0.08", "123", "0.10", "0.0683", ""),
    )


def test_the_wide_tables() -> None:
    accuracy = columns.table(by_hand(), "accuracy", "wide")
    assert accuracy.caption == CAPTION
    assert accuracy.titles == (
        "strategy",
        "validation (selected on)",
        "test",
        "minus grid",
        "p (not worse)",
        "verdict",
        "kept, by seed",
    )
    assert accuracy.is_text == (True, False, False, False, False, True, True)
    assert accuracy.rows == (
        ("grid", "91.00 ± 0.50", "92.00 ± 0.25", "", "", "", "T=8 x2, T=2 x1"),
        ("global*†", "89.50", "-", "-0.50 (-1.25 to +0.75)", "0.032", "not worse", ""),
    )
    cost = columns.table(by_hand(), "cost", "wide")
    assert cost.caption == "Cost of carrying a strategy out once, and its ratio to grid at the same seeds"
    titles = ("strategy", "settings", "trials", "TFLOP", "ratio", "device-seconds", "ratio", "EUR")
    assert cost.titles == titles
    assert cost.is_text == (True, *[False] * 7)
    assert cost.rows == (
        ("grid", "2", "6", "56.7", "1.00", "1,230", "1.00", "0.686"),
        ("global*†", "1", "3", "4.50", "0.08", "123", "0.10 (0.07 to 0.13)", "0.0683"),
    )
    worst = columns.table(by_hand(), "worst", "wide")
    assert worst.caption == "The worst seed of each strategy, and what failed"
    told = ("worst on test", "worst minus grid", "failed trials", "dropped seeds", "lost device-seconds")
    assert worst.titles == ("strategy", *told)
    assert worst.rows == (
        ("grid", "91.00 (seed 1)", "", "1", "none", "0.500"),
        ("global*†", "-", "-", "1", "0", "0"),
    )


ONE = dict.fromkeys(("ratio", "low", "high"), 1.0)
NO_MEAN = {"mean": None, "low": None, "high": None, "per_seed": [None, None, None]}


def test_the_objects_of_json() -> None:
    grid, curriculum = columns.values(by_hand())
    assert grid == {
        "name": "grid",
        "searched_by": None,
        "settings": ["T=2", "T=8"],
        "trials": 6,
        "failed": 1,
        "stopped": 0,
        "missing": 0,
        "dropped_seeds": [],
        "overrides_student": False,
        "overrides_epochs": False,
        "selected": ["T=8", "T=8", "T=2"],
        "val_top1": {"mean": 91.0, "low": 90.5, "high": 91.5, "per_seed": [91.0, 90.0, 92.0]},
        "test_top1": {"mean": 92.0, "low": 91.75, "high": 92.25, "per_seed": [92.0, 91.0, 93.0]},
        **dict.fromkeys(("test_top5", "test_ece"), NO_MEAN),
        "test_nll": {"mean": 0.5, "low": 0.5, "high": 0.5, "per_seed": [0.5, 0.5, 0.5]},
        "cost": {"device_seconds": 1234.0, "tflop": 56.7, "money": 0.6856},
        "cost_ratio": {"tflop": ONE, "device_seconds": ONE},
        "wasted_device_seconds": 0.5,
    }
    assert curriculum == {
        "name": "global",
        "searched_by": None,
        "settings": ["global"],
        "trials": 3,
        "failed": 1,
        "stopped": 0,
        "missing": 1,
        "dropped_seeds": [0],
        "overrides_student": True,
        "overrides_epochs": True,
        "selected": [None, "global", None],
        "val_top1": {"mean": 89.5, "low": None, "high": None, "per_seed": [None, 89.5, None]},
        **dict.fromkeys(("test_top1", "test_top5", "test_ece"), NO_MEAN),
        "test_nll": {"mean": 0.5, "low": None, "high": None, "per_seed": [None, 0.5, None]},
        "cost": {"device_seconds": 123.0, "tflop": 4.5, "money": 0.0683},
        "cost_ratio": {
            "tflop": dict.fromkeys(("ratio", "low", "high"), 0.0794),
            "device_seconds": {"ratio": 0.0997, "low": pytest.approx(0.0696), "high": pytest.approx(0.1298)},
        },
        "wasted_device_seconds": 0.0,
    }


@pytest.mark.parametrize("layout", ["narrow", "wide"])
def test_columns_without_a_value_are_left_out(layout: columns.Layout) -> None:
    paper = columns.table(CASES["paper"], "accuracy", layout)
    assert not {"minus grid", "p (not worse)", "verdict"} & set(paper.titles)
    assert "USD" in columns.table(CASES["quickstart"], "cost", layout).titles
    assert "USD" not in columns.table(CASES["paper"], "cost", layout).titles


def test_what_there_is_not_is_a_dash_in_tables_and_null_in_json() -> None:
    (row,) = columns.table(CASES["empty"], "cost", "narrow").rows
    assert row == ("grid", "16", "-", "-", "-", "-", "-")
    (strategy,) = columns.values(CASES["empty"])
    assert (strategy["cost"], strategy["cost_ratio"]) == ({**NO_COST, "money": None}, NO_COST)
    unpriced = dataclasses.replace(by_hand().summaries[0], money=None)
    found = columns.table(dataclasses.replace(by_hand(), summaries=(unpriced,)), "cost", "narrow")
    assert found.rows[0][6] == "-"
    undecided = dataclasses.replace(by_hand().pairs[0], intervals=(), p_not_worse=None, verdict="undecided")
    found = columns.table(dataclasses.replace(by_hand(), pairs=(undecided,)), "accuracy", "wide")
    assert found.rows[1][3:6] == ("-0.50", "-", "undecided")


def test_charged_costs_say_so_and_a_teacher_from_a_file_marks_the_names() -> None:
    charged = columns.table(by_hand(charges_teacher=True), "cost", "wide")
    assert charged.caption == (
        "Cost of carrying a strategy out once, with the teacher and validation, and its ratio to grid at the same seeds"
    )
    leaky = by_hand(teacher=TeacherFacts("vgg13 from vgg13.pth", may_have_seen_validation=True))
    assert [row[0] for row in columns.table(leaky, "accuracy", "wide").rows] == ["grid‡", "global*†‡"]
