"""A study's folder, ``<storage>/<study>/``: the stored study, its JSON files, and one folder per trial."""

import itertools
import json
import time
import uuid
from collections.abc import Callable
from typing import Any

from ctkd_study.errors import SpecError, StudyError, UnknownStudyError
from ctkd_study.spec import StudySpec, from_mapping
from trainables import checksums
from trainables.storage import Storage

STUDY = "study.json"
_VERSION = 2


class StudyFolder:
    """A study's folder.

    Args:
        storage: where studies lie.
        name: the study's name.
    """

    def __init__(self, storage: Storage, name: str) -> None:
        self.storage, self.name = storage, name
        self.root = storage.within(name)

    def trial(self, trial_id: str) -> Storage:
        """The folder of a trial."""
        return self.root.within(trial_id)

    # -- the study ---------------------------------------------------------------------------------------------------

    def is_study(self) -> bool:
        """Whether a study is stored here."""
        return self.root.exists(STUDY)

    def store(self, spec: StudySpec) -> str:
        """Store the resolved study; returns its uid, which is drawn at the first time."""
        stored = self._study() or {"uid": uuid.uuid4().hex, "created_ms": now_ms()}
        kept = {key: stored[key] for key in ("uid", "created_ms")}
        content = {"version": _VERSION, **kept, "study": spec.plain()}
        if content != stored:
            self.root.write(STUDY, checksums.sealed(content))
        return str(stored["uid"])

    def stored(self) -> tuple[StudySpec, str]:
        """The stored study and its uid.

        Raises:
            UnknownStudyError: no study is stored here.
            StudyError: it is damaged, or of another version.
        """
        content = self._study()
        if content is None:
            known = [name for name in self.storage.names() if self.storage.exists(f"{name}/{STUDY}")]
            listing = f"it holds {', '.join(known)}" if known else "it holds no study"
            raise UnknownStudyError(f"no study {self.name!r} in {self.storage.root}: {listing}. Run its file first.")
        try:
            return from_mapping(content["study"]), content["uid"]
        except SpecError as faults:
            raise StudyError(f"{self.root.path(STUDY)} is not a study of this version:\n{faults}") from faults

    def set_aside(self) -> str | None:
        """Rename the folder, for a fresh start; returns the new name, or None where there was nothing."""
        if not self.is_study():
            return None
        names = (f"{self.name}.{number}" for number in itertools.count(1))
        aside = next(name for name in names if not self.storage.exists(name))
        self.storage.move(self.name, aside)
        return aside

    # -- its JSON files ----------------------------------------------------------------------------------------------

    def read_entries(self, name: str, *keys: str) -> list[dict[str, Any]]:
        """The entries of a JSON file that holds a list of mappings with at least these keys; empty without a file.

        Raises:
            StudyError: it holds something else.
        """

        def parsed(text: bytes) -> list[dict[str, Any]]:
            content = json.loads(text)
            if not isinstance(content, list) or not all(isinstance(e, dict) and e.keys() >= set(keys) for e in content):
                raise ValueError("it holds no such list")
            return content

        return self._read(name, parsed) or []

    def write_json(self, name: str, content: Any) -> None:
        """Write a JSON file whole or not at all."""
        self.root.write(name, json.dumps(content, indent=1).encode())

    def _study(self) -> dict[str, Any] | None:
        def parsed(text: bytes) -> dict[str, Any]:
            content = json.loads(text)
            if not isinstance(content, dict) or not isinstance(content.get("version"), int):
                raise ValueError("it holds no study")
            if content["version"] != _VERSION:
                return content
            content = checksums.unsealed(text)
            if not isinstance(content.get("uid"), str) or "study" not in content:
                raise ValueError("it holds no study")
            return content

        content: dict[str, Any] | None = self._read(STUDY, parsed)
        if content is not None and content["version"] > _VERSION:
            raise StudyError(f"{self.root.path(STUDY)} was written by a newer version of ctkd-study: use that one")
        if content is not None and content["version"] < _VERSION:
            raise StudyError(
                f"{self.root.path(STUDY)} was written by an earlier version of ctkd-study, whose records this one does "
                "not read: give the study another name, or start anew with --fresh (which keeps the old folder)"
            )
        return content

    def _read(self, name: str, parsed: Callable[[bytes], Any]) -> Any:
        """The content of a file; None without a file. Refuses as damaged what can't be parsed."""
        try:
            return parsed(self.root.read(name))
        except FileNotFoundError:
            return None
        except (ValueError, RecursionError) as fault:
            advice = "restore it from a copy, or start anew with --fresh (which keeps the old folder)"
            raise StudyError(f"{self.root.path(name)} is damaged: {advice}") from fault


def now_ms() -> int:
    """Milliseconds since 1970."""
    return time.time_ns() // 1_000_000
