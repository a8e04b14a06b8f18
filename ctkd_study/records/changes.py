"""Refuses to go on with a study whose recorded trials are no longer the planned ones."""

import json
from collections.abc import Iterable, Mapping
from typing import Any

from ctkd_study.errors import ChangedStudyError
from ctkd_study.records.folder import StudyFolder
from ctkd_study.spec import PlannedTrial
from trainables.record import Manifest


def refuse_changes(folder: StudyFolder, trials: Iterable[PlannedTrial], recorded: Mapping[str, Manifest]) -> None:
    """Check that every recorded trial is the one that is planned now.

    Raises:
        ChangedStudyError: one is not; the message lists what differs.
    """
    changes: dict[str, list[str]] = {}
    for trial in trials:
        manifest, config = recorded.get(trial.id), trial.config
        if manifest is not None and manifest.fingerprint != config.fingerprint():
            for line in differences(manifest.config, config.identity()):
                changes.setdefault(line, []).append(trial.id)
    if changes:
        lines = [f"  {line}    ({len(ids)} trials, e.g. {ids[0]})" for line, ids in changes.items()]
        raise ChangedStudyError(
            f"{folder.name} has trials in {folder.root.root} that the study file no longer describes:\n"
            + "\n".join(lines)
            + "\nChange it back, give the study another name, or start anew with --fresh (the old folder is kept)."
        )


def differences(old: Any, new: Any, at: str = "") -> list[str]:
    """What differs between two plain values, one line per dotted key; a key that one lacks counts as null."""
    if isinstance(old, dict) and isinstance(new, dict):
        keys = [*old, *(key for key in new if key not in old)]
        parts = [differences(old.get(key), new.get(key), f"{at}.{key}" if at else key) for key in keys]
        return [line for part in parts for line in part]
    return [] if old == new else [f"{at}: {json.dumps(old)} -> {json.dumps(new)}"]
