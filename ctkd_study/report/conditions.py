"""What verdicts hold for, and how their error is shared: said here once, for every form of a report."""

from ctkd_study.analysis import ERROR, Comparison
from ctkd_study.report.formatting import count


def conditions(comparison: Comparison) -> str:
    """Return what stays the same in all that the intervals are about; empty where there is no interval.

    For example: ``on this test set, with this teacher and split``.
    """
    abouts = dict.fromkeys(pair.interval.about for pair in comparison.pairs if pair.interval is not None)
    vary, same = comparison.question.vary, ["split"] if comparison.question.vary.split == 1 else []
    if comparison.question.teacher is not None and vary.groups == 1:
        same.insert(0, "teacher")
    fixed = f", with this {' and '.join(same)}" if same else ""
    return "; ".join(f"{about}{fixed}" for about in abouts)


def each_interval(comparison: Comparison) -> str:
    """Return every interval by what it is about, with all arms; empty where each arm has one interval."""
    if all(len(pair.intervals) < 2 for pair in comparison.pairs):
        return ""
    listed: dict[str, list[str]] = {}
    for pair in comparison.pairs:
        for each in pair.intervals:
            listed.setdefault(each.about, []).append(f"{pair.a} {each.low:+.2f} to {each.high:+.2f}")
    return "; ".join(f"{about}: {', '.join(arms)}" for about, arms in listed.items())


def family(comparison: Comparison) -> str:
    """Say how many arms share the error of the verdict; empty where there is only one."""
    if (arms := len(comparison.confirmed)) < 2:
        return ""
    return f"the {count(arms, 'confirmed arm')} share a one-sided error of {100 * ERROR:g} %"


def method(comparison: Comparison) -> str:
    """Say how the verdicts were reached, and what they are about; empty without differences."""
    if not comparison.pairs:
        return ""
    over = "groups of seeds" if comparison.question.vary.groups > 1 else "seeds"
    if comparison.rule is None:
        how = f"paired t intervals over {over}: a one-sided error of 2.5 % at one look, shared by the confirmed arms"
    else:
        how = "repeated confidence intervals over seeds: a one-sided error of 2.5 % for all looks and confirmed arms"
    limits = f" The intervals are {about}." if (about := conditions(comparison)) else ""
    exploratory = (
        " Each exploratory arm has an error of its own." if len(comparison.confirmed) < len(comparison.pairs) else ""
    )
    return f"Verdicts are read off {how} together.{exploratory}{limits}"
