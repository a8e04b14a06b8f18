"""The queue hands out what is due, once, and asks again when a record has changed."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

from ctkd_study.launch import RetryPolicy, TrialQueue
from ctkd_study.plan import StudyState, due
from ctkd_study.spec import PlannedTrial, StudySpec, from_mapping
from tests.support.clocks import Clock
from tests.support.records import saved
from tests.support.studies import plain
from trainables.record import Manifest, Row, Status
from trainables.storage import Storage
from trainables.storage.local import Folder
from trainables.trial import describe

ARMS = {
    "two": {"temperature": {"kind": "fixed", "value": {"grid": [2, 4]}}},
    "alone": {"distiller": {"name": "none"}},
}


def state(folder: Path, **changes: Any) -> StudyState:
    return StudyState(from_mapping(plain(**{"arms": ARMS, "seeds": [5, 3], **changes})), Storage.at(str(folder)))


def row(epoch: int) -> Row:
    return {"epoch": epoch, "time_ms": epoch, "epoch_seconds": 1.0, "device_seconds": 1.0, "val_top1": 50.0}


def write(queue: TrialQueue, trial_id: str, status: Status, epochs: int = 1) -> None:
    """What a worker would have recorded."""
    config = queue.handed_out[trial_id].config
    rows = [row(epoch) for epoch in range(1, epochs + 1)]
    manifest = describe(config, rows, rows[-1], status=status)
    saved(queue.state.folder.trial(trial_id), manifest, rows, config.run.attempt)


@pytest.fixture
def clock() -> Clock:
    return Clock()


def begun(here: StudyState, launch: int = 1, **more: Any) -> TrialQueue:
    """The queue of a launch."""
    return TrialQueue(here, here.stored(), launch, **more)


def pulled(queue: TrialQueue) -> list[str]:
    found = []
    while (pending := queue.pull()) is not None:
        found.append(pending.id)
    return found


def test_everything_is_due_at_once_seed_by_seed_and_handed_out_once(tmp_path: Path) -> None:
    here = state(tmp_path)
    queue = begun(here)
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
    queue = begun(state(tmp_path))
    first = queue.pull(lambda trial: trial.arm == "alone")
    assert first is not None
    assert (first.trial.arm, first.trial.seed) == ("alone", 5)
    assert queue.pull(lambda trial: False) is None
    assert len(pulled(queue)) == 5
    assert first.id not in [pending.id for pending in queue.waiting]


def test_a_pending_trial_knows_its_launch(tmp_path: Path) -> None:
    changes = {"checkpoint": {"epochs": 7}, "resources": {"cpu": 2.0}}
    pending = begun(here := state(tmp_path, **changes), 3).pull()
    assert pending is not None
    run = pending.config.run
    assert (run.study, run.uid, run.trial, run.arm) == ("small", here.stored(), pending.id, "two")
    assert (run.setting, run.attempt, run.teachers, run.cores) == ("T=2", 3, str(tmp_path), 2.0)
    assert run.checkpoint.epochs == 7
    assert (run.folder, run.retry) == (f"{tmp_path}/small/{pending.id}", False)
    assert pending.tries == 1
    assert pending.config.seed == 5


def test_what_has_no_final_record_is_due_again_in_the_next_launch(tmp_path: Path) -> None:
    first = begun(state(tmp_path))
    ids = pulled(first)
    write(first, ids[0], "running", epochs=2)
    write(first, ids[1], "failed")
    write(first, ids[2], "finished")
    again = state(tmp_path).read()
    assert [pending.id for pending in begun(again, 2).waiting] == [ids[0], *ids[3:]]
    again.forget_failures(3)
    retried = begun(again, 3, retry=True)
    assert [pending.id for pending in retried.waiting] == [*ids[:2], *ids[3:]]
    assert all(pending.config.run.retry for pending in retried.waiting)


# -- interrupted trials ----------------------------------------------------------------------------------------------


def waits(queue: TrialQueue, clock: Clock, trial_id: str) -> float:
    """Seconds until a trial that was interrupted is handed out again, which it then is."""
    assert pulled(queue) == []
    pause = queue.seconds_to_wait()
    assert pause is not None
    clock.now += pause - 0.001
    assert pulled(queue) == []
    clock.now += 0.002
    assert pulled(queue) == [trial_id]
    return round(pause, 2)


def test_pauses_double_until_the_trial_gets_further(tmp_path: Path, clock: Clock) -> None:
    queue = begun(state(tmp_path, seeds=[5]), now=clock)
    trial_id, *others = pulled(queue)
    for other in others:
        write(queue, other, "finished")
        queue.ended(other)
    pauses = []
    for epochs in (0, 0, 0, 1, 1, 1, 2, 2):
        if epochs:
            write(queue, trial_id, "running", epochs)
        assert queue.ended(trial_id, "OSError: gone") in ("running", None)
        pauses.append(waits(queue, clock, trial_id))
    assert pauses == [1, 2, 4, 1, 2, 4, 1, 2]
    assert queue.handed_out[trial_id].tries == 9
    write(queue, trial_id, "finished", 3)
    assert queue.ended(trial_id) == "finished"
    assert queue.exhausted
    assert (queue.unfinished, queue.seconds_to_wait()) == ({}, None)


def test_a_trial_that_never_gets_further_stays_unfinished_with_its_reason(tmp_path: Path, clock: Clock) -> None:
    queue = begun(state(tmp_path, seeds=[5], arms={"alone": ARMS["alone"]}), now=clock)
    (trial_id,) = pulled(queue)
    pauses = []
    for number in range(1, 10):
        assert queue.ended(trial_id, f"OSError: gone {number} times") is None
        assert not queue.exhausted
        assert queue.unfinished == {trial_id: f"OSError: gone {number} times"}
        pauses.append(waits(queue, clock, trial_id))
        assert queue.running == {trial_id}
    assert pauses == [1, 2, 4, 8, 16, 32, 60, 60, 60]
    queue.ended(trial_id, "OSError: gone for good")
    assert queue.exhausted
    assert (queue.pull(), queue.seconds_to_wait()) == (None, None)
    assert queue.unfinished == {trial_id: "OSError: gone for good"}
    assert queue.state.manifests == {}, "an interruption is never recorded"
    next_launch = begun(state(tmp_path, seeds=[5], arms={"alone": ARMS["alone"]}).read(), 2, now=clock)
    assert pulled(next_launch) == [trial_id]


def test_the_policy_is_the_launch_s(tmp_path: Path, clock: Clock) -> None:
    policy = RetryPolicy(tries=3, first_pause=0.5, longest_pause=0.75)
    queue = begun(state(tmp_path, seeds=[5], arms={"alone": ARMS["alone"]}), policy=policy, now=clock)
    (trial_id,) = pulled(queue)
    pauses = []
    for _ in range(2):
        queue.ended(trial_id, "gone")
        pauses.append(waits(queue, clock, trial_id))
    assert pauses == [0.5, 0.75]
    queue.ended(trial_id, "gone")
    assert queue.exhausted


def test_others_run_while_an_interrupted_trial_rests(tmp_path: Path, clock: Clock) -> None:
    queue = begun(state(tmp_path), now=clock)
    first = queue.pull()
    assert first is not None
    queue.ended(first.id, "gone")
    assert next((pending.id, pending.tries) for pending in queue.waiting) == (first.id, 2)
    assert len(queue.waiting) == 6
    second = queue.pull()
    assert second is not None
    assert second.id != first.id
    clock.now += 1
    assert queue.pull(lambda trial: trial.id != first.id) is not None
    again = queue.pull()
    assert again is not None
    assert (again.id, again.tries, again.config) == (first.id, 2, first.config), "it has waited longest"
    assert [pending.tries for pending in queue.waiting] == [1, 1, 1]


def test_the_shortest_pause_is_waited_for(tmp_path: Path, clock: Clock) -> None:
    queue = begun(state(tmp_path), now=clock)
    ids = pulled(queue)
    for trial_id in (ids[0], ids[0], ids[1]):
        queue.ended(trial_id, "gone")
    assert queue.seconds_to_wait() == 1
    clock.now += 5
    assert queue.seconds_to_wait() == 0
    assert pulled(queue) == ids[:2]
    assert queue.seconds_to_wait() is None


def test_a_trial_that_ends_without_a_record_of_its_end_is_interrupted(tmp_path: Path, clock: Clock) -> None:
    queue = begun(state(tmp_path), now=clock)
    trial_id = pulled(queue)[0]
    write(queue, trial_id, "running", epochs=2)
    assert queue.ended(trial_id) == "running"
    assert queue.unfinished == {trial_id: "it ended without a record of its end"}


def test_a_record_that_cannot_be_read_now_is_an_interruption(
    tmp_path: Path, clock: Clock, monkeypatch: pytest.MonkeyPatch
) -> None:
    queue = begun(state(tmp_path), now=clock)
    trial_id = pulled(queue)[0]
    write(queue, trial_id, "finished", epochs=3)

    def stale(*arguments: Any) -> Any:
        raise OSError("Stale file handle")

    with monkeypatch.context() as patch:
        patch.setattr(Folder, "tree", stale)
        assert queue.ended(trial_id) is None
    assert queue.unfinished == {trial_id: "its record cannot be read: Stale file handle"}
    clock.now += 1
    assert pulled(queue) == [trial_id]
    assert queue.ended(trial_id) == "finished"
    assert queue.unfinished == {}


@pytest.mark.parametrize("status", ["finished", "failed"])
def test_a_final_record_counts_whatever_the_runner_says(tmp_path: Path, clock: Clock, status: Status) -> None:
    """A worker may be lost just after it has written."""
    queue = begun(state(tmp_path), now=clock)
    trial_id = pulled(queue)[0]
    write(queue, trial_id, status)
    assert queue.ended(trial_id, "the worker died") == status
    assert (queue.unfinished, queue.seconds_to_wait()) == ({}, None)


def test_nothing_is_handed_out_or_tried_again_once_the_launch_is_stopped(tmp_path: Path, clock: Clock) -> None:
    queue = begun(state(tmp_path), now=clock)
    first, second = queue.pull(), queue.pull()
    assert first is not None
    assert second is not None
    queue.ended(first.id, "gone")
    queue.stop()
    queue.ended(second.id, "stopped")
    clock.now += 100
    assert (queue.pull(), queue.exhausted) == (None, True)
    assert queue.unfinished == {first.id: "gone"}, "what was stopped met no fault"


def test_a_stopped_launch_reads_what_its_trials_recorded(tmp_path: Path) -> None:
    here = state(tmp_path)
    queue = begun(here)
    trial_id = pulled(queue)[0]
    write(queue, trial_id, "running", epochs=2)
    assert trial_id not in here.manifests
    queue.stop()
    assert here.manifests[trial_id].epoch == 2
    assert queue.exhausted


def test_the_rule_is_asked_again_only_when_nothing_is_waiting(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[int] = []

    def counted(study: StudySpec, records: Mapping[str, Manifest]) -> tuple[PlannedTrial, ...]:
        asked.append(len(records))
        return due(study, records)

    monkeypatch.setattr("ctkd_study.launch.queue.due", counted)
    queue = begun(state(tmp_path))
    while (pending := queue.pull()) is not None:
        write(queue, pending.id, "finished")
        queue.ended(pending.id)
    assert queue.exhausted
    assert asked == [0, 6], "at the start, and after the last of six trials"
