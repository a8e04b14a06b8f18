"""Who looked at the verdict, with how many seeds (``looks.json``)."""

import logging
from collections.abc import Mapping

from ctkd_study.errors import StudyError
from ctkd_study.records.folder import StudyFolder, now_ms

log = logging.getLogger(__name__)

LOOKS = "looks.json"


def record_look(folder: StudyFolder, seeds: int, verdicts: Mapping[str, str]) -> int:
    """Record a look at the verdict; returns at how many different numbers of seeds somebody has looked.

    Args:
        folder: the study's.
        seeds: how many seeds the verdict rests on.
        verdicts: what it says, by arm.
    """
    try:
        looks = folder.read_entries(LOOKS, "seeds", "verdicts")
    except StudyError as fault:
        log.warning("%s; a new list of looks is begun", fault)
        looks = []
    if not looks or looks[-1]["seeds"] != seeds or looks[-1]["verdicts"] != dict(verdicts):
        looks.append({"time_ms": now_ms(), "seeds": seeds, "verdicts": dict(verdicts)})
        try:
            folder.write_json(LOOKS, looks)
        except OSError as fault:  # a read-only storage gives an answer, too
            log.warning("this look is not recorded: %s", fault)
    return len({look["seeds"] for look in looks})
