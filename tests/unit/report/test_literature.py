"""Published numbers beside a study's own."""

import dataclasses

from ctkd_study.analysis.strategies import evaluate
from ctkd_study.analysis.verdict import Comparison, TeacherFacts, compare
from ctkd_study.report.literature import published_notes
from ctkd_study.spec.published import Published
from tests.support.tabulated import arm, question, quickstart, trial

PUBLISHED = Published.model_validate(
    {
        "source": "Li et al., AAAI 2023",
        "teacher": 98.4,
        "student": 91.5,
        "arms": {"grid": 96.4, "global": 96.9, "instance": 97},
        "sources": {"instance": "somebody else, 2024"},
    }
)


def with_published(comparison: Comparison, *differs: str, published: Published | None = PUBLISHED) -> Comparison:
    asked = dataclasses.replace(comparison.question, published=published, published_differs=differs)
    return dataclasses.replace(comparison, question=asked)


def test_beside_what_was_found_where_the_two_compare() -> None:
    found = quickstart(protocol="paper")
    half = {s.strategy.name: s.test_top1.high - s.test_top1.mean for s in found.summaries}  # type: ignore[operator]
    mean = {s.strategy.name: s.test_top1.mean for s in found.summaries}
    assert published_notes(with_published(found)) == [
        "teacher: published 98.40 / here 98.12 (Li et al., AAAI 2023).",
        f"grid: published 96.40 / here {mean['grid']:.2f} ± {half['grid']:.2f} (Li et al., AAAI 2023).",
        f"global: published 96.90 / here {mean['global']:.2f} ± {half['global']:.2f} (Li et al., AAAI 2023).",
        f"instance: published 97.00 / here {mean['instance']:.2f} ± {half['instance']:.2f} (somebody else, 2024).",
        f"student_alone: published 91.50 / here {mean['student_alone']:.2f} ± {half['student_alone']:.2f} "
        "(Li et al., AAAI 2023).",
    ]


def test_a_footnote_that_says_what_differs_where_they_do_not() -> None:
    assert published_notes(with_published(quickstart(), "one thing is otherwise", "another, too")) == [
        "Published: teacher 98.40, grid 96.40, global 96.90, student_alone 91.50 (Li et al., AAAI 2023); "
        "instance 97.00 (somebody else, 2024). They don't compare with the numbers above, because here "
        "one thing is otherwise; another, too."
    ]


def test_what_was_not_found_is_a_dash() -> None:
    found = quickstart(protocol="paper")
    taught = [s for s in found.summaries if s.strategy.arm.uses_teacher]
    asked = dataclasses.replace(found.question, teacher=None)
    bare = dataclasses.replace(found, summaries=tuple(taught), question=asked)
    notes = published_notes(with_published(bare))
    assert notes[0] == "teacher: published 98.40 / here - (Li et al., AAAI 2023)."
    assert notes[-1] == "student alone: published 91.50 / here - (Li et al., AAAI 2023)."


def test_nothing_without_published_numbers() -> None:
    assert published_notes(quickstart()) == []


def test_the_student_alone_is_the_first_arm_without_the_teacher_that_has_no_number_of_its_own() -> None:
    names = ("first", "second", "taught")
    results = [trial(name, name, 0, 90, 80 + place) for place, name in enumerate(names)]
    arms = [arm("first", uses_teacher=False), arm("second", uses_teacher=False), arm("taught", overrides_student=True)]
    teacher = TeacherFacts("t", may_have_seen_validation=True)
    found = compare(question(seeds=(0,), teacher=teacher), evaluate(arms, [0], results, "validation"))

    def notes(**published: object) -> list[str]:
        return published_notes(with_published(found, published=Published.model_validate({"source": "A", **published})))

    assert notes(student=70) == ["first: published 70.00 / here 80.00 (A)."]
    assert notes(student=70, arms={"first": 71}) == [
        "first: published 71.00 / here 80.00 (A).",
        "second: published 70.00 / here 81.00 (A).",
    ]
    assert notes(teacher=75.5, arms={"taught": 72}, sources={"taught": "B"}) == [
        "teacher: published 75.50 / here - (A).",
        "taught*‡: published 72.00 / here 82.00 (B).",
    ]
