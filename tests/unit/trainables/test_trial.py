"""A trial across interruptions, in this process."""

import json
from pathlib import Path
from typing import Any

import pytest
import torch

from tests.support import settings
from tests.support.trials import finished, same, without_clock
from trainables import preparation, record, teacher, trial
from trainables.materials import load_materials
from trainables.storage import Storage
from trainables.trial import Trial, run_inline


@pytest.mark.parametrize("arm", ["fixed", "global", "instance", "alone"])
def test_resumed_trial_equals_a_straight_one(tmp_path: Path, arm: str) -> None:
    config = settings.trial(tmp_path, 2, arm, recipe={**settings.RECIPE, "epochs": 6})
    straight = finished(config, tmp_path / "straight")
    folder = Storage.at(str(tmp_path / "resumed"))
    first = Trial(config, load_materials)
    initial = {key: value.clone() for key, value in first.trainer.student.state_dict().items()}
    for _ in range(4):
        first.step()
    first.write(folder.within(record.checkpoint_name(0)))
    resumed = finished(config, tmp_path / "resumed")
    assert [start.epoch for start in resumed.manifest.starts] == [0, 4]
    same(straight, resumed)
    moved = resumed.state()["student"]
    assert not torch.equal(moved["conv1.weight"], initial["conv1.weight"]), "the weights did move"


def test_a_change_of_machine_is_remarked_on_and_stays_so(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    config = settings.trial(tmp_path, arm="alone")
    folder = Storage.at(str(tmp_path / "moved"))
    first = Trial(config, load_materials)
    first.step()
    first.write(folder.within(record.checkpoint_name(0)))
    here = trial.machine(torch.device("cpu"))
    monkeypatch.setattr(trial, "machine", lambda device: {**here, "model": "Abacus", "host": "elsewhere"})
    moved = finished(config, tmp_path / "moved")
    text = f"trained on more than one kind of machine ({here['model']} to Abacus)"
    assert moved.manifest.remarks == (text,)
    monkeypatch.undo()
    again = Trial(config, load_materials)
    again.restore(moved)
    assert again.remarks[0] == text


def test_trial_that_stops_being_finite_fails_with_a_reason_and_its_cost_counts(tmp_path: Path) -> None:
    config = settings.trial(tmp_path, recipe={"epochs": 20, "batch_size": 32, "lr": 1000.0, "weight_decay": 1.0})
    newest = finished(config, tmp_path / "trial")
    manifest = newest.manifest
    assert manifest.status == "failed"
    assert manifest.reason is not None
    assert "in epoch" in manifest.reason
    assert manifest.epoch == len(newest.rows()) < 20
    rows = newest.rows()
    assert manifest.summary.device_seconds > sum(row["device_seconds"] or 0 for row in rows)
    again = run_inline(config, load_materials, Storage.at(str(tmp_path / "trial")))
    assert again == manifest, "a failed trial is not run again"


def test_another_trials_checkpoint_is_refused(tmp_path: Path) -> None:
    newest = finished(settings.trial(tmp_path, 0), tmp_path / "trial")
    other = Trial(settings.trial(tmp_path, 1), load_materials)
    with pytest.raises(ValueError, match="goes on only from its own checkpoint"):
        other.restore(newest)


def test_teacher_is_trained_once_and_resumable(tmp_path: Path) -> None:
    config = settings.trial(tmp_path)
    rows: list[Any] = []
    assert preparation.ensure(config, rows.append) is not None
    assert len(rows) == 2
    again = preparation.ensure(config, rows.append)
    assert again is not None
    assert again.status == "finished"
    assert len(rows) == 2
    folder = Storage.at(str(tmp_path)).within(teacher.TEACHERS, teacher.fingerprint(config))
    newest = record.scan(folder).newest
    assert newest is not None
    assert newest.manifest.config["data"]["train_examples"] is None, "the teacher sees all that validation leaves"


def test_teacher_from_a_published_file(tmp_path: Path) -> None:
    config = settings.trial(tmp_path)
    preparation.ensure(config)
    newest = record.scan(Storage.at(str(tmp_path)).within(teacher.TEACHERS, teacher.fingerprint(config))).newest
    assert newest is not None
    file = tmp_path / "published.pth"
    torch.save({"epoch": 240, "model": newest.best(), "accuracy": 72.3}, file)
    loaded = settings.trial(tmp_path, teacher={**settings.STUDENT, "checkpoint": str(file)})
    assert teacher.fingerprint(loaded) != teacher.fingerprint(config)
    rows = [finished(each, tmp_path / name).rows() for name, each in (("ours", config), ("theirs", loaded))]
    assert [without_clock(row) for row in rows[0]] == [without_clock(row) for row in rows[1]]


def test_a_file_that_would_run_code_is_refused(tmp_path: Path) -> None:
    class Payload:
        def __reduce__(self) -> Any:
            return Path.touch, (tmp_path / "ran",)

    file = tmp_path / "evil.pth"
    torch.save({"model": Payload()}, file)
    config = settings.trial(tmp_path, teacher={**settings.STUDENT, "checkpoint": str(file)})
    with pytest.raises(ValueError, match="cannot be read as weights alone"):
        preparation.ensure(config)
    assert not (tmp_path / "ran").exists()


def test_teacher_file_of_another_network_is_refused(tmp_path: Path) -> None:
    file = tmp_path / "other.pth"
    torch.save({"model": {"weight": torch.zeros(2)}}, file)
    with pytest.raises(ValueError, match="does not fit"):
        preparation.ensure(settings.trial(tmp_path, teacher={**settings.STUDENT, "checkpoint": str(file)}))


def test_checkpoints_are_json_without_nan(tmp_path: Path) -> None:
    newest = finished(settings.trial(tmp_path), tmp_path / "trial")
    text = newest.storage.read(f"{newest.name}/{record.HISTORY}").decode()

    def refuse(constant: str) -> None:
        raise AssertionError(constant)

    for line in text.splitlines():
        json.loads(line, parse_constant=refuse)
