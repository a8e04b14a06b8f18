"""What to know before the verdict is read: each rule at its threshold, and none of it in a sound study."""

import dataclasses
import math
from collections.abc import Sequence
from typing import Any

import pytest

from ctkd_study.analysis.metrics import METRICS
from ctkd_study.analysis.remarks import remarks
from ctkd_study.analysis.strategies import Cost, evaluate
from ctkd_study.analysis.verdict import Comparison, TeacherFacts, compare
from ctkd_study.spec import selection_warning
from tests.support.tabulated import arm, history, question, quickstart, strategies, trial

CHANCE, TESTED = 20.0, 400
LIMIT = CHANCE + 3 * math.sqrt(CHANCE * (100 - CHANCE) / TESTED)
"""20 % and three times 2 points: 26 %."""


def teacher(*accuracies: float) -> TeacherFacts:
    mean = sum(accuracies) / len(accuracies)
    return TeacherFacts("resnet20", mean, Cost(1.0, 1.0), number=len(accuracies), worst_top1=min(accuracies))


def study(accuracies: dict[str, Sequence[float]], **asked: Any) -> Comparison:
    """Test accuracies by arm; the arm ``alone`` has no teacher."""
    facts = {"test": TESTED, "chance": CHANCE, "teacher": teacher(95.0), "seeds": tuple(range(3)), **asked}
    return compare(question(**facts), strategies(accuracies, [arm("alone", uses_teacher=False)]))


def kinds(comparison: Comparison) -> list[tuple[str, str]]:
    return [(remark.kind, remark.about) for remark in remarks(comparison)]


SOUND: dict[str, Sequence[float]] = {"grid": (90.0, 91.0, 92.0), "global": (90.5, 91.5, 91.0), "alone": (80, 81, 82)}

WITHOUT_ALONE = {"grid": SOUND["grid"], "global": SOUND["global"]}


def test_a_sound_study_has_no_remarks() -> None:
    assert kinds(study(SOUND)) == []
    assert remarks(quickstart(chance=10.2), [history("global", 0, [5.0, 9.0])]) == ()


def test_what_is_not_known_is_not_remarked_on() -> None:
    low: dict[str, Sequence[float]] = {"grid": (20.0, 20.0, 20.0), "global": (20.0, 20.0, 20.0)}
    for unknown in ({"test": None}, {"chance": None}, {"chance": None, "teacher": None}):
        assert kinds(study(low, **{"teacher": teacher(1.0), **unknown})) == []
    assert kinds(study(SOUND, teacher=TeacherFacts("vgg13", may_have_seen_validation=True))) == []


# -- guessing ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("accuracy", "guesses"), [(0.0, True), (LIMIT, True), (LIMIT + 0.01, False)])
def test_a_teacher_up_to_three_errors_above_chance_guesses(accuracy: float, guesses: bool) -> None:
    found = kinds(study(WITHOUT_ALONE, teacher=teacher(accuracy)))
    assert found == ([("teacher_guesses", "teacher")] if guesses else [])


def test_the_words_about_a_teacher_that_guesses() -> None:
    [found] = remarks(study(WITHOUT_ALONE, teacher=teacher(16.04)))
    assert found.grave
    assert found.text == (
        "the teacher is no better than guessing: 16.0 % on test, where one answer for all 400 examples gets 20.0 %."
    )
    [found] = remarks(study(WITHOUT_ALONE, teacher=teacher(95.0, 20.0)))
    assert found.text == (
        "the worst of the teachers is no better than guessing: 20.0 % on test, where one answer for all 400 examples "
        "gets 20.0 % - exactly that."
    )


def test_a_student_that_guesses_is_counted_by_seed() -> None:
    found = remarks(study({**SOUND, "global": (91.0, LIMIT, 20.0)}))
    assert [(each.kind, each.about, each.grave) for each in found] == [("student_guesses", "global", True)]
    assert found[0].text == (
        "global: at 2 of 3 seeds, the student is no better than guessing: 26.0 % on test, where one answer for all 400 "
        "examples gets 20.0 %."
    )
    assert kinds(study({**SOUND, "global": (91.0, LIMIT + 0.01, 90.0)})) == []


def test_an_accuracy_of_exactly_chance_is_called_that() -> None:
    [found] = remarks(study({**SOUND, "global": (91.0, CHANCE, 90.0)}))
    assert found.text.endswith("gets 20.0 % - exactly that.")


# -- a teacher that does not help -------------------------------------------------------------------------------------


@pytest.mark.parametrize(("lead", "said"), [(-5.0, True), (0.0, True), (2.6, True), (2.8, False), (10.0, False)])
def test_a_teacher_must_lead_the_student_alone_by_the_noise_of_the_test_set(lead: float, said: bool) -> None:
    """At 81 % the error of one accuracy is 1.96 points, and that of the difference at most 2.7."""
    found = remarks(study(SOUND, teacher=teacher(81 + lead)))
    assert [each.kind for each in found] == (["teacher_not_better"] if said else [])
    if lead == 0:
        assert not found[0].grave
        assert found[0].text == (
            "the teacher (81.0 % on test) is not better than alone (81.0 %) by more than the noise of 400 test "
            "examples (2.8 points): there may be little to distil."
        )


