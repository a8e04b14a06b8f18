"""The bill of a study, as tables, lines and plain values."""

import dataclasses
from collections.abc import Sequence
from typing import Any

from ctkd_study.analysis import Comparison, Use, uses
from ctkd_study.report.columns import Table
from ctkd_study.report.formatting import count, duration, number, optional, percent

_PARTS = {
    "students": "students' training",
    "teachers": "teachers",
    "banks": "teachers' banks",
    "teacher_in_trials": "teacher's work in the trials",
    "evaluation": "evaluation",
    "wasted": "lost to faults",
    "idle": "held, but idle",
}


def tables(comparison: Comparison) -> Sequence[Table]:
    """Return what the study took, and what one use of each strategy takes; empty without a bill."""
    bill = comparison.bill
    if bill is None or not bill.total:
        return ()
    parts = [(name, getattr(bill, key)) for key, name in _PARTS.items()]
    spent = [(name, number(part), percent(part / bill.total)) for name, part in parts if part]
    spent.append(("all", number(bill.total), percent(1.0)))
    found = uses_of(comparison)
    counts = list(found[0].wall_seconds)
    rows = [
        (
            use.name,
            *(optional(use.wall_seconds[each], duration) for each in counts),
            optional(use.saves, number),
            optional(use.pays_after, "{:,.0f} uses".format),
        )
        for use in found
    ]
    titles = ("strategy", *(f"{each} at once" for each in counts), "saves, device-s", "study pays after")
    return (
        Table("What the whole study took", ("what", "device-seconds", "share"), (True, False, False), tuple(spent)),
        Table(
            "One use of a strategy: wall time with so many trials at once, without start-up and teacher, and what it "
            f"saves against {comparison.baseline}",
            titles,
            (True, *[False] * (len(titles) - 1)),
            tuple(rows),
        ),
    )


def lines(comparison: Comparison) -> list[str]:
    """Say in one line or two what the study took, and after how many uses it has paid; empty without a bill."""
    bill = comparison.bill
    if bill is None or not bill.total:
        return []
    idle = f", {percent(bill.idle / bill.total)} of them idle" if bill.idle else ""
    found = [f"The whole study took {number(bill.total)} device-seconds{idle}."]
    for use in uses_of(comparison):
        if use.saves is not None and use.pays_after is not None:
            after = count(use.pays_after, "use")
            found.append(f"{use.name} saves {number(use.saves)} device-seconds a use: the study pays after {after}.")
    return [found[0], *([" ".join(found[1:])] if found[1:] else [])]


def as_json(comparison: Comparison) -> dict[str, Any] | None:
    """Return the bill as plain values, in device-seconds; None without one."""
    bill = comparison.bill
    if bill is None:
        return None
    strategies = [dataclasses.asdict(use) for use in uses_of(comparison)]
    for each in strategies:
        each["wall_seconds"] = {str(devices): seconds for devices, seconds in each["wall_seconds"].items()}
    return {**dataclasses.asdict(bill), "idle": bill.idle, "total": bill.total, "strategies": strategies}


def uses_of(comparison: Comparison) -> list[Use]:
    """Return what one use of each strategy takes; empty without a bill."""
    if comparison.bill is None:
        return []
    strategies = [each.strategy for each in comparison.summaries]
    return uses(comparison.bill, strategies, comparison.pairs, comparison.baseline)
