"""What the literature reports for the same pair of networks, beside what was found here."""

from collections.abc import Iterator

from ctkd_study.analysis import Comparison
from ctkd_study.report.formatting import NOTHING, optional, plus_minus
from ctkd_study.report.notes import marked_name
from ctkd_study.spec import Published


def published_notes(comparison: Comparison) -> list[str]:
    """Return published accuracies beside those found here, a note each, where the study follows the literature.

    Otherwise the two do not compare: a single note then gives the published ones and what differs.
    """
    published, differs = comparison.question.published, comparison.question.published_differs
    if published is None:
        return []
    entries = list(_entries(comparison, published))
    if not differs:
        return [f"{what}: published {theirs:.2f} / here {ours} ({source})." for what, theirs, ours, source in entries]
    numbers: dict[str, list[str]] = {}
    for what, theirs, _, source in entries:
        numbers.setdefault(source, []).append(f"{what} {theirs:.2f}")
    given = "; ".join(f"{', '.join(found)} ({source})" for source, found in numbers.items())
    return [f"Published: {given}. They don't compare with the numbers above, because here {'; '.join(differs)}."]


def _entries(comparison: Comparison, published: Published) -> Iterator[tuple[str, float, str, str]]:
    """Yield what was measured, its published accuracy, ours as text, and the source."""
    teacher = comparison.question.teacher
    if published.teacher is not None:
        ours = teacher.test_top1 if teacher is not None else None
        yield "teacher", published.teacher, optional(ours, "{:.2f}".format), published.source
    alone = False
    for summary in comparison.summaries:
        arm = summary.strategy.name
        theirs, source = published.arms.get(arm), published.source_of(arm)
        if theirs is None and not summary.strategy.arm.uses_teacher and not alone:
            theirs, source, alone = published.student, published.source, True
        if theirs is not None:
            yield marked_name(summary.strategy, teacher), theirs, plus_minus(summary.test_top1), source
    if published.student is not None and not alone:
        yield "student alone", published.student, NOTHING, published.source
