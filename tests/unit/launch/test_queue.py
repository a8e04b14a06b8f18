"""The queue hands out what is due, once, and asks again when a record has changed."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

from ctkd_study.launch import TrialQueue
from ctkd_study.plan import StudyState, due
from ctkd_study.spec import PlannedTrial, StudySpec, from_mapping
from tests.support.studies import plain
from trainables import record
from trainables.record import Manifest, Row, Status
from trainables.storage import Storage
from trainables.trial import describe

ARMS = {
    "two": {"temperature": {"kind": "fixed", "value": {"grid": [2, 4]}}},
    "alone": {"distiller": {"name": "none"}},
}


def state(folder: Path, **changes: Any) -> StudyState:
    return StudyState(from_mapping(plain(**{"arms": ARMS, "seeds": [5, 3], **changes})), Storage.at(str(folder)))


def row(epoch: int) -> Row:
    return {"epoch": epoch, "time_ms": epoch, "epoch_seconds": 1.0, "device_seconds": 1.0, "val_top1": 50.0}


def write(queue: TrialQueue, trial_id: str, status: Status, epochs: int = 1, index: int = 10_000) -> None:
    """What a worker would have recorded."""
    pending = queue.handed_out[trial_id]
    rows = [row(epoch) for epoch in range(1, epochs + 1)]
    manifest = describe(pending.config, rows, rows[-1], status=status)
    record.write_into(queue.state.folder.trial(trial_id), index, manifest, rows, {}, None, None)


def pulled(queue: TrialQueue) -> list[str]:
    found = []
    while (pending := queue.pull()) is not None:
        found.append(pending.id)
    return found


def test_everything_is_due_at_once_seed_by_seed_and_handed_out_once(tmp_path: Path) -> None:
    here = state(tmp_path)
    queue = TrialQueue(here, "uid", 1)
    ids = [trial.id for trial in due(here.spec, {})]
    assert [(i.split("-")[0], i[-2:]) for i in ids] == [
        ("two", "s5"),
        ("two", "s5"),
        ("alone", "s5"),
        ("two", "s3"),
        ("two", "s3"),
        ("alone", "s3"),
    ]
    assert [pending.id for pending in queue.waiting] == ids
    assert pulled(queue) == ids
    assert queue.waiting == []
    assert not queue.exhausted, "they are running"
    for trial_id in ids:
        write(queue, trial_id, "finished")
        assert queue.ended(trial_id) == "finished"
    assert queue.exhausted
    assert pulled(queue) == []
    assert {m.status for m in here.manifests.values()} == {"finished"}


def test_what_is_wanted_overtakes(tmp_path: Path) -> None:
    queue = TrialQueue(state(tmp_path), "uid", 1)
    first = queue.pull(lambda trial: trial.arm == "alone")
    assert first is not None
    assert (first.trial.arm, first.trial.seed) == ("alone", 5)
    assert queue.pull(lambda trial: False) is None
    assert len(pulled(queue)) == 5
    assert first.id not in [pending.id for pending in queue.waiting]


def test_a_pending_trial_knows_its_launch(tmp_path: Path) -> None:
    changes = {"checkpoint": {"epochs": 7}, "resources": {"cpu": 2.0}}
    pending = TrialQueue(state(tmp_path, **changes), "the-uid", 3).pull()
    assert pending is not None
    run = pending.config.run
    assert (run.study, run.uid, run.trial, run.arm) == ("small", "the-uid", pending.id, "two")
    assert (run.setting, run.attempt, run.teachers, run.cores) == ("T=2", 3, str(tmp_path), 2.0)
    assert run.checkpoint.epochs == 7
    assert (pending.checkpoint, pending.first_index) == (None, 30_000)
    assert pending.config.seed == 5


def test_an_unfinished_trial_goes_on_from_its_newest_checkpoint(tmp_path: Path) -> None:
    first = TrialQueue(state(tmp_path), "uid", 1)
    ids = pulled(first)
    write(first, ids[0], "running", epochs=2, index=10_007)
    write(first, ids[1], "failed")
    write(first, ids[2], "finished")
    again = state(tmp_path).read()
    queue = TrialQueue(again, "uid", 2)
    assert [pending.id for pending in queue.waiting] == [ids[0], *ids[3:]]
    pending = queue.pull()
    assert pending is not None
    assert pending.checkpoint is not None
    assert (pending.checkpoint.name, pending.first_index) == ("checkpoint_010007", 20_000)

    again.forget_failures()
    retried = TrialQueue(again, "uid", 3)
    assert ids[1] in [pending.id for pending in retried.waiting]


def test_a_retry_goes_back_to_before_the_failure(tmp_path: Path) -> None:
    queue = TrialQueue(state(tmp_path), "uid", 1)
    trial_id = pulled(queue)[0]
    write(queue, trial_id, "running", epochs=2, index=10_000)
    write(queue, trial_id, "failed", epochs=3, index=10_001)
    write(queue, trial_id, "failed", epochs=3, index=10_002)
    again = state(tmp_path).read()
    again.forget_failures()
    assert again.manifests[trial_id].epoch == 2
    assert queue.state.folder.trial(trial_id).names() == ["checkpoint_010000"]
    pending = TrialQueue(again, "uid", 2).pull()
    assert pending is not None
    assert pending.checkpoint is not None
    assert pending.checkpoint.index == 10_000


def test_a_crash_is_recorded_with_the_rows_and_costs_so_far(tmp_path: Path) -> None:
    queue = TrialQueue(state(tmp_path), "uid", 1)
    trial_id, other = pulled(queue)[:2]
    write(queue, trial_id, "running", epochs=2, index=10_004)
    queue.crashed(trial_id, "RuntimeError: the disk is full")
    found = record.scan(queue.state.folder.trial(trial_id)).newest
    assert found is not None
    manifest = found.manifest
    assert (found.index, manifest.status, manifest.reason) == (10_005, "failed", "RuntimeError: the disk is full")
    assert (manifest.epoch, len(found.rows())) == (2, 2)
    assert (manifest.summary.device_seconds, manifest.summary.val_top1) == (2.0, 50.0)
    assert queue.state.manifests[trial_id] == manifest

    queue.crashed(other, "ValueError: at once")
    found = record.scan(queue.state.folder.trial(other)).newest
    assert found is not None
    assert (found.index, found.manifest.epoch, found.manifest.reason) == (10_000, 0, "ValueError: at once")
    assert trial_id not in [pending.id for pending in queue.waiting], "a failure is final until it is retried"


def test_a_stopped_launch_reads_what_its_trials_recorded(tmp_path: Path) -> None:
    here = state(tmp_path)
    queue = TrialQueue(here, "uid", 1)
    trial_id = pulled(queue)[0]
    write(queue, trial_id, "running", epochs=2)
    assert trial_id not in here.manifests
    queue.stop()
    assert here.manifests[trial_id].epoch == 2
    assert not queue.exhausted


def test_the_rule_is_asked_again_only_when_nothing_is_waiting(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[int] = []

    def counted(study: StudySpec, records: Mapping[str, Manifest]) -> tuple[PlannedTrial, ...]:
        asked.append(len(records))
        return due(study, records)

    monkeypatch.setattr("ctkd_study.launch.queue.due", counted)
    queue = TrialQueue(state(tmp_path), "uid", 1)
    while (pending := queue.pull()) is not None:
        write(queue, pending.id, "finished")
        queue.ended(pending.id)
    assert queue.exhausted
    assert asked == [0, 6], "at the start, and after the last of six trials"
