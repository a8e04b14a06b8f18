"""The JSON objects: the keys that docs/results.md promises, and literal values."""

import dataclasses
import json
import math
from typing import Any

import pytest

from ctkd_study.analysis.inference import Interval
from ctkd_study.analysis.pairs import PairedDifference
from ctkd_study.analysis.strategies import Cost
from ctkd_study.analysis.verdict import Comparison, TeacherFacts
from ctkd_study.plan import Range
from ctkd_study.plan.due import Plan, make_plan
from ctkd_study.plan.estimate import ArmEstimate, BankEstimate, Estimate
from ctkd_study.plan.groups import GroupAdvice
from ctkd_study.report.as_json import comparison_as_json, plan_as_json
from ctkd_study.report.sentence import sentence
from ctkd_study.spec import from_mapping
from tests.support.comparisons import CASES
from tests.support.studies import plain
from tests.support.tabulated import quickstart

NUMBER, SOME, TEXT, FLAG = (float, int), (float, int, type(None)), str, bool
MEAN = {"mean": SOME, "low": SOME, "high": SOME, "per_seed": [SOME]}
COST = {"device_seconds": SOME, "tflop": SOME}
SHAPE: dict[str, Any] = {
    "study": TEXT,
    "question": TEXT,
    "protocol": TEXT,
    "margin": NUMBER,
    "confirmed": [TEXT],
    "conditions": TEXT,
    "metric": TEXT,
    "metric_declared": FLAG,
    "baseline": TEXT,
    "seeds": [int],
    "seeds_planned": (int, type(None)),
    "interim": FLAG,
    "set_after_looking": [TEXT],
    "looks": int,
    "until": (dict, type(None)),
    "strategies": [
        {
            "name": TEXT,
            "searched_by": (str, type(None)),
            "settings": [TEXT],
            "trials": int,
            "failed": int,
            "stopped": int,
            "missing": int,
            "dropped_seeds": [int],
            "overrides_student": FLAG,
            "overrides_epochs": FLAG,
            "selected": [(str, type(None))],
            "val_top1": MEAN,
            **dict.fromkeys(("test_top1", "test_top5", "test_nll", "test_ece"), MEAN),
            "cost": {**COST, "money": SOME},
            "cost_ratio": dict.fromkeys(("tflop", "device_seconds"), (dict, type(None))),
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
            "intervals": [{"about": TEXT, "low": NUMBER, "high": NUMBER, "confidence": NUMBER}],
            "about": (str, type(None)),
            "confirmed": FLAG,
            "p_not_worse": SOME,
            "verdict": TEXT,
            "more_seeds": (int, type(None)),
            "more_groups": (int, type(None)),
            "seeds": [int],
            "per_seed": [SOME],
            "dropped": int,
            "worst": (dict, type(None)),
            "if_dropped_were_worst": (str, type(None)),
            "anytime": (dict, type(None)),
            "state": (str, type(None)),
            "looks": (list, type(None)),
        }
    ],
    "teacher": {
        "description": TEXT,
        "test_top1": SOME,
        "cost": (dict, type(None)),
        "may_have_seen_validation": FLAG,
        "number": int,
        "worst_top1": SOME,
        "charged": FLAG,
    },
    "bank": (dict, type(None)),
    "bill": (dict, type(None)),
    "replays": list,
    "provenance": (dict, type(None)),
    "remarks": [{"kind": TEXT, "about": TEXT, "text": TEXT, "grave": FLAG}],
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


@pytest.mark.parametrize("comparison", CASES.values(), ids=CASES)
def test_the_object_has_exactly_the_contracts_keys_and_only_finite_numbers(comparison: Comparison) -> None:
    content = comparison_as_json(comparison)
    check(content, SHAPE)
    assert json.loads(json.dumps(content, allow_nan=False)) == content


@pytest.mark.parametrize("comparison", CASES.values(), ids=CASES)
def test_lists_by_seed_are_as_long_as_the_seeds(comparison: Comparison) -> None:
    content = comparison_as_json(comparison)
    count = len(content["seeds"])
    for strategy in content["strategies"]:
        by_seed = (strategy["selected"], strategy["val_top1"]["per_seed"], strategy["test_top1"]["per_seed"])
        assert [len(values) for values in by_seed] == [count] * 3
    assert all(len(pair["per_seed"]) == count for pair in content["pairwise"])


def test_what_was_asked_and_found() -> None:
    teacher = TeacherFacts("vgg13", 74.64, Cost(30.0, 5.0), may_have_seen_validation=True)
    found = dataclasses.replace(quickstart(teacher=teacher, seeds_planned=12, charges_teacher=True), looks=2)
    content = comparison_as_json(found, {"pairs": 7})
    del content["strategies"], content["pairwise"]
    assert content == {
        "study": "quickstart",
        "question": "Does a learned temperature save the grid search?",
        "protocol": "validation",
        "margin": 1.5,
        "metric": "top1",
        "metric_declared": True,
        "baseline": "grid",
        "confirmed": ["global", "instance"],
        "conditions": "on this test set, with this teacher and split",
        "seeds": [0, 1, 2, 3, 4, 5, 6, 7],
        "seeds_planned": 12,
        "interim": True,
        "looks": 2,
        "set_after_looking": [],
        "until": None,
        "teacher": {
            "description": "vgg13",
            "test_top1": 74.64,
            "cost": {"device_seconds": 30.0, "tflop": 5.0},
            "may_have_seen_validation": True,
            "number": 1,
            "worst_top1": None,
            "charged": True,
        },
        "bank": {"pairs": 7},
        "bill": None,
        "replays": [],
        "provenance": None,
        "remarks": [],
        "verdict": sentence(found),
    }


def test_a_pair_is_given_whole() -> None:
    intervals = (Interval("on this test set", -1.25, 0.75, 0.0125), Interval("on new examples", -1.0, 0.5, 0.0125))
    pair = PairedDifference(
        "global", "grid", (1, 3), -0.5, intervals, 0.0321, "undecided", 4, 2, True, (None, -0.75, None, -0.25)
    )
    assert comparison_as_json(dataclasses.replace(quickstart(), pairs=(pair,)))["pairwise"] == [
        {
            "a": "global",
            "b": "grid",
            "seeds": [1, 3],
            "difference": -0.5,
            "low": -1.25,
            "high": 0.75,
            "about": "on this test set",
            "intervals": [
                {"about": "on this test set", "low": -1.25, "high": 0.75, "confidence": 0.975},
                {"about": "on new examples", "low": -1.0, "high": 0.5, "confidence": 0.975},
            ],
            "confirmed": True,
            "p_not_worse": 0.0321,
            "verdict": "undecided",
            "more_seeds": 4,
            "more_groups": None,
            "dropped": 2,
            "worst": {"seed": 1, "difference": -0.75},
            "if_dropped_were_worst": None,
            "per_seed": [None, -0.75, None, -0.25, None, None, None, None],
            "anytime": None,
            "state": None,
            "looks": None,
        }
    ]


def test_validation_and_test_accuracies_are_those_of_the_records() -> None:
    grid, curriculum, _, alone = comparison_as_json(CASES["quickstart"])["strategies"]
    assert grid["val_top1"]["per_seed"] == [97.0] * 8
    assert grid["test_top1"]["per_seed"] == pytest.approx([96.0, 96.6, 95.6, 96.9, 95.3, 96.2, 95.9, 96.5])
    assert curriculum["test_top1"]["per_seed"] == pytest.approx([95.8, 96.1, 95.6, 96.25, 95.45, 95.9, 95.75, 96.05])
    assert (alone["val_top1"]["mean"], alone["test_top1"]["mean"]) == (91.0, pytest.approx(90.125))


def test_a_study_without_a_teacher_has_none_in_its_object() -> None:
    content = comparison_as_json(quickstart(teacher=None))
    assert (content["teacher"], content["bank"]) == (None, None)
    assert comparison_as_json(quickstart(teacher=TeacherFacts("t")))["teacher"]["cost"] is None


def planned() -> Plan:
    return make_plan(from_mapping(plain(seeds=2)))


def test_a_plan() -> None:
    arm = ArmEstimate(
        tflop=0.5,
        device_seconds=Range(1.0, 2.0, 3.0),
        wall_seconds=Range(2.0, 4.0, 6.0),
        basis="a few steps",
        arm="four",
        settings=1,
        trials=2,
        money=0.01,
    )
    bank = BankEstimate("bank16", 1000, 300, Range(0.5, 1.0, 1.5))
    advice = GroupAdvice(5, 2, 30.0, 4.0, None, None)
    estimate = Estimate((arm,), 2, Range(10.0, 20.0, 30.0), bank, advice)
    plan = planned()
    assert plan_as_json(plan, estimate, ["a warning"]) == {
        "study": "small",
        "size": 2,
        "trials": [
            {"id": trial.id, "arm": "four", "setting": "T=4", "seed": seed, "suggestion": None}
            for seed, trial in enumerate(plan.trials)
        ],
        "arms": [
            {
                "arm": "four",
                "settings": 1,
                "trials": 2,
                "tflop": 0.5,
                "device_seconds": {"low": 1.0, "middle": 2.0, "high": 3.0},
                "money": 0.01,
                "basis": "a few steps",
            }
        ],
        "slots": 2,
        "teacher_seconds": {"low": 10.0, "middle": 20.0, "high": 30.0},
        "bank": {
            "source": "bank16",
            "reads": 1000,
            "pairs": 300,
            "seconds": {"low": 0.5, "middle": 1.0, "high": 1.5},
        },
        "wall_seconds": {"low": 11.25, "middle": 22.5, "high": 33.75},
        "groups": {
            "groups": 5,
            "seeds_per_group": 2,
            "group_seconds": 30.0,
            "seed_seconds": 4.0,
            "between_groups": None,
            "between_seeds": None,
        },
        "faults": [],
        "warnings": ["a warning"],
    }
    assert plan_as_json(plan, Estimate((), 1, None, faults=("arm four: lost",)), [])["faults"] == ["arm four: lost"]
    bare = plan_as_json(plan, Estimate((arm,), 1, None), [])
    assert (bare["teacher_seconds"], bare["bank"], bare["warnings"]) == (None, None, [])
