"""What a trial writes down, number by number, with clock and machine given."""

import dataclasses
import platform
import socket
from collections import Counter
from importlib.metadata import version
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch

from tests.support import tiny
from tests.support.trials import save
from trainables import numerics, trial
from trainables.config import TrialConfig
from trainables.materials import Materials
from trainables.record import Row, Start, Summary
from trainables.trainer import NotFinite
from trainables.trial import Trial, describe


class _Clock:
    """Stands still until it is moved."""

    def __init__(self) -> None:
        self.now = 1000.0

    def monotonic(self) -> float:
        return self.now

    def perf_counter(self) -> float:
        return self.now


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> _Clock:
    clock = _Clock()
    monkeypatch.setattr(trial, "time", clock)
    return clock


def materials(config: TrialConfig, device: torch.device) -> Materials:
    return tiny.materials(tiny.Told() if config.uses_teacher else None)


START = Start(attempt=2, epoch=0, time_ms=1_000_007, host="here", pid=41)


def test_every_field_of_a_manifest(tmp_path: Path, clock: _Clock) -> None:
    place: dict[str, Any] = {"suggestion": 3, "search": {"by": "tpe"}, "scheduler": {"by": "asha"}}
    config = tiny.distilled()
    config = config.model_copy(update={"run": config.run.model_copy(update=place)})
    ours = Trial(config, materials, [START])
    rows = [ours.step() for _ in range(2)]
    ours.remarks = ("a remark",)
    found = save(ours, tmp_path)
    manifest = found.manifest
    assert rows == ours.rows
    assert ours.trainer.selected is not None
    best = ours.trainer.selected.row
    first, second = ours.rows

    def both(name: str) -> float:
        return float(first[name] or 0) + float(second[name] or 0)

    assert manifest.model_dump(exclude={"files", "machine"}) == {
        "version": 3,
        "study": "s",
        "uid": "u",
        "trial": "t",
        "arm": "a",
        "setting": "x",
        "seed": 3,
        **place,
        "fingerprint": config.fingerprint(),
        "config": config.identity(),
        "data": None,
        "teacher": None,
        "attempt": 2,
        "epoch": 2,
        "epochs": 3,
        "status": "running",
        "reason": None,
        "traceback": None,
        "starts": [{"attempt": 2, "incarnation": 1, "epoch": 0, "time_ms": 1_000_007, "host": "here", "pid": 41}],
        "summary": {
            "selected_epoch": best["epoch"],
            **{
                f"{part}_{name}": best[f"{part}_{name}"]
                for part in ("val", "test")
                for name in ("loss", "top1", "top5", "ece")
            },
            **{name: both(name) for name in ("epoch_seconds", "device_seconds", "eval_seconds", "teacher_seconds")},
            **{name: second[name] for name in ("tflop", "eval_tflop", "teacher_tflop")},
        },
        "test_examples": 11,
        "chance": 100 * max(Counter(tiny.arrays().test_labels.tolist()).values()) / 11,
        "remarks": ("a remark",),
    }
    assert manifest.machine == trial.machine(tiny.CPU)
    assert set(manifest.files) == {"history.jsonl", "state.pt", "best.pt", "test_correct.bits"}
    assert found.rows() == ours.rows
    assert found.test_correct(11).tolist() == ours.trainer.selected.correct.tolist()
    assert all(torch.equal(value, ours.trainer.selected.weights[name]) for name, value in found.best().items())
    assert (found.state()["epoch"], found.state()["tflop"]) == (2, ours.trainer.state()["tflop"])
    ours.step()
    assert ours.status == "finished"
    assert ours.manifest().status == "finished"


def test_a_manifest_without_rows_is_all_zeros() -> None:
    manifest = describe(tiny.trial(), [], None, status="running")
    assert (manifest.summary, manifest.epoch) == (Summary(), 0)


def test_a_summary_counts_what_a_row_lacks_as_nothing() -> None:
    rows: list[Row] = [
        {"epoch": 1, "epoch_seconds": 1.0, "device_seconds": 2.0, "eval_seconds": 4.0, "tflop": 8.0},
        {"epoch": 2, "epoch_seconds": 3.0, "teacher_seconds": 5.0, "eval_tflop": 6.0, "teacher_tflop": 7.0},
    ]
    summary = describe(tiny.trial(), rows, None, status="running").summary
    assert (summary.epoch_seconds, summary.device_seconds, summary.eval_seconds) == (4.0, 2.0, 4.0)
    assert summary.teacher_seconds == 5.0
    assert (summary.tflop, summary.eval_tflop, summary.teacher_tflop) == (0.0, 6.0, 7.0)
    assert (summary.selected_epoch, summary.test_top1) == (None, None)


