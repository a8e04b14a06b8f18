"""Refuses to go on with a study whose trials are no longer the planned ones, or not of one data set and teacher."""

import json
from collections.abc import Iterable, Mapping, Sequence
from types import MappingProxyType
from typing import Any

from ctkd_study.errors import ChangedStudyError
from ctkd_study.records.folder import StudyFolder
from ctkd_study.spec import Arm, PlannedTrial
from trainables.inputs import Inputs, short
from trainables.record import Manifest

_OTHERWISE = "give the study another name, or start anew with --fresh (the old folder is kept)."
_PLUG_INS = (
    " All source files of a plug-in's package count as its code, unless its options class declares what stands for it "
    "(version: ClassVar[str])."
)
_UNKNOWN: Mapping[int, Inputs] = MappingProxyType({})
_NAMED = 5


def refuse_changes(
    folder: StudyFolder,
    arms: Iterable[Arm],
    trials: Iterable[PlannedTrial],
    recorded: Mapping[str, Manifest],
    now: Mapping[int, Inputs] = _UNKNOWN,
) -> None:
    """Check that every recorded trial is the one that is planned now, and that those of a group have read the same.

    Args:
        folder: the study's.
        arms: the planned ones; a search's trials are tied to how it searches.
        trials: the planned ones.
        recorded: their newest manifests, by trial id.
        now: the data and the teacher of each group of seeds as they are now, as far as that is known here.

    Raises:
        ChangedStudyError: one is not; the message lists what differs.
    """
    changes: dict[str, list[str]] = {}
    searched = {arm.name: arm.searched for arm in arms}
    for each in recorded.values():
        if each.arm in searched:
            for line in differences(each.search, searched[each.arm], f"arms.{each.arm}"):
                changes.setdefault(line, []).append(each.trial)
    for trial in (planned := list(trials)):
        if (manifest := recorded.get(trial.id)) is None:
            continue
        lines, config = inputs_of(manifest).differences(now.get(trial.group, Inputs())), trial.config
        if manifest.status == "stopped":
            lines += differences(manifest.scheduler, trial.setting.scheduler, f"arms.{trial.arm}.scheduler")
        if manifest.fingerprint != config.fingerprint():
            lines += differences(manifest.config, config.identity())
        for line in lines:
            changes.setdefault(line, []).append(trial.id)
    if changes:
        listed = [f"  {line}    ({len(ids)} trials, e.g. {ids[0]})" for line, ids in changes.items()]
        raise ChangedStudyError(
            f"{folder.name} has trials in {folder.root.root} that the study file no longer describes:\n"
            + "\n".join(listed)
            + f"\nChange it back, {_OTHERWISE}"
            + (_PLUG_INS if any(line.startswith("code") for line in changes) else "")
        )
    _refuse_mixture(folder, planned, recorded)


def inputs_of(manifest: Manifest) -> Inputs:
    """Return the data and the teacher that a trial was trained with, as its record states them."""
    return Inputs(manifest.data, manifest.teacher)


def _refuse_mixture(folder: StudyFolder, trials: Sequence[PlannedTrial], recorded: Mapping[str, Manifest]) -> None:
    """Check that all trials of a group of seeds were trained on the same data, and read the same teacher."""
    read: dict[str, dict[str, list[str]]] = {}
    for trial in trials:
        if (manifest := recorded.get(trial.id)) is not None:
            inputs = inputs_of(manifest)
            for title, group, sha256 in (
                ("data (content)", trial.split_group, inputs.data),
                ("teacher (weights)", trial.group, inputs.teacher),
            ):
                if sha256 is not None:
                    named = f"{title} of group {group}" if group else title
                    read.setdefault(named, {}).setdefault(sha256, []).append(trial.id)
    lines = [
        f"  {title} {short(sha256)}    ({_listed(ids)})"
        for title, by_content in read.items()
        if len(by_content) > 1
        for sha256, ids in by_content.items()
    ]
    if lines:
        raise ChangedStudyError(
            f"{folder.name} mixes trials in {folder.root.root} that were trained on different data or teachers:\n"
            + "\n".join(lines)
            + f"\nRemove the folders of those that are wrong, {_OTHERWISE}"
        )


def _listed(ids: Sequence[str]) -> str:
    more = f" and {len(ids) - _NAMED} more" if len(ids) > _NAMED else ""
    return f"{len(ids)} trials: {', '.join(ids[:_NAMED])}{more}"


def differences(old: Any, new: Any, at: str = "") -> list[str]:
    """What differs between two plain values, one line per dotted key; a key that one lacks counts as null."""
    if isinstance(old, dict) and isinstance(new, dict):
        keys = [*old, *(key for key in new if key not in old)]
        parts = [differences(old.get(key), new.get(key), f"{at}.{key}" if at else key) for key in keys]
        return [line for part in parts for line in part]
    return [] if old == new else [f"{at}: {json.dumps(old)} -> {json.dumps(new)}"]
