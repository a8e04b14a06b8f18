"""Replays in a report: the table, the caveats, and their JSON."""

import dataclasses
from collections.abc import Sequence
from typing import Any

from ctkd_study.analysis import Comparison, Cost, Replay
from ctkd_study.report.columns import Table
from ctkd_study.report.formatting import difference, number, plus_minus

_MOST_DIFFERENCES = 3
"""So many other strategies have a column; JSON has them all."""


def table(comparison: Comparison, replays: Sequence[Replay]) -> Table:
    """Return the replays as a table, a row each: accuracy, differences to what was run, and cost."""
    summaries = {summary.strategy.name: summary for summary in comparison.summaries}
    grids = {replay.arm for replay in replays}
    # The baseline first, then single runs that use the teacher: what the replays compete with.
    rivals = [name for name, each in summaries.items() if name not in grids and each.strategy.arm.uses_teacher]
    shown = list(dict.fromkeys((comparison.baseline, *rivals)))[: 1 + _MOST_DIFFERENCES]
    reference = summaries[comparison.baseline].cost
    rows = []
    for replay in replays:
        by_name = {each.b: each for each in replay.differences}
        differences = (difference(by_name[b].difference, by_name[b].low, by_name[b].high) for b in shown)
        name = f"{replay.arm}: {replay.name}" if len(grids) > 1 else replay.name
        rows.append((name, plus_minus(replay.test_top1), *differences, *_costs(replay.cost, reference)))
    titles = ("replayed", "test", *(f"minus {b}" for b in shown), "TFLOP", "ratio", "device-seconds", "ratio")
    caption = (
        "What other searches of the same settings would have reached and paid: mean over seeds, with its 95 % interval"
    )
    return Table(caption, titles, (True, *[False] * (len(titles) - 1)), tuple(rows))


def _costs(cost: Cost, reference: Cost | None) -> tuple[str, str, str, str]:
    ratios = ["", ""]
    if reference is not None and reference.device_seconds > 0 and reference.tflop > 0:
        ratios = [f"{cost.tflop / reference.tflop:.2f}", f"{cost.device_seconds / reference.device_seconds:.2f}"]
    return number(cost.tflop), ratios[0], number(cost.device_seconds), ratios[1]


def notes(replays: Sequence[Replay]) -> list[str]:
    """Say how the replays are to be read; nothing where there are none."""
    kinds = {replay.kind for replay in replays}
    found = []
    if kinds:
        found.append(
            "Replays train nothing: they are computed from the grid's trials, are about its settings alone, and have "
            "no verdict. Of the single settings, only the one that you would have named beforehand is a fair rival."
        )
    if "transferred" in kinds:
        found.append(
            "The best of the other seeds has the best mean validation accuracy there; that tuning is not paid."
        )
    if kinds & {"halving", "asha"}:
        found.append(
            "Halving and ASHA stop trials that follow the schedules of the full length. A scheduler that shortens a "
            "cosine or λ schedule for short trials would do otherwise."
        )
    return found


def values(replays: Sequence[Replay]) -> list[dict[str, Any]]:
    """Return the replays as plain objects."""
    return [
        {
            **dataclasses.asdict(replay),
            "test_top1": {**vars(replay.test_top1), "per_seed": [*replay.test_top1.per_seed]},
        }
        for replay in replays
    ]
