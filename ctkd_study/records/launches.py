"""The launches of a study (``launches.json``), and the work that each lost to faults."""

from collections.abc import Mapping
from typing import Any

from ctkd_study.records.folder import StudyFolder, now_ms

LAUNCHES = "launches.json"


def begin_launch(folder: StudyFolder, lost_before: Mapping[str, float]) -> int:
    """Number a launch, from 1.

    Args:
        folder: the study's.
        lost_before: device-seconds that the launch before lost when it died, by trial id.
    """
    launches = _launches(folder)
    if launches and lost_before:
        launches[-1]["wasted"] = _sum(launches[-1]["wasted"], lost_before)
    attempt = len(launches) + 1
    folder.write_json(LAUNCHES, [*launches, {"attempt": attempt, "started_ms": now_ms(), "wasted": {}}])
    return attempt


def end_launch(folder: StudyFolder, wasted: Mapping[str, float]) -> None:
    """Store what the current launch lost to faults: device-seconds by trial id."""
    launches = _launches(folder)
    launches[-1].update(wasted=dict(wasted), ended_ms=now_ms())
    folder.write_json(LAUNCHES, launches)


def wasted(folder: StudyFolder) -> dict[str, float]:
    """Device-seconds lost to faults in all launches, by trial id."""
    return _sum(*(launch["wasted"] for launch in _launches(folder)))


def _sum(*losses: Mapping[str, float]) -> dict[str, float]:
    total: dict[str, float] = {}
    for each in losses:
        for trial_id, seconds in each.items():
            total[trial_id] = total.get(trial_id, 0.0) + seconds
    return total


def _launches(folder: StudyFolder) -> list[dict[str, Any]]:
    return folder.read_entries(LAUNCHES, "attempt", "wasted")
