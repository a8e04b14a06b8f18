"""What the tests of faults know about the layout of a storage; nothing else in them depends on it."""

import contextlib
import json
import re
import sqlite3
from pathlib import Path

from ctkd_study.records.launches import LAUNCHES
from tests.support.trials import same
from trainables import lease, record
from trainables.record import Checkpoint
from trainables.storage import Storage

#: Paths below the storage, as regular expressions: files that appear while a study runs.
_CHECKPOINT = r"[^./][^/]*/[^/]+-s\d+/run-\d+-\d+/checkpoint_\d+"
LAUNCHED = r"[^./][^/]*/launches/\d+\.json"
TEACHER_SAVING = r"\.teachers/.*/state\.pt"
BANK_FILLING = r"\.banks/.*\.npy"
SAVE_BEGUN = rf"{_CHECKPOINT}\.\w+\.tmp"
SAVING = rf"{_CHECKPOINT}\.\w+\.tmp/state\.pt"
SAVED = _CHECKPOINT

#: What trials need and share: with it, a study starts to train at once.
PREPARED = (".teachers", ".banks", "mlflow.db")


def trials(storage: Path, study: str) -> dict[str, Checkpoint]:
    """The newest whole checkpoint of every trial that has one."""
    folder = Storage.at(str(storage)).within(study)
    found = {
        name: record.scan(folder.within(name), level=0).newest for name in folder.names() if re.search(r"-s\d+$", name)
    }
    return {name: checkpoint for name, checkpoint in found.items() if checkpoint is not None}


def writer_of(storage: Path, path: str) -> int:
    """The process that writes a path below a trial's run."""
    study, trial, run, *_ = path.split("/")
    return int(json.loads((storage / study / trial / run / "start.json").read_text())["pid"])


def lease_is_free(storage: Path, study: str) -> bool:
    """Whether the newest launch has let go of the study."""
    launches = Storage.at(str(storage)).within(study, LAUNCHES)
    return lease.ended(launches, lease.terms(launches)[-1])


def assert_equal(expected: dict[str, Checkpoint], found: dict[str, Checkpoint]) -> None:
    """Every trial is finished, and its rows, tensors and test bits are the expected ones."""
    states = {name: (checkpoint.manifest.status, checkpoint.manifest.reason) for name, checkpoint in found.items()}
    wanted = dict.fromkeys(expected, ("finished", None))
    assert states == wanted, f"{states} instead of {wanted}"
    for name, checkpoint in expected.items():
        same(checkpoint, found[name])


def assert_tracked(expected: Path, found: Path, study: str) -> None:
    """MLflow's database has the same values of every trial in two storages, but for times."""
    assert _tracked(found, study) == _tracked(expected, study)


def _tracked(storage: Path, study: str) -> dict[str, list[tuple[str, int, float]]]:
    """The values of every run that MLflow has of a study, by the run's name."""
    uid = json.loads((storage / study / "study.json").read_text())["uid"]
    query = """
        SELECT runs.name, runs.status, metrics.key, metrics.step, metrics.value
        FROM runs JOIN tags USING (run_uuid) JOIN metrics USING (run_uuid)
        WHERE tags.key = 'ctkd.uid' AND tags.value = ?
    """
    values: dict[str, list[tuple[str, int, float]]] = {}
    with contextlib.closing(sqlite3.connect(f"file:{storage / 'mlflow.db'}?mode=ro", uri=True)) as database:
        for name, status, key, step, value in database.execute(query, [uid]):
            if not re.search("second", key):
                values.setdefault(f"{name} {status}", []).append((key, step, value))
    return {name: sorted(each) for name, each in values.items()}
