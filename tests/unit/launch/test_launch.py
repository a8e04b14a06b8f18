"""A launch runs what is due, tells whoever watches, and leaves records that the next one goes on from."""

import contextlib
import io
import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from rich.console import Console

from ctkd_study.errors import ChangedStudyError, LeaseError, StudyError
from ctkd_study.launch import (
    InlineRunner,
    LaunchContext,
    LaunchProgress,
    Outcome,
    RetryPolicy,
    TrialQueue,
    launch,
    tabulated,
)
from ctkd_study.plan import StudyState
from ctkd_study.records import Launch, wasted
from ctkd_study.spec import from_mapping
from tests.support.studies import plain
from trainables.config import TrialConfig
from trainables.record import Row
from trainables.storage import Storage
from trainables.trainer import Trainer

ARMS = {"fixed": {"temperature": {"kind": "fixed", "value": 4}}, "alone": {"distiller": {"name": "none"}}}


def state(folder: Path, fresh: bool = False, **changes: Any) -> StudyState:
    return StudyState(from_mapping(plain(**{"arms": ARMS, "seeds": 2, **changes})), Storage.at(str(folder)), fresh)


def rows(config: TrialConfig) -> list[Row]:
    row: Row = {"epoch": 1, "time_ms": 1, "val_loss": 0.1, "val_top1": 90.0, "test_loss": 0.1, "test_top1": 80.0}
    return [{**row, "epoch_seconds": 2.0, "device_seconds": 2.0, "eval_seconds": 1.0, "teacher_seconds": 0.5}]


TABLE = InlineRunner(tabulated(rows))


def run(study: StudyState, runner: Any = TABLE, **options: Any) -> Outcome:
    return launch(study, runner, Console(quiet=True), **options)


def test_all_that_is_due_runs_once_and_the_outcome_says_so(tmp_path: Path) -> None:
    outcome = run(state(tmp_path))
    assert (outcome.attempt, outcome.trained, outcome.failed, outcome.unfinished) == (1, 4, {}, {})
    assert outcome.busy_seconds == 4 * 3.5
    assert outcome.wall_seconds > 0
    assert outcome.cores >= 1
    assert outcome.damaged == {}
    assert {m.status for m in outcome.manifests.values()} == {"finished"}
    assert [trial.id for trial in outcome.plan.trials] == list(outcome.manifests)
    stored = json.loads((tmp_path / "small" / "study.json").read_text())
    assert stored["uid"] == outcome.uid
    again = run(state(tmp_path))
    assert (again.attempt, again.trained, again.uid) == (2, 0, outcome.uid)
    more = run(state(tmp_path, seeds=3))
    assert (more.attempt, more.trained, len(more.manifests)) == (3, 2, 6)
    assert {m.attempt for m in more.manifests.values()} == {1, 3}


def test_a_runner_gets_the_study_s_resources_and_the_policy(tmp_path: Path) -> None:
    seen: list[LaunchContext] = []

    def runner(queue: TrialQueue, context: LaunchContext) -> None:
        seen.append(context)
        TABLE(queue, context)

    changes: dict[str, Any] = {"numerics": {"threads": 3}, "resources": {"gpu": 0.5}, "concurrency": 7}
    run(state(tmp_path / "a", **changes), runner)
    run(state(tmp_path / "b", resources={"cpu": 1.5}), runner)
    first, second = seen
    assert (first.cpu, first.gpu, first.concurrency) == (3.0, 0.5, 7)
    assert (second.cpu, second.gpu, second.concurrency) == (1.5, "auto", None)
    assert not first.lost.is_set()
    assert first.folder.name == "small"


def test_whoever_watches_and_tracks_is_told(tmp_path: Path) -> None:
    told: list[str] = []

    @contextlib.contextmanager
    def track(uid: str) -> Iterator[Callable[[str], None]]:
        told.append(f"begin {len(uid)}")
        yield told.append
        told.append("end")

    @contextlib.contextmanager
    def watch(progress: LaunchProgress) -> Iterator[None]:
        told.append("watch")
        yield

    study = state(tmp_path, seeds=1)
    ids = [trial.id for trial in study.plan.trials]
    run(study, watch=watch, track=track)
    assert told == ["begin 32", "watch", *ids, "end"]
    told.clear()
    run(state(tmp_path, seeds=1), watch=watch, track=track)
    assert told == ["begin 32", "end"], "nothing to watch, but MLflow may be behind"