def test_another_student_is_no_student_alone() -> None:
    arms = [
        arm("alone", uses_teacher=False, overrides_student=True),
        arm("longer", uses_teacher=False, overrides_epochs=True),
    ]
    values = {**SOUND, "alone": (99.0,) * 3, "longer": (99.0,) * 3}
    asked = question(test=TESTED, chance=CHANCE, teacher=teacher(95.0), seeds=(0, 1, 2))
    assert kinds(compare(asked, strategies(values, arms))) == []


@pytest.mark.parametrize(
    ("alone", "said"), [((80.0, 81.0, 82.1), False), ((90.0, 91.0, 92.0), True), ((95.0, 95.0, 96.0), True)]
)
def test_a_study_that_does_not_show_that_distillation_helps_says_so(alone: Sequence[float], said: bool) -> None:
    comparison = study({**SOUND, "alone": alone}, teacher=teacher(99.9))
    assert kinds(comparison) == ([("teacher_no_help", "grid")] if said else [])


def test_a_baseline_without_the_teacher_needs_no_help() -> None:
    assert kinds(study({**SOUND, "alone": (90.0, 91.0, 92.0)}, baseline="alone", teacher=teacher(99.9))) == []


# -- temperatures at an end -------------------------------------------------------------------------------------------


def kept(*selected: str, labels: Sequence[str] = ("T=1", "T=4", "T=16")) -> Comparison:
    """A grid that keeps these settings, seed by seed."""
    results = [
        trial("grid", label, seed, 90 + (label == best), 90) for seed, best in enumerate(selected) for label in labels
    ]
    asked = question(seeds=tuple(range(len(selected))))
    return compare(asked, evaluate([arm("grid", *labels, fixed=True)], asked.seeds, results, "validation"))


@pytest.mark.parametrize(
    ("selected", "text"),
    [
        (("T=16", "T=16", "T=4"), "grid: 2 of 3 seeds keep the largest T of the grid, 16: a larger one may be better."),
        (("T=1", "T=1", "T=1"), "grid: 3 of 3 seeds keep the smallest T of the grid, 1: a smaller one may be better."),
        (("T=16", "T=4"), ""),
        (("T=16", "T=1", "T=4"), ""),
        (("T=4", "T=4", "T=4"), ""),
    ],
)
def test_a_grid_whose_end_most_seeds_keep(selected: Sequence[str], text: str) -> None:
    assert [each.text for each in remarks(kept(*selected))] == ([text] if text else [])


def test_a_grid_of_two_temperatures_has_only_ends() -> None:
    assert kinds(kept("T=4", "T=4", labels=("T=1", "T=4"))) == []


BOUND = "global: T sits at its {} at the end of {}."


def bounds(*paths: Any) -> list[str]:
    return [each.text for each in remarks(study(SOUND), paths)]


@pytest.mark.parametrize(
    ("last", "bound"),
    [(100.5, "upper bound 101"), (1.5, "lower bound 1"), (2.0, ""), (100.0, ""), (51.0, "")],
)
def test_a_learned_temperature_at_a_bound(last: float, bound: str) -> None:
    """Within 1 % of a span of 100, which is 1."""
    expected = [BOUND.format(bound, "2 of 2 trials")] if bound else []
    assert bounds(*(history("global", seed, [15.0, last], (1.0, 101.0)) for seed in range(2))) == expected


def test_only_the_trials_at_a_bound_are_counted_and_other_temperatures_have_none() -> None:
    paths = [history("global", 0, [20.95]), history("global", 1, [12.0]), history("global", 2, [])]
    assert bounds(*paths) == [BOUND.format("upper bound 21", "1 of 3 trials")]
    unbounded = dataclasses.replace(paths[0], bounds=None)
    assert bounds(unbounded) == []
    assert bounds(unbounded, paths[2], history("global", 3, [1.0]), history("other", 0, [21.0])) == [
        BOUND.format("lower bound 1", "1 of 3 trials"),
        "other: T sits at its upper bound 21 at the end of 1 of 1 trial.",
    ]


def test_the_gravest_come_first() -> None:
    comparison = study({"grid": (20.0, 90.0, 91.0), "alone": (90.0, 91.0, 92.0)}, teacher=teacher(91.0))
    assert [remark.grave for remark in remarks(comparison)] == [True, False, False]


@pytest.mark.parametrize(("validation", "said"), [(200, False), (50, True)])
def test_too_few_validation_examples_to_select_settings_by(validation: int, said: bool) -> None:
    """At a margin of 1.5 points; a study without a choice of settings does not select by validation."""
    found = [remark for remark in remarks(quickstart(validation=validation)) if remark.kind == "few_validation"]
    assert [remark.text for remark in found] == [f"{selection_warning(validation, 1.5)}."] * said
    assert kinds(study(SOUND, validation=validation)) == []
    assert ("few_validation", "data") not in kinds(quickstart(validation=validation, metric=METRICS["nll"]))
    assert remarks(quickstart(validation=validation, protocol="paper")) == ()
