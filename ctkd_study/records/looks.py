"""Who looked at the verdict, with how many seeds (``looks.json``)."""

import dataclasses
import logging
from collections.abc import Mapping
from typing import Any

from ctkd_study.errors import StudyError
from ctkd_study.records.folder import StudyFolder, now_ms

log = logging.getLogger(__name__)

LOOKS = "looks.json"


@dataclasses.dataclass(frozen=True)
class Asked:
    """What must be chosen before anyone looks, if the error of the verdict is to hold."""

    margin: float
    baseline: str
    confirm: tuple[str, ...]

    def plain(self) -> dict[str, Any]:
        """As ``looks.json`` holds it."""
        return {"margin": self.margin, "baseline": self.baseline, "confirm": list(self.confirm)}


def record_look(
    folder: StudyFolder, seeds: int, verdicts: Mapping[str, str], asked: Asked
) -> tuple[int, tuple[str, ...]]:
    """Record a look at the verdict.

    Args:
        folder: the study's.
        seeds: how many seeds the verdict rests on.
        verdicts: what it says, by arm.
        asked: the question that it answers.

    Returns:
        At how many different numbers of seeds somebody has looked, and what was asked otherwise at the first look.
    """
    try:
        looks = folder.read_entries(LOOKS, "seeds", "verdicts", "margin", "baseline", "confirm")
    except StudyError as fault:
        log.warning("%s; a new list of looks is begun", fault)
        looks = []
    look = {"seeds": seeds, "verdicts": dict(verdicts), **asked.plain()}
    if not looks or {**looks[-1], **look} != looks[-1]:
        looks.append({"time_ms": now_ms(), **look})
        try:
            folder.write_json(LOOKS, looks)
        except OSError as fault:  # a read-only storage gives an answer, too
            log.warning("this look is not recorded: %s", fault)
    changed = tuple(key for key, value in asked.plain().items() if looks[0][key] != value)
    return len({look["seeds"] for look in looks}), changed
