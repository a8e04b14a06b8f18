"""Comparisons that a report must cope with: a clean study, one where much went wrong, and some with little in them."""

import dataclasses
from typing import Any

from ctkd_study.analysis.sequential import Rule, follow
from ctkd_study.analysis.strategies import evaluate
from ctkd_study.analysis.verdict import Comparison, Remark, TeacherFacts, compare
from tests.support.tabulated import arm, failed, history, question, quickstart, trial

HOSTILE = '<script>alert("1")</script> & [red]$x_1$[/]'
REMARKS = (
    Remark("teacher_guesses", "teacher", f"the teacher guesses {HOSTILE}.", grave=True),
    Remark("grid_end", "grid", "grid: 8 of 8 seeds keep the largest T of the grid, 16: a larger one may be better."),
)
HOSTILE_LABEL = "T=<b>|[red]1[/]"


def battered() -> Comparison:
    """A study in which almost everything that can go wrong has."""
    arms = (
        arm("grid", HOSTILE_LABEL, "T=4", fixed=True),
        arm("global", overrides_student=True, overrides_epochs=True),
        arm("instance"),
    )
    results = [failed("grid", "T=4", seed, reason=HOSTILE) for seed in range(12)]
    results += [
        trial("grid", HOSTILE_LABEL, seed, 90, 90, wasted_device_seconds=0.5, remarks=("trained on a toaster",))
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
    return dataclasses.replace(
        compare(asked, evaluate(arms, asked.seeds, results, "validation")), looks=3, remarks=REMARKS
    )


def empty() -> Comparison:
    """A study that has not begun."""
    return compare(question(), evaluate([arm("grid", "T=1", "T=4", fixed=True)], range(8), [], "validation"))


def until_decided(seeds: int = 7, **rule: Any) -> Comparison:
    """A study that adds seeds: one arm is decided at its second look, another goes on, a third is not confirmed."""
    arms = (arm("grid", "T=1", "T=4", fixed=True), arm("global"), arm("instance"), arm("alone", uses_teacher=False))
    reach = {"grid": seeds, "global": 6, "instance": seeds, "alone": 5}
    by_arm = {"grid": [0.0], "global": [0.3, -0.4, 0.2, -0.1, 0.1, 0.0], "instance": [2.0, -1.5], "alone": [-6.0, -5.0]}
    results = [
        trial(each.name, setting.key, seed, 90, 90 + by_arm[each.name][seed % len(by_arm[each.name])])
        for each in arms
        for setting in each.settings
        for seed in range(reach[each.name])
    ]
    fixed = Rule(
        **{"looks": tuple(range(5, 21)), "baseline": "grid", "confirmed": ("global", "instance"), **rule}, margin=1.5
    )
    found = follow(fixed, arms, range(20), results)
    asked = question(seeds=tuple(range(found.seeds)), seeds_planned=20)
    return compare(asked, evaluate(arms, asked.seeds, results, "validation", reach=found.reach), found)


CASES = {
    "quickstart": quickstart(price_per_device_hour=2.0),
    "paper": quickstart(protocol="paper"),
    "two seeds": quickstart(2),
    "battered": battered(),
    "empty": empty(),
    "until decided": until_decided(),
}
HISTORIES = [history(name, seed, [15.0, 14.0 - seed, 21.0]) for name in ("global", "instance") for seed in range(2)]