def test_the_epoch_that_fails_is_paid_for(tmp_path: Path, clock: _Clock, monkeypatch: pytest.MonkeyPatch) -> None:
    ours = Trial(tiny.trial(run={"cores": 4.0}), materials)
    ours.step()
    before = describe(ours.config, ours.rows, None, status="running").summary

    def broken() -> Row:
        clock.now += 5.0
        ours.trainer.tflop, ours.trainer.eval_tflop, ours.trainer.teacher_tflop = 10.0, 20.0, 30.0
        raise NotFinite("kd_loss is nan in epoch 2")

    monkeypatch.setattr(ours.trainer, "train_epoch", broken)
    assert ours.step() is None
    assert (ours.status, ours.reason, len(ours.rows)) == ("failed", "kd_loss is nan in epoch 2", 1)
    assert ours.wants_checkpoint()
    newest = save(ours, tmp_path)
    summary = newest.manifest.summary
    assert (newest.manifest.status, newest.manifest.reason) == ("failed", "kd_loss is nan in epoch 2")
    assert summary.epoch_seconds == pytest.approx(before.epoch_seconds + 5.0)
    assert summary.device_seconds == pytest.approx(before.device_seconds + 20.0)
    assert (summary.tflop, summary.eval_tflop, summary.teacher_tflop) == (10.0, 20.0, 30.0)
    assert (summary.eval_seconds, summary.selected_epoch) == (before.eval_seconds, 1)
    assert newest.state() == {}


def test_a_trial_that_fails_at_once_has_no_best_epoch(tmp_path: Path) -> None:
    ours = Trial(tiny.trial(), materials)
    with torch.no_grad():
        next(ours.trainer.student.parameters()).fill_(float("nan"))
    assert ours.step() is None
    newest = save(ours, tmp_path)
    assert newest.manifest.reason == "train_loss is nan in epoch 1"
    assert newest.manifest.summary.epoch_seconds > 0
    assert set(newest.manifest.files) == {"history.jsonl", "state.pt"}


def test_a_checkpoint_is_due_by_the_clock_from_the_last_one(tmp_path: Path, clock: _Clock) -> None:
    run = {"checkpoint": {"seconds": 30.0, "epochs": None}}
    ours = Trial(tiny.trial(run=run), materials)
    ours.trainer.epoch = 1
    clock.now = 1029.75
    assert not ours.wants_checkpoint()
    clock.now = 1030.0
    assert ours.wants_checkpoint()
    ours.saved()
    assert not ours.wants_checkpoint()
    clock.now = 1059.75
    assert not ours.wants_checkpoint()
    clock.now = 1060.0
    assert ours.wants_checkpoint()


def test_a_checkpoint_is_due_by_epochs_from_the_last_one(tmp_path: Path, clock: _Clock) -> None:
    run = {"checkpoint": {"seconds": None, "epochs": 2}}
    ours = Trial(tiny.trial(run=run, recipe={"epochs": 9, "batch_size": 8}), materials)
    due = []
    for epoch in range(1, 9):
        ours.trainer.epoch = epoch
        due.append(ours.wants_checkpoint())
        if epoch == 3:
            ours.saved()
    assert due == [False, True, True, False, True, True, True, True]
    ours.trainer.epoch = 9
    ours.saved()
    assert ours.wants_checkpoint(), "always at the end"


def test_without_a_rule_a_checkpoint_is_due_at_the_end_alone(clock: _Clock) -> None:
    ours = Trial(tiny.trial(run={"checkpoint": {"seconds": None, "epochs": None}}), materials)
    clock.now = 1e9
    for epoch, due in ((1, False), (2, False), (3, True)):
        ours.trainer.epoch = epoch
        assert ours.wants_checkpoint() == due
    ours.trainer.epoch, ours.reason = 1, "a reason"
    assert ours.wants_checkpoint()


