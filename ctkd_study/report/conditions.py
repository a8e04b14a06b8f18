"""What verdicts hold for, and how their error is shared: said here once, for every form of a report."""

from ctkd_study.analysis import ERROR, Comparison
from ctkd_study.report.formatting import count


def conditions(comparison: Comparison) -> str:
    """Return what stays the same in all that the intervals are about; empty where there is no interval.

    For example: ``on this test set, with this teacher and split``.
    """
    abouts = dict.fromkeys(pair.interval.about for pair in comparison.pairs if pair.interval is not None)
    teacher = comparison.question.teacher
    same = "with this split" if teacher is None else "with this teacher and split"
    if teacher is not None and teacher.number > 1:
        same = f"with these {teacher.number} teachers and splits"
    return "; ".join(f"{about}, {same}" if "teachers" not in about else about for about in abouts)


def family(comparison: Comparison) -> str:
    """Say how many arms share the error of the verdict; empty where there is only one."""
    if (arms := len(comparison.confirmed)) < 2:
        return ""
    return f"the {count(arms, 'confirmed arm')} share a one-sided error of {100 * ERROR:g} %"


def method(comparison: Comparison) -> str:
    """Say how the verdicts were reached, and what they are about; empty without differences."""
    if not comparison.pairs:
        return ""
    if comparison.rule is None:
        how = "paired t intervals over seeds: a one-sided error of 2.5 % at one look, shared by the confirmed arms"
    else:
        how = "repeated confidence intervals over seeds: a one-sided error of 2.5 % for all looks and confirmed arms"
    limits = f" The intervals are {about}." if (about := conditions(comparison)) else ""
    exploratory = (
        " Each exploratory arm has an error of its own." if len(comparison.confirmed) < len(comparison.pairs) else ""
    )
    return f"Verdicts are read off {how} together.{exploratory}{limits}"