def test_a_changed_study_and_a_second_driver_run_nothing(tmp_path: Path) -> None:
    run(state(tmp_path))

    def never(queue: TrialQueue, context: LaunchContext) -> None:
        raise AssertionError

    with pytest.raises(ChangedStudyError):
        run(state(tmp_path, recipe={"epochs": 4}, seeds=3), never)
    with Launch(state(tmp_path).folder), pytest.raises(LeaseError, match="one driver at a time"):
        run(state(tmp_path, seeds=3), never)
    assert {m.attempt for m in state(tmp_path).read().manifests.values()} == {1}


def test_a_fresh_start_keeps_the_old_folder(tmp_path: Path) -> None:
    first = run(state(tmp_path))
    console = Console(file=io.StringIO(), width=200)
    study = state(tmp_path, fresh=True, recipe={"epochs": 4})
    fresh = launch(study, TABLE, console, fresh=True)
    assert (fresh.attempt, fresh.trained) == (3, 4), "it comes after the launches whose workers may still run"
    assert fresh.uid != first.uid
    assert isinstance(console.file, io.StringIO)
    assert console.file.getvalue() == f"The old records are kept in {tmp_path}/small.1.\n"
    assert (tmp_path / "small.1" / "study.json").exists()
    quiet = launch(state(tmp_path / "new", fresh=True), TABLE, console, fresh=True)
    assert quiet.trained == 4
    assert console.file.getvalue().count("\n") == 1, "there was nothing to keep"


@pytest.fixture
def impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    """Three tries in a row, without pauses to speak of."""
    monkeypatch.setattr("ctkd_study.launch.queue.RetryPolicy", lambda: RetryPolicy(tries=3, first_pause=0.01))


@pytest.mark.usefixtures("impatient")
def test_a_fault_that_passes_is_tried_again_and_never_final(tmp_path: Path) -> None:
    tried: list[str] = []

    def partly(config: TrialConfig) -> list[Row]:
        tried.append(config.run.trial)
        if config.seed == 1 and tried.count(config.run.trial) < (4 if config.uses_teacher else 3):
            raise OSError(f"no room, {tried.count(config.run.trial)}")
        return rows(config)

    outcome = run(state(tmp_path), InlineRunner(tabulated(partly)))
    ids = [trial.id for trial in outcome.plan.trials]
    (stuck,) = outcome.unfinished
    assert stuck.startswith("fixed-")
    assert stuck.endswith("-s1")
    assert outcome.unfinished[stuck].startswith("OSError: no room, 3 (")
    assert (outcome.failed, outcome.trained) == ({}, 3)
    assert sorted(tried) == sorted([*ids, *2 * [trial_id for trial_id in ids if trial_id.endswith("-s1")]])
    again = run(state(tmp_path), InlineRunner(tabulated(partly)))
    assert (again.trained, again.failed, again.unfinished) == (1, {}, {})


@pytest.mark.usefixtures("impatient")
def test_what_trials_fail_of_is_final_until_it_is_retried(tmp_path: Path) -> None:
    outcome = run(state(tmp_path), InlineRunner(tabulated(lambda config: rows(config) if config.seed else [])))
    assert len(outcome.failed) == 2
    assert all(trial_id.endswith("-s0") for trial_id in outcome.failed)
    assert (outcome.trained, outcome.unfinished) == (4, {})
    assert run(state(tmp_path)).trained == 0
    retried = run(state(tmp_path), retry=True)
    assert (retried.trained, retried.failed) == (2, {})


@pytest.mark.usefixtures("impatient")
def test_a_program_that_raises_twice_in_the_same_words_has_failed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """For real: a plug-in's fault is told with its place, and the other trials go on."""
    real = Trainer.train_epoch

    def train_epoch(trainer: Trainer) -> Any:
        if trainer.epoch == 1:
            raise ZeroDivisionError("of a plug-in")
        return real(trainer)

    monkeypatch.setattr(Trainer, "train_epoch", train_epoch)
    alone = {"alone": {"distiller": {"name": "none"}}}
    outcome = run(state(tmp_path, arms=alone, seeds=2, checkpoint={"epochs": 1}), InlineRunner())
    assert outcome.unfinished == {}
    assert len(outcome.failed) == 2
    line = train_epoch.__code__.co_firstlineno + 2
    assert set(outcome.failed.values()) == {f"ZeroDivisionError: of a plug-in ({__file__}:{line} in train_epoch)"}
    assert {(m.epoch, m.attempt) for m in outcome.manifests.values()} == {(1, 1)}


