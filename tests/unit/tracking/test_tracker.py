"""The thread: what it sends before it is told to finish, what it repeats, and what it gives up."""

import logging
import shutil
import socket
import threading
from concurrent import futures
from pathlib import Path

import pytest

from ctkd_study.tracking.tracker import Tracker
from tests.support.tracking_cases import Study, epochs_sent, history, run_names, wait_for
from trainables.record import Row

FIRST, SECOND = "global-0001-s1", "grid-0000-s0"


def test_it_starts_with_all_records_and_then_follows_changes(study: Study, database: str) -> None:
    study.fill(trials=0, epochs=3)
    for trial in (FIRST, SECOND):
        study.save(trial, history(trial, 3))
    tracker = Tracker(study.projection(database), every=0.05)
    tracker.start()
    wait_for(lambda: epochs_sent(database, study.uid, SECOND) == [1, 2, 3])
    assert run_names(database, study.uid) == [FIRST, SECOND, "teacher-abcdef"]
    for trial in (FIRST, SECOND):
        study.save(trial, history(trial, 5))
    tracker.changed(FIRST)
    wait_for(lambda: epochs_sent(database, study.uid, FIRST) == [1, 2, 3, 4, 5])
    assert epochs_sent(database, study.uid, SECOND) == [1, 2, 3], "only trials that have changed are looked at"
    outcome = tracker.finish()
    assert epochs_sent(database, study.uid, SECOND) == [1, 2, 3, 4, 5], "the last pass looks at all"
    assert (outcome.complete, outcome.runs, outcome.rows, outcome.created) == (True, 3, 9 + 4, 3)


def test_it_creates_what_it_sent_anew_if_the_record_went_back(study: Study, database: str) -> None:
    newest = study.save(FIRST, history(FIRST, 8))
    tracker = Tracker(study.projection(database), every=0.05)
    tracker.start()
    wait_for(lambda: len(epochs_sent(database, study.uid, FIRST)) == 8)
    shutil.rmtree(newest)
    study.save(FIRST, history(FIRST, 6, clock=9000))
    tracker.changed(FIRST)
    wait_for(lambda: epochs_sent(database, study.uid, FIRST) == [1, 2, 3, 4, 5, 6])
    outcome = tracker.finish()
    assert (outcome.complete, outcome.rewritten) == (True, 1)


def test_a_failed_pass_is_repeated(
    study: Study, database: str, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG, "ctkd_study.tracking.projection")
    study.fill(trials=2, epochs=3)
    (tmp_path / "place").write_text("a file where the database's folder should be")
    uri = f"sqlite:///{tmp_path / 'place' / 'mlflow.db'}"
    tracker = Tracker(study.projection(uri), every=0.02)
    tracker.start()
    wait_for(lambda: "a pass failed: Traceback" in caplog.text)
    (tmp_path / "place").unlink()
    (tmp_path / "place").mkdir()
    shutil.copy(database.removeprefix("sqlite:///"), tmp_path / "place" / "mlflow.db")
    wait_for(lambda: run_names(uri, study.uid) == [FIRST, SECOND, "teacher-abcdef"])
    assert tracker.finish().complete


def test_a_trial_that_failed_is_tried_again(study: Study, database: str) -> None:
    unreadable: list[Row] = [{"epoch": 1, "val_top1": 1.0, "test_top1": 1.0, "device_seconds": 1.0, "tflop": 1.0}]
    study.save(SECOND, history(SECOND, 1))
    tracker = Tracker(study.projection(database), every=0.02)
    tracker.start()
    wait_for(lambda: run_names(database, study.uid) == [SECOND])
    study.save(FIRST, unreadable)
    study.save(SECOND, history(SECOND, 2))
    tracker.changed(FIRST)
    tracker.changed(SECOND)
    wait_for(lambda: epochs_sent(database, study.uid, SECOND) == [1, 2])
    study.save(FIRST, history(FIRST, 3))
    wait_for(lambda: epochs_sent(database, study.uid, FIRST) == [1, 2, 3])
    assert tracker.finish().complete


def test_finish_repeats_a_pass_that_failed(
    study: Study, database: str, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG, "ctkd_study.tracking.projection")
    study.fill(trials=1, epochs=3)
    (tmp_path / "place").write_text("a file where the database's folder should be")
    tracker = Tracker(study.projection(f"sqlite:///{tmp_path / 'place' / 'mlflow.db'}"), every=60)
    tracker.start()
    wait_for(lambda: caplog.text.count("a pass failed") == 1)
    with futures.ThreadPoolExecutor(1) as pool:
        outcome = pool.submit(tracker.finish, timeout=60)
        wait_for(lambda: caplog.text.count("a pass failed") == 2)
        (tmp_path / "place").unlink()
        (tmp_path / "place").mkdir()
        shutil.copy(database.removeprefix("sqlite:///"), tmp_path / "place" / "mlflow.db")
        assert outcome.result().complete


def test_finish_says_what_failed(study: Study, database: str) -> None:
    study.save(FIRST, [{"epoch": 1, "val_top1": 1.0, "test_top1": 1.0, "device_seconds": 1.0, "tflop": 1.0}])
    tracker = Tracker(study.projection(database), every=0.02)
    tracker.start()
    outcome = tracker.finish()
    assert (outcome.complete, outcome.failures) == (False, (f"{FIRST}: its record cannot be read: 'time_ms'",))


def test_a_tracker_that_never_started_has_sent_nothing(study: Study, database: str) -> None:
    outcome = Tracker(study.projection(database)).finish()
    assert (outcome.complete, outcome.runs) == (False, 0)


def test_a_hanging_server_is_left_behind(study: Study) -> None:
    with socket.socket() as mute:
        mute.bind(("127.0.0.1", 0))
        mute.listen()
        tracker = Tracker(study.projection(f"http://127.0.0.1:{mute.getsockname()[1]}"), every=0.1)
        tracker.start()
        connection, _ = mute.accept()
        with connection:
            # The request's own timeout is 10 s; whoever waited for it would name it as the reason.
            outcome = tracker.finish(timeout=0.3)
        assert (outcome.complete, outcome.failures) == (False, ())
        assert "it did not answer in time" in str(outcome)
        assert [thread.daemon for thread in threading.enumerate() if thread.name == "tracking"] == [True]
