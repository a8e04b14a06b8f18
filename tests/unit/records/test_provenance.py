"""How a study was run: the launches say with which code, the manifests on which machines."""

import json
import subprocess
from pathlib import Path
from typing import Any

import pytest

from ctkd_study.records import Launch, Provenance, StudyFolder, provenance
from trainables.record import Manifest
from trainables.storage import Storage


def git(folder: Path, *arguments: str) -> str:
    identity = ("-c", "user.name=a", "-c", "user.email=a@b.c")
    command = ["git", "-C", str(folder), *identity, *arguments]
    return subprocess.run(command, check=True, capture_output=True, text=True).stdout.strip()


@pytest.fixture
def study(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> StudyFolder:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("GIT_CEILING_DIRECTORIES", str(tmp_path.parent))
    return StudyFolder(Storage.at(str(tmp_path / "results")), "small")


def launched(study: StudyFolder) -> dict[str, Any]:
    with Launch(study) as held:
        stored: dict[str, Any] = json.loads(study.root.read(f"launches/{held.number:06d}.json"))
    return stored


def test_launches_record_the_commit_and_whether_it_has_changes(study: StudyFolder, tmp_path: Path) -> None:
    assert "commit" not in launched(study), "the folder is not in a repository"
    git(tmp_path, "init", "-q")
    (tmp_path / "study.yaml").write_text("a")
    git(tmp_path, "add", "study.yaml")
    git(tmp_path, "commit", "-qm", "a")
    commit = git(tmp_path, "rev-parse", "HEAD")
    assert launched(study)["commit"] == commit
    assert launched(study)["commit"] == commit
    (tmp_path / "study.yaml").write_text("b")
    assert launched(study)["commit"] == f"{commit}-dirty"
    found = provenance(study, [])
    assert (found.launches, found.commits) == (4, (commit, f"{commit}-dirty"))
    assert found.first_ms is not None
    assert found.last_ms is not None
    assert found.first_ms < found.last_ms
    assert set(found.versions) == {"ctkd-study"}


def test_machines_are_counted_by_kind_and_hosts_by_name(study: StudyFolder) -> None:
    old: dict[str, Any] = {
        "host": "a",
        "model": "Xeon",
        "device": "cpu",
        "threads": 1,
        "torch": "2.1",
        "python": "3.11",
    }
    machines = [old, {**old, "host": "b"}, {**old, "device": "H100", "threads": 2, "torch": "2.2"}, {}]
    trial: dict[str, Any] = {
        **dict.fromkeys(("study", "uid", "trial", "arm", "setting", "fingerprint"), "a"),
        **dict.fromkeys(("seed", "attempt", "epoch", "epochs"), 1),
    }
    found = provenance(study, [Manifest(config={}, status="finished", machine=each, **trial) for each in machines])
    assert found == Provenance(
        versions={"python": ("3.11",), "torch": ("2.1", "2.2")},
        machines={"Xeon, 1 thread": 2, "Xeon, H100, 2 threads": 1},
        hosts=2,
    )
