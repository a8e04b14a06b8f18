"""Passes over records into an SQLite file: what they send, repeat, keep and delete, and what they say."""

import base64
import contextlib
import dataclasses
import functools
import json
import shutil
import sqlite3
import zlib
from pathlib import Path

import filelock
import pytest

from ctkd_study.tracking.client import client_of, find_experiment
from ctkd_study.tracking.projection import Projection, Projector, TrackingOutcome, sync
from ctkd_study.tracking.view import VIEW_TAG
from tests.support.tracking_cases import START_MS, Study, contents, epochs_sent, held, history, run_names
from trainables.record import Row
from trainables.storage import Storage
from trainables.storage.local import Folder

#: A whole record, by its manifest, of rows that this version does not know.
UNREADABLE: list[Row] = [{"epoch": 1, "val_top1": 50.0, "test_top1": 50.0, "device_seconds": 1.0, "tflop": 1.0}]
FIRST, SECOND = "global-0001-s1", "grid-0000-s0"


@pytest.mark.parametrize(
    ("uri", "rest"),
    [
        ("sqlite:////data/results/mlflow.db", ""),
        ("sqlite:////data/mlflow.db", " --tracking-uri sqlite:////data/mlflow.db"),
        ("http://h:5000", " --tracking-uri http://h:5000"),
        ("postgresql://me:s3cret@db/x", " --tracking-uri 'postgresql://me:***@db/x'"),
    ],
)
def test_the_command_that_brings_mlflow_up_to_date(uri: str, rest: str) -> None:
    found = Projection(uri, "q", "u", Storage.at("/data/results/q"))
    assert found.sync_command == f"ctkd-study sync q --storage /data/results{rest}"


@pytest.mark.parametrize(
    ("outcome", "text"),
    [
        (TrackingOutcome(complete=True, runs=3, rows=20, created=3), "MLflow: 3 runs, 20 epochs sent."),
        (
            TrackingOutcome(complete=True, runs=3, rewritten=1, removed=2),
            "MLflow: 3 runs, 0 epochs sent, 1 rewritten, 2 removed.",
        ),
        (
            TrackingOutcome(complete=False),
            "MLflow is behind the records: it did not answer in time. `ctkd-study sync` brings it up to date.",
        ),
        (
            TrackingOutcome(complete=False, failures=("a: x", "b: y", "c: z"), sync_command="ctkd-study sync q"),
            "MLflow is behind the records: a: x (and 2 more). `ctkd-study sync q` brings it up to date.",
        ),
    ],
)
def test_an_outcome_in_words(outcome: TrackingOutcome, text: str) -> None:
    assert str(outcome) == text


def test_before_the_first_pass_nothing_is_complete(study: Study, database: str) -> None:
    projector = Projector(study.projection(database), thorough=False)
    assert (projector.outcome().complete, projector.outcome().failures) == (False, ("MLflow was never reached",))
    assert projector.attempt(None)
    assert projector.outcome() == TrackingOutcome(complete=True, sync_command=study.projection(database).sync_command)
    under_way = projector.outcome(stopped=False)
    assert (under_way.complete, under_way.failures) == (False, ())


def test_an_unreadable_record_keeps_its_run_and_stops_nobody(study: Study, database: str) -> None:
    study.fill(trials=2, epochs=3)
    assert sync(study.projection(database)).complete
    shutil.rmtree(study.folder / SECOND)
    study.save(SECOND, UNREADABLE)
    study.save("instance-0002-s2", history("new", 4))
    outcome = sync(study.projection(database))
    assert not outcome.complete
    assert outcome.failures == (f"{SECOND}: its record cannot be read: 'time_ms'",)
    assert (outcome.rows, outcome.removed) == (4, 0)
    assert run_names(database, study.uid) == [FIRST, SECOND, "instance-0002-s2", "teacher-abcdef"]
    assert epochs_sent(database, study.uid, SECOND) == [1, 2, 3]

    shutil.rmtree(study.folder / SECOND)
    outcome = sync(study.projection(database))
    assert (outcome.complete, outcome.removed) == (True, 1)
    assert run_names(database, study.uid) == [FIRST, "instance-0002-s2", "teacher-abcdef"]