def test_a_launch_that_was_taken_over_stops_and_says_so(tmp_path: Path) -> None:
    def overtaken(queue: TrialQueue, context: LaunchContext) -> None:
        context.folder.root.write("launches/000002.json", b"{}")
        TABLE(queue, context)

    with pytest.raises(LeaseError, match=r"another driver took .*small over; this one stopped its trials"):
        run(state(tmp_path), overtaken)


def test_a_runner_ends_when_the_launch_is_lost(tmp_path: Path) -> None:
    ran: list[str] = []

    def losing(queue: TrialQueue, context: LaunchContext) -> None:
        def one(config: TrialConfig, folder: Storage, on_row: Callable[[Row], None]) -> Any:
            ran.append(config.run.trial)
            context.lost.set()
            return tabulated(rows)(config, folder, on_row)

        InlineRunner(one)(queue, context)

    with pytest.raises(LeaseError):
        run(state(tmp_path), losing)
    assert len(ran) == 1


def test_a_stopped_launch_names_what_is_unfinished_and_the_next_goes_on(tmp_path: Path) -> None:
    def stop_after_one(queue: TrialQueue, context: LaunchContext) -> None:
        def only_one(config: TrialConfig, folder: Storage, on_row: Callable[[Row], None]) -> Any:
            if queue.state.manifests:
                raise KeyboardInterrupt
            return tabulated(rows)(config, folder, on_row)

        with contextlib.suppress(KeyboardInterrupt):
            InlineRunner(only_one)(queue, context)

    study = state(tmp_path)
    outcome = run(study, stop_after_one)
    ids = [trial.id for trial in study.plan.trials]
    assert (outcome.trained, outcome.unfinished) == (1, dict.fromkeys(ids[1:], ""))
    assert run(state(tmp_path)).trained == 3


def test_work_that_faults_lost_is_added_up_over_launches(tmp_path: Path) -> None:
    first_id, second_id, *_ = [trial.id for trial in state(tmp_path).plan.trials]

    def losing(queue: TrialQueue, context: LaunchContext) -> None:
        for trial_id in (first_id, first_id, second_id):
            context.progress.row(trial_id, {"epoch": 1, "epoch_seconds": 2.0, "device_seconds": 2.0})
            context.progress.interrupted(trial_id, "the worker died")

    run(state(tmp_path), losing)
    assert wasted(state(tmp_path).folder) == {first_id: 4.0, second_id: 2.0}
    run(state(tmp_path), losing)
    assert wasted(state(tmp_path).folder) == {first_id: 8.0, second_id: 4.0}


def test_a_launch_tells_what_would_be_lost_if_it_died_now(tmp_path: Path) -> None:
    def working(queue: TrialQueue, context: LaunchContext) -> None:
        pending = queue.pull()
        assert pending is not None
        context.progress.row(pending.id, {"epoch": 1, "epoch_seconds": 2.0, "device_seconds": 2.0})
        raise KeyboardInterrupt

    study = state(tmp_path)
    outcome = run(study, working)
    assert isinstance(outcome.stopped, KeyboardInterrupt)
    assert outcome.unfinished == dict.fromkeys([trial.id for trial in study.plan.trials], "")
    stored = json.loads((tmp_path / "small" / "launches" / "000001.ended.json").read_text())
    held = stored.pop("held")
    assert stored == {"wasted": {}, "unsaved": {study.plan.trials[0].id: 2.0}}
    assert 0 < held <= outcome.cores * (outcome.wall_seconds + 5)


def test_damaged_checkpoints_are_named(tmp_path: Path) -> None:
    study = state(tmp_path)
    run(study)
    trial_id = study.plan.trials[0].id
    (history,) = (tmp_path / "small" / trial_id).glob("run-*/checkpoint_*/history.jsonl")
    history.write_text("{}")
    outcome = run(state(tmp_path))
    assert list(outcome.damaged) == [trial_id]
    assert outcome.damaged[trial_id][0].startswith("run-000001-001/checkpoint_000001: history.jsonl has 2 bytes, not")
    assert outcome.trained == 1


def test_a_study_of_an_earlier_version_is_refused_until_it_starts_anew(tmp_path: Path) -> None:
    run(state(tmp_path))
    stored = tmp_path / "small" / "study.json"
    stored.write_text(stored.read_text().replace('"version": 2', '"version": 1'))
    with pytest.raises(StudyError, match="was written by an earlier version of ctkd-study"):
        state(tmp_path)
    outcome = run(state(tmp_path, fresh=True), fresh=True)
    assert (outcome.trained, (tmp_path / "small.1" / "study.json").exists()) == (4, True)
