"""A study's folder, ``<storage>/<study>/``: the stored study, its JSON files, and one folder per trial."""

import json
import time
import uuid
from typing import Any

from ctkd_study.errors import SpecError, StudyError, UnknownStudyError
from ctkd_study.spec import StudySpec, from_mapping
from trainables.storage import Storage

STUDY = "study.json"
_VERSION = 1


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
        stored = self._study()
        uid = stored["uid"] if stored else uuid.uuid4().hex
        created = stored["created_ms"] if stored else now_ms()
        content = {"version": _VERSION, "uid": uid, "created_ms": created, "study": spec.plain()}
        if content != stored:
            self.root.write(STUDY, json.dumps(content, indent=1, ensure_ascii=False).encode())
        return str(uid)

    def stored(self) -> tuple[StudySpec, str]:
        """The stored study and its uid.

        Raises:
            UnknownStudyError: no study is stored here.
            StudyError: it is damaged, or of a newer version.
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
        if not any(not name.startswith((".", "lease")) for name in self.root.names()):
            return None
        number = 1
        while self.storage.exists(f"{self.name}.{number}"):
            number += 1
        self.storage.move(self.name, f"{self.name}.{number}")
        return f"{self.name}.{number}"

    # -- its JSON files ----------------------------------------------------------------------------------------------

    def read_json(self, name: str) -> Any:
        """The content of a JSON file; None where there is none.

        Raises:
            StudyError: it is not JSON.
        """
        try:
            return json.loads(self.root.read(name))
        except FileNotFoundError:
            return None
        except ValueError as fault:
            raise self.damaged(name) from fault

    def read_entries(self, name: str, *keys: str) -> list[dict[str, Any]]:
        """The entries of a JSON file that holds a list of mappings with at least these keys; empty without a file.

        Raises:
            StudyError: it holds something else.
        """
        content = self.read_json(name)
        if content is None and not self.root.exists(name):
            return []
        if not isinstance(content, list) or not all(isinstance(e, dict) and e.keys() >= set(keys) for e in content):
            raise self.damaged(name)
        return content

    def write_json(self, name: str, content: Any) -> None:
        """Write a JSON file whole or not at all."""
        self.root.write(name, json.dumps(content, indent=1).encode())

    def damaged(self, name: str) -> StudyError:
        """The error that says that a file here is damaged."""
        return StudyError(
            f"{self.root.path(name)} is damaged: restore it from a copy, or start anew with --fresh (which keeps the "
            "old folder)"
        )

    def _study(self) -> dict[str, Any] | None:
        content = self.read_json(STUDY)
        if content is None and not self.is_study():
            return None
        if not (isinstance(content, dict) and isinstance(content.get("uid"), str) and "study" in content):
            raise self.damaged(STUDY)
        if content.get("version", 0) > _VERSION:
            raise StudyError(f"{self.root.path(STUDY)} was written by a newer version of ctkd-study: use that one")
        return content


def now_ms() -> int:
    """Milliseconds since 1970."""
    return time.time_ns() // 1_000_000