def test_a_failure_stays_until_that_trial_succeeds(study: Study, database: str) -> None:
    projector = Projector(study.projection(database), thorough=False)
    study.save(SECOND, UNREADABLE)
    study.save(FIRST, history("x", 2))
    assert not projector.attempt(None)
    assert not projector.attempt({FIRST}), "a pass over other trials does not mend it"
    assert [failure.partition(":")[0] for failure in projector.outcome().failures] == [SECOND]
    assert projector.outcome(stopped=False).failures == (), "a pass under way may still mend it"
    study.save(SECOND, history("x", 2))
    assert projector.attempt({SECOND})
    assert projector.outcome().complete


def test_an_outage_ends_a_pass_and_the_next_one_makes_good(study: Study, database: str, tmp_path: Path) -> None:
    study.fill(trials=2, epochs=3)
    (tmp_path / "place").write_text("a file where the database's folder should be")
    uri = f"sqlite:///{tmp_path / 'place' / 'mlflow.db'}"
    projector = Projector(study.projection(uri), thorough=False)
    assert not projector.attempt(None)
    assert len(projector.outcome().failures) == 1
    assert "place" in projector.outcome().failures[0]
    (tmp_path / "place").unlink()
    (tmp_path / "place").mkdir()
    shutil.copy(database.removeprefix("sqlite:///"), tmp_path / "place" / "mlflow.db")
    assert projector.attempt(None)
    assert (projector.outcome().complete, projector.outcome().rows) == (True, 9)


def test_an_outage_amid_a_pass_spares_the_other_trials_the_wait(study: Study, database: str) -> None:
    study.fill(trials=2, epochs=3)
    with contextlib.closing(sqlite3.connect(database.removeprefix("sqlite:///"))) as connection, connection:
        connection.execute("drop table metrics")
    outcome = sync(study.projection(database))
    assert (outcome.complete, outcome.created) == (False, 1)
    assert len(outcome.failures) == 1
    assert not outcome.failures[0].startswith((FIRST, SECOND, "teacher")), "it is the store's, not a trial's"


def test_a_partial_pass_sends_these_trials_and_deletes_nothing(study: Study, database: str) -> None:
    projector = Projector(study.projection(database), thorough=False)
    study.fill(trials=0, epochs=3)
    for trial in (FIRST, SECOND):
        study.save(trial, history(trial, 3))
    assert projector.attempt({FIRST})
    assert run_names(database, study.uid) == [FIRST]
    assert projector.attempt(None)
    shutil.rmtree(study.folder / SECOND)
    study.save(FIRST, history(FIRST, 5))
    assert projector.attempt({FIRST, SECOND})
    assert run_names(database, study.uid) == [FIRST, SECOND, "teacher-abcdef"]
    assert projector.attempt(None)
    assert run_names(database, study.uid) == [FIRST, "teacher-abcdef"]
    assert projector.outcome().rows == 3 * 3 + 2


def test_a_full_pass_sees_what_others_did(study: Study, database: str) -> None:
    projector = Projector(study.projection(database), thorough=False)
    study.fill(trials=1, epochs=3)
    assert projector.attempt(None)
    study.save("lost-0001-s1", history("x", 2))
    assert sync(study.projection(database)).created == 1
    shutil.rmtree(study.folder / "lost-0001-s1")
    client = client_of(database)
    run = next(run for run in held(database, study.uid) if run["name"] == SECOND)
    client.delete_run(run["id"])
    assert projector.attempt(None)
    assert run_names(database, study.uid) == [SECOND, "teacher-abcdef"]


def test_the_teachers_run_stays_where_its_folder_is_unknown(study: Study, database: str) -> None:
    study.fill(trials=1, epochs=2)
    sync(study.projection(database))
    known = study.projection(database).teachers()
    shutil.rmtree(study.teacher)
    for homes in ([], [None], [*known, None]):
        unknown = dataclasses.replace(study.projection(database), teachers=functools.partial(list, homes))
        assert sync(unknown).removed == 0
    assert sync(study.projection(database)).removed == 1
    assert run_names(database, study.uid) == [SECOND]


