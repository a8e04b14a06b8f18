"""A study's folder: the resolved study, its launches, its looks, and one folder per trial."""

import dataclasses
import json
import logging
import time
import uuid
from collections.abc import Iterable, Mapping
from typing import Any

from ctkd_study.errors import ChangedStudyError, SpecError, StudyError, UnknownStudyError
from ctkd_study.plan import Plan, PlannedTrial
from ctkd_study.spec import StudySpec, from_mapping
from trainables import record
from trainables.record import Manifest, Scan
from trainables.storage import Storage

log = logging.getLogger(__name__)

STUDY, LAUNCHES, LOOKS = "study.json", "launches.json", "looks.json"
_VERSION = 1


@dataclasses.dataclass(frozen=True)
class Launch:
    """One time that the study was run."""

    attempt: int
    started_ms: int
    wasted: dict[str, float]
    """Device-seconds of work that was lost to faults, by trial id."""


class StudyFolder:
    """``<storage>/<study>/``.

    Args:
        storage: where studies lie.
        name: the study's name.
    """

    def __init__(self, storage: Storage, name: str) -> None:
        self.storage, self.name = storage, name
        self.root = storage.within(name)

    # -- the study ---------------------------------------------------------------------------------------------------

    def open(self, spec: StudySpec) -> str:
        """Stores the resolved study and returns its uid, drawn at the first time."""
        stored = self._study()
        uid = stored["uid"] if stored else uuid.uuid4().hex
        created = stored["created_ms"] if stored else _now()
        content = {"version": _VERSION, "uid": uid, "created_ms": created, "study": spec.plain()}
        if content != stored:
            self.root.write(STUDY, json.dumps(content, indent=1, ensure_ascii=False).encode())
        return str(uid)

    def stored(self) -> tuple[StudySpec, str]:
        """The stored study and its uid.

        Raises:
            UnknownStudyError: there is none.
        """
        content = self._study()
        if content is None:
            known = [name for name in self.storage.names() if self.storage.exists(f"{name}/{STUDY}")]
            listing = f"it holds {', '.join(known)}" if known else "it holds no study"
            raise UnknownStudyError(f"no study {self.name!r} in {self.storage.root}: {listing}. Run its file first.")
        try:
            return from_mapping(content["study"]), content["uid"]
        except SpecError as faults:
            raise StudyError(f"{self.root.path(STUDY)} is no study of this version:\n{faults}") from faults

    def set_aside(self) -> str | None:
        """Renames the folder, for a fresh start; returns the new name, or None where there was nothing."""
        if not any(not name.startswith((".", "lease")) for name in self.root.names()):
            return None
        number = 1
        while self.storage.exists(f"{self.name}.{number}"):
            number += 1
        self.storage.move(self.name, f"{self.name}.{number}")
        return f"{self.name}.{number}"

    # -- trials ------------------------------------------------------------------------------------------------------

    def trial(self, trial_id: str) -> Storage:
        return self.root.within(trial_id)

    def scan(self, trials: Iterable[PlannedTrial]) -> dict[str, Scan]:
        """What the folders of the planned trials hold, by trial id."""
        present = set(self.root.names())
        return {
            trial.id: record.scan(self.trial(trial.id)) if trial.id in present else Scan(None, 0, ())
            for trial in trials
        }

    def manifests(self, plan: Plan) -> dict[str, Manifest]:
        """The newest complete manifests of the planned trials that have one, by trial id; sizes are checked, content
        is not."""
        present = set(self.root.names())
        found = {
            trial.id: record.scan(self.trial(trial.id), check_hashes=False).newest
            for trial in plan.trials
            if trial.id in present
        }
        return {trial_id: checkpoint.manifest for trial_id, checkpoint in found.items() if checkpoint is not None}

    def refuse_changes(self, plan: Plan, recorded: Mapping[str, Manifest]) -> None:
        """Sees to it that every recorded trial is the one that is planned now.

        Raises:
            ChangedStudyError: it is not; the message has the differences.
        """
        changes: dict[str, list[str]] = {}
        for trial in plan.trials:
            manifest, config = recorded.get(trial.id), trial.config
            if manifest is not None and manifest.fingerprint != config.fingerprint():
                for line in differences(manifest.config, config.identity()):
                    changes.setdefault(line, []).append(trial.id)
        if changes:
            lines = [f"  {line}    ({len(ids)} trials, e.g. {ids[0]})" for line, ids in changes.items()]
            raise ChangedStudyError(
                f"{self.name} has trials in {self.root.root} that the study file no longer describes:\n"
                + "\n".join(lines)
                + "\nChange it back, give the study another name, or start anew with --fresh (the old folder is kept)."
            )

    # -- launches and looks ------------------------------------------------------------------------------------------

    def begin_launch(self, wasted: Mapping[str, float]) -> Launch:
        """Numbers a launch, from 1.

        Args:
            wasted: device-seconds that the launch before lost when it died, by trial id.
        """
        launches = self._list(LAUNCHES)
        if launches and wasted:
            before = launches[-1]["wasted"]
            launches[-1]["wasted"] = {key: before.get(key, 0.0) + value for key, value in wasted.items()} | {
                key: value for key, value in before.items() if key not in wasted
            }
        launch = Launch(len(launches) + 1, _now(), {})
        self._store(LAUNCHES, [*launches, dataclasses.asdict(launch)])
        return launch

    def end_launch(self, wasted: Mapping[str, float]) -> None:
        """Stores what the current launch lost to faults, by trial id."""
        launches = self._list(LAUNCHES)
        launches[-1].update(wasted=dict(wasted), ended_ms=_now())
        self._store(LAUNCHES, launches)

    def wasted(self) -> dict[str, float]:
        """Device-seconds lost to faults in all launches, by trial id."""
        total: dict[str, float] = {}
        for launch in self._list(LAUNCHES):
            for trial_id, seconds in launch["wasted"].items():
                total[trial_id] = total.get(trial_id, 0.0) + seconds
        return total

    def look(self, seeds: int, verdicts: Mapping[str, str]) -> int:
        """Records that somebody looked at the verdict with this many seeds; returns how many different looks there
        were."""
        try:
            looks = self._list(LOOKS)
        except StudyError as fault:
            log.warning("%s; it is begun anew", fault)
            looks = []
        if not looks or looks[-1]["seeds"] != seeds or looks[-1]["verdicts"] != dict(verdicts):
            looks.append({"time_ms": _now(), "seeds": seeds, "verdicts": dict(verdicts)})
            try:
                self._store(LOOKS, looks)
            except OSError as fault:  # an answer is given on a read-only storage, too
                log.warning("this look is not recorded: %s", fault)
        return len({look["seeds"] for look in looks})

    def _json(self, name: str) -> Any:
        try:
            return json.loads(self.root.read(name))
        except FileNotFoundError:
            return None
        except ValueError as fault:
            raise self._damaged(name) from fault

    def _study(self) -> dict[str, Any] | None:
        content = self._json(STUDY)
        if content is None and not self.root.exists(STUDY):
            return None
        if not (isinstance(content, dict) and isinstance(content.get("uid"), str) and "study" in content):
            raise self._damaged(STUDY)
        if content.get("version", 0) > _VERSION:
            raise StudyError(f"{self.root.path(STUDY)} was written by a newer version of ctkd-study: use that one")
        return content

    def _list(self, name: str) -> list[dict[str, Any]]:
        content = self._json(name)
        if content is None and not self.root.exists(name):
            return []
        keys = {LAUNCHES: ("attempt", "wasted"), LOOKS: ("seeds", "verdicts")}[name]
        if not isinstance(content, list) or not all(isinstance(e, dict) and e.keys() >= set(keys) for e in content):
            raise self._damaged(name)
        return content

    def _damaged(self, name: str) -> StudyError:
        return StudyError(
            f"{self.root.path(name)} is damaged: restore it from a copy, or start anew with --fresh (which keeps the "
            "old folder)"
        )

    def _store(self, name: str, content: Any) -> None:
        self.root.write(name, json.dumps(content, indent=1).encode())


def differences(old: Any, new: Any, at: str = "") -> list[str]:
    """What differs between two plain values, one line per dotted key."""
    if isinstance(old, dict) and isinstance(new, dict):
        keys = [*old, *(key for key in new if key not in old)]
        parts = [differences(old.get(key), new.get(key), f"{at}.{key}" if at else key) for key in keys]
        return [line for part in parts for line in part]
    return [] if old == new else [f"{at}: {json.dumps(old)} -> {json.dumps(new)}"]


def _now() -> int:
    return time.time_ns() // 1_000_000