def test_what_a_resumed_trial_takes_over(tmp_path: Path, clock: _Clock) -> None:
    config = tiny.trial(run={"attempt": 1, "checkpoint": {"seconds": None, "epochs": 2}})
    ours = Trial(config, materials)
    for _ in range(2):
        ours.step()
    best = ours.trainer.selected
    assert best is not None
    newest = save(ours, tmp_path)
    newest = dataclasses.replace(newest, manifest=newest.manifest.model_copy(update={"remarks": ("one", "two")}))
    clock.now = 2000.0
    again = Trial(config, materials)
    again.remarks = ("two", "three")
    again.restore(newest)
    assert again.rows == ours.rows
    assert list(again.remarks) == ["one", "two", "three"], "each once"
    assert again.trainer.epoch == 2
    assert again.trainer.selected is not None
    assert again.trainer.selected.row == best.row
    assert again.trainer.selected.correct.tolist() == best.correct.tolist()
    assert all(torch.equal(value, best.weights[name]) for name, value in again.trainer.selected.weights.items())
    again.trainer.epoch = 1
    assert not again.wants_checkpoint(), "the interval begins at the checkpoint"
    again.trainer.epoch = 2
    straight, resumed = ours.step(), again.step()
    assert straight is not None
    assert resumed is not None
    assert resumed["train_loss"] == straight["train_loss"]


def test_a_trial_resumed_before_its_first_selection_has_none(tmp_path: Path) -> None:
    newest = save(Trial(tiny.trial(), materials), tmp_path)
    again = Trial(tiny.trial(), materials)
    again.restore(newest)
    assert again.trainer.selected is None
    assert again.step() is not None


def test_another_trials_checkpoint_is_refused_by_name(tmp_path: Path) -> None:
    newest = save(Trial(tiny.trial(), materials), tmp_path)
    other = tiny.trial(seed=4)
    with pytest.raises(ValueError, match="own checkpoint") as refused:
        Trial(other, materials).restore(newest)
    assert str(refused.value) == (
        f"a trial goes on only from its own checkpoint: {tmp_path}/run-000001-001/checkpoint_000001 has fingerprint "
        f"{tiny.trial().fingerprint()}, the trial has {other.fingerprint()}"
    )


@pytest.mark.parametrize("kind", ["processor", "model", "device", "threads", "torch"])
def test_a_change_of_any_part_that_rounds_is_remarked_on(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, kind: str
) -> None:
    here = trial.machine(tiny.CPU)
    newest = save(Trial(tiny.trial(), materials), tmp_path)
    monkeypatch.setattr(trial, "machine", lambda device: {**here, kind: "another"})
    again = Trial(tiny.trial(), materials)
    again.restore(newest)
    assert again.remarks == (f"trained on more than one kind of machine ({here[kind]} to another)",)


def test_a_change_of_parts_that_do_not_round_goes_without_remark(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    here = trial.machine(tiny.CPU)
    newest = save(Trial(tiny.trial(), materials), tmp_path)
    for before, now, remarks in (
        (here, here, ()),
        (here, {**here, "host": "b", "python": "4", "numpy": "9", "ray": "9"}, ()),
        ({}, here, ()),
        (
            {**here, "threads": 2, "torch": "1"},
            {**here, "threads": 3, "torch": "2"},
            ("trained on more than one kind of machine (2 to 3, 1 to 2)",),
        ),
    ):
        again = Trial(tiny.trial(), materials)
        monkeypatch.setattr(trial, "machine", lambda device, now=now: now)
        again.restore(dataclasses.replace(newest, manifest=newest.manifest.model_copy(update={"machine": before})))
        assert again.remarks == remarks


def test_the_machine_field_by_field(monkeypatch: pytest.MonkeyPatch) -> None:
    here = trial.machine(tiny.CPU)
    expected = {
        "host": socket.gethostname(),
        "processor": platform.machine(),
        "device": "cpu",
        "threads": torch.get_num_threads(),
        "python": platform.python_version(),
        "torch": version("torch"),
        "numpy": version("numpy"),
        "ray": version("ray"),
    }
    assert {name: value for name, value in here.items() if name != "model"} == expected
    assert isinstance(here["model"], str)
    monkeypatch.setattr(torch.cuda, "get_device_name", lambda device: f"card {device.index}")
    assert trial.machine(torch.device("cuda", 3))["device"] == "card 3"


def test_a_trial_sets_the_switches_for_its_seed_and_loads_its_materials(monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[Any] = []

    def apply(*parts: Any) -> torch.device:
        asked.append(parts)
        return numerics.apply(*parts)

    def listened(config: TrialConfig, device: torch.device) -> Materials:
        asked.append((config, device))
        return materials(config, device)

    monkeypatch.setattr(trial, "numerics", SimpleNamespace(apply=apply))
    config = tiny.trial(numerics={"device": "cpu"})
    ours = Trial(config, listened)
    assert asked == [(config.numerics, 3), (config, tiny.CPU)]
    assert (ours.rows, ours.reason, ours.remarks, ours.status) == ([], None, (), "running")
