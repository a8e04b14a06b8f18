"""What the tests of faults know about the layout of a storage; nothing else in them depends on it."""

import json
import re
from pathlib import Path

from tests.support.trials import same
from trainables import record
from trainables.record import Checkpoint
from trainables.storage import Storage

#: Paths below the storage, as regular expressions: files that appear while a study runs.
LAUNCHED = r"[^./][^/]*/launches\.json"
TEACHER_SAVING = r"\.teachers/.*/state\.pt[^/]*"
BANK_FILLING = r"\.banks/.*\.npy[^/]*"
SAVE_BEGUN = r"[^./][^/]*/[^/]+-s\d+/.*checkpoint_\d+[^/]*"
SAVING = r"[^./][^/]*/[^/]+-s\d+/.*state\.pt[^/]*"
SAVED = r"[^./][^/]*/[^/]+-s\d+/.*manifest\.json"

#: What trials need and share: with it, a study starts to train at once.
PREPARED = (".teachers", ".banks", "mlflow.db")


def trials(storage: Path, study: str) -> dict[str, Checkpoint]:
    """The newest whole checkpoint of every trial that has one."""
    folder = Storage.at(str(storage)).within(study)
    found = {
        name: record.scan(folder.within(name), level=0).newest for name in folder.names() if re.search(r"-s\d+$", name)
    }
    return {name: checkpoint for name, checkpoint in found.items() if checkpoint is not None}


def workers(storage: Path, study: str) -> dict[str, int]:
    """The process that trains, or has trained, each trial that has a checkpoint."""
    return {name: checkpoint.manifest.starts[-1].pid for name, checkpoint in trials(storage, study).items()}


def trial_of(path: str) -> str:
    """The trial to which a path below the storage belongs."""
    return path.split("/")[1]


def lease_is_free(storage: Path, study: str) -> bool:
    return bool(json.loads((storage / study / "lease.json").read_text())["released"])


def assert_equal(expected: dict[str, Checkpoint], found: dict[str, Checkpoint]) -> None:
    """Every trial is finished, and its rows, tensors and test bits are the expected ones."""
    states = {name: (checkpoint.manifest.status, checkpoint.manifest.reason) for name, checkpoint in found.items()}
    wanted = dict.fromkeys(expected, ("finished", None))
    assert states == wanted, f"{states} instead of {wanted}"
    for name, checkpoint in expected.items():
        same(checkpoint, found[name])
