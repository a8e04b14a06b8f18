"""A trial across interruptions, in this process."""

from pathlib import Path
from typing import Any

import pytest
import torch

from tests.support import settings
from tests.support.trials import finished, same, save
from trainables import record, trial
from trainables.materials import load_materials
from trainables.recorded import run_inline
from trainables.storage import Storage
from trainables.trial import Trial, describe


@pytest.mark.parametrize("arm", ["fixed", "global", "instance", "alone"])
def test_resumed_trial_equals_a_straight_one(tmp_path: Path, arm: str) -> None:
    config = settings.trial(tmp_path, 2, arm, recipe={**settings.RECIPE, "epochs": 6})
    straight = finished(config, tmp_path / "straight")
    run = record.Run.begin(Storage.at(str(tmp_path / "resumed")), record.Scan())
    first = Trial(config, load_materials, [run.start])
    initial = {key: value.clone() for key, value in first.trainer.student.state_dict().items()}
    for _ in range(4):
        first.step()
    run.save(first.manifest(), first.contents())
    resumed = finished(config, tmp_path / "resumed")
    assert [start.epoch for start in resumed.manifest.starts] == [0, 4]
    same(straight, resumed)
    moved = resumed.state()["student"]
    assert not torch.equal(moved["conv1.weight"], initial["conv1.weight"]), "the weights did move"


def test_a_resumed_trial_remembers_its_best_epoch(tmp_path: Path) -> None:
    config = settings.trial(tmp_path, arm="alone", recipe={**settings.RECIPE, "epochs": 4})
    first = Trial(config, load_materials)
    for _ in range(2):
        first.step()
    best = first.trainer.selected
    assert best is not None
    found = save(first, tmp_path / "trial")
    again = Trial(config, load_materials)
    again.restore(found)
    assert again.trainer.selected is not None
    assert again.trainer.selected.row == best.row
    assert again.trainer.selected.correct.tolist() == best.correct.tolist()
    assert all(torch.equal(value, best.weights[key]) for key, value in again.trainer.selected.weights.items())
    # Two epochs that are worse than what the interrupted launch had: they must not be selected.
    with torch.no_grad():
        for parameter in again.trainer.student.parameters():
            parameter.zero_()
    for _ in range(2):
        again.step()
    summary = save(again, tmp_path / "trial").manifest.summary
    assert (summary.selected_epoch, summary.val_top1) == (best.row["epoch"], best.row["val_top1"])


def test_a_failed_trials_checkpoint_keeps_the_best_epoch(tmp_path: Path) -> None:
    trial = Trial(settings.trial(tmp_path, arm="alone"), load_materials)
    trial.step()
    best = trial.trainer.selected
    assert best is not None
    with torch.no_grad():
        next(trial.trainer.student.parameters()).fill_(float("nan"))
    assert trial.step() is None
    newest = save(trial, tmp_path)
    manifest = newest.manifest
    assert (manifest.status, manifest.reason) == ("failed", "train_loss is nan in epoch 2")
    assert (manifest.epoch, manifest.summary.selected_epoch) == (1, 1)
    assert newest.state() == {}, "there is nothing to go on from"
    assert all(torch.equal(value, best.weights[key]) for key, value in newest.best().items())
    (row,) = trial.rows
    for name in ("epoch_seconds", "device_seconds"):
        assert getattr(manifest.summary, name) > (row[name] or 0.0), "the time of the lost epoch counts"
    for name in ("tflop", "eval_tflop"):
        assert getattr(manifest.summary, name) == 2 * (row[name] or 0.0), "and its arithmetic"
    assert manifest.summary.eval_seconds == row["eval_seconds"]


def test_a_checkpoint_is_due_by_epochs_by_time_and_at_the_end(tmp_path: Path) -> None:
    def due(**checkpoint: Any) -> list[bool]:
        run = {"teachers": str(tmp_path), "checkpoint": checkpoint}
        recipe = {**settings.RECIPE, "epochs": 5}
        trial = Trial(settings.trial(tmp_path, arm="alone", run=run, recipe=recipe), load_materials)
        found = []
        for _ in range(5):
            trial.step()
            found.append(trial.wants_checkpoint())
            if found[-1]:
                trial.saved()
        return found

    assert due(seconds=1000.0, epochs=2) == [False, True, False, True, True]
    assert due(seconds=None, epochs=3) == [False, False, True, False, True]
    assert due(seconds=None, epochs=None) == [False, False, False, False, True]
    assert due(seconds=1e-6) == [True] * 5


def test_a_manifest_sums_up_its_rows(tmp_path: Path) -> None:
    config = settings.trial(tmp_path, 7, "global")
    rows: list[record.Row] = [
        {
            "epoch": epoch,
            "val_loss": 1.0,
            "val_top1": 50.0,
            "val_top5": 90.0,
            "val_ece": 5.0,
            "test_loss": 2.0,
            "test_top1": 40.0 + epoch,
            "test_top5": 80.0,
            "test_ece": 6.0 + epoch,
            "epoch_seconds": 1.0 * epoch,
            "device_seconds": 2.0,
            "eval_seconds": 0.5,
            "teacher_seconds": None,
            "tflop": 3.0 * epoch,
            "eval_tflop": 0.5 * epoch,
        }
        for epoch in (1, 2, 3)
    ]
    manifest = describe(config, rows, rows[1], status="running", remarks=("a remark",))
    assert manifest.summary == record.Summary(
        selected_epoch=2, val_loss=1.0, val_top1=50.0, val_top5=90.0, val_ece=5.0,
        test_loss=2.0, test_top1=42.0, test_top5=80.0, test_ece=8.0,
        epoch_seconds=6.0, device_seconds=6.0, eval_seconds=1.5, teacher_seconds=0.0, tflop=9.0,
        eval_tflop=1.5, teacher_tflop=0.0,
    )  # fmt: skip
    assert (manifest.trial, manifest.arm, manifest.seed, manifest.epoch, manifest.epochs) == (
        "global-s7",
        "global",
        7,
        3,
        3,
    )
    assert (manifest.fingerprint, manifest.config) == (config.fingerprint(), config.identity())
    assert manifest.remarks == ("a remark",)
    assert describe(config, [], None, status="failed").summary == record.Summary()


def test_the_machine_is_described() -> None:
    here = trial.machine(torch.device("cpu"))
    assert set(here) == {"host", "processor", "model", "device", "threads", "python", "torch", "numpy", "ray"}
    assert (here["device"], here["torch"]) == ("cpu", torch.__version__.partition("+")[0])
    assert here["threads"] == torch.get_num_threads()


def test_a_change_of_machine_is_remarked_on_and_stays_so(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    config = settings.trial(tmp_path, arm="alone")
    first = Trial(config, load_materials)
    first.step()
    save(first, tmp_path / "moved")
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