def test_files_and_folders_without_a_record_are_no_trials(study: Study, database: str) -> None:
    (study.folder / "notes.txt").write_text("mine")
    (study.folder / "empty").mkdir()
    outcome = sync(study.projection(database))
    assert (outcome.complete, outcome.runs) == (True, 0)


@pytest.mark.parametrize("thorough", [False, True])
@pytest.mark.parametrize("file", ["history.jsonl", "state.pt"])
def test_a_damaged_checkpoint(study: Study, database: str, file: str, thorough: bool) -> None:
    study.save(FIRST, history(FIRST, 3))
    damaged = study.save(FIRST, history(FIRST, 5)) / file
    content = bytearray(damaged.read_bytes())
    content[len(content) // 2] ^= 1
    damaged.write_bytes(content)
    projector = Projector(study.projection(database), thorough)
    assert projector.attempt(None)
    # While trials run, the weights are not read: their fault is found by a thorough pass.
    expected = [1, 2, 3, 4, 5] if file == "state.pt" and not thorough else [1, 2, 3]
    assert epochs_sent(database, study.uid, FIRST) == expected


class Racing(Folder):
    """A folder that loses a trial's second checkpoint just before its history is read."""

    def read(self, path: str) -> bytes:
        file = Path(self.path(path))
        if path == "run-000001-002/checkpoint_000001/history.jsonl" and file.exists():
            shutil.rmtree(file.parent)
        return super().read(path)


def test_a_checkpoint_may_vanish_while_it_is_read(study: Study, database: str) -> None:
    study.save(FIRST, history(FIRST, 1))
    study.save(FIRST, history(FIRST, 2))
    racing = dataclasses.replace(study.projection(database), trials=Racing(str(study.folder)))
    projector = Projector(racing, thorough=False)
    assert projector.attempt(None)
    assert epochs_sent(database, study.uid, FIRST) == [1]


def test_charts_show_the_accuracies_of_the_second_half(study: Study, database: str) -> None:
    for trial, accuracies in ((FIRST, (3.0, 99.5, 60.2, 70.0)), (SECOND, (1.0, 80.0, 65.0, 75.7))):
        rows = [
            dict(row, val_top1=value, test_top1=70.0) for row, value in zip(history("x", 4), accuracies, strict=True)
        ]
        study.save(trial, rows)
    sync(study.projection(database))
    experiment = find_experiment(client_of(database), study.uid)
    assert experiment is not None
    packed = json.loads(experiment.tags[VIEW_TAG])["state"].removeprefix("deflate;")
    charts = json.loads(zlib.decompress(base64.b64decode(packed)))["compareRunCharts"]
    assert charts[0]["range"] == {"yMin": 60, "yMax": 76}


def test_gaps_and_stray_values_are_found(study: Study, database: str) -> None:
    study.fill(trials=2, epochs=6)
    assert sync(study.projection(database)).complete
    before = held(database, study.uid)
    gap, stray = (run["id"] for run in before[:2])
    with contextlib.closing(sqlite3.connect(database.removeprefix("sqlite:///"))) as connection, connection:
        assert connection.execute("delete from metrics where run_uuid = ? and step = 4", (gap,)).rowcount > 10
    client_of(database).log_metric(stray, "val/top1", 50.0, timestamp=START_MS, step=4)
    outcome = sync(study.projection(database))
    assert (outcome.complete, outcome.rewritten, outcome.created) == (True, 1, 1)
    after = held(database, study.uid)
    assert contents(after) == contents(before)
    assert after[0]["id"] == gap


def test_passes_of_two_processes_take_turns(study: Study, database: str) -> None:
    study.fill(trials=1, epochs=2)
    with filelock.FileLock(study.folder / ".tracking.lock"), pytest.MonkeyPatch.context() as patch:
        patch.setattr("ctkd_study.tracking.projection._LOCK_TIMEOUT", 0.1)
        outcome = sync(study.projection(database))
    assert not outcome.complete
    assert ".tracking.lock" in outcome.failures[0]
    assert run_names(database, study.uid) == []
    assert sync(study.projection(database)).complete
