"""The runs of one study in a real MLflow store, an SQLite file."""

import contextlib
import dataclasses
import sqlite3
from collections.abc import Iterator
from typing import Any

import pytest
from mlflow.exceptions import MlflowException

from ctkd_study.tracking.client import client_of, find_experiment
from ctkd_study.tracking.snapshot import SENT, MetricPoint, RunSnapshot, snapshot_of
from ctkd_study.tracking.store import StudyRuns
from ctkd_study.tracking.view import VIEW_TAG
from tests.support.tracking_cases import START_MS, history, manifest, run_names
from trainables.record import Status

TRIAL = "grid-0001-s1"


def snapshot(epochs: int, status: Status = "running", trial: str = TRIAL, reason: str | None = None) -> RunSnapshot:
    rows = history(trial, epochs)
    return snapshot_of(manifest(trial, rows, status, reason), rows, "q", "u", "trial")


def opened(uri: str, exclusive: bool = True, page_size: int = 500, note: str = "# One") -> StudyRuns:
    runs = StudyRuns(uri, "q", "u", note, exclusive, page_size)
    runs.refresh()
    return runs


def run_of(uri: str, trial: str = TRIAL) -> Any:
    """MLflow's only run of a trial."""
    client = client_of(uri)
    experiment = find_experiment(client, "u")
    assert experiment is not None
    (run,) = client.search_runs([experiment.experiment_id], f"tags.`ctkd.trial_id` = '{trial}'")
    return run


def points_of(uri: str) -> list[MetricPoint]:
    run = run_of(uri)
    points = [each for key in run.data.metrics for each in client_of(uri).get_metric_history(run.info.run_id, key)]
    return sorted(MetricPoint(each.key, each.value, each.timestamp, each.step) for each in points)


def points_in(found: RunSnapshot) -> list[MetricPoint]:
    return sorted(point for group in found.groups for point in group)


@contextlib.contextmanager
def unchanged(uri: str) -> Iterator[None]:
    """Nothing is written to the database meanwhile."""
    with contextlib.closing(sqlite3.connect(uri.removeprefix("sqlite:///"))) as connection:
        version = connection.execute("pragma data_version").fetchone()
        yield
        assert connection.execute("pragma data_version").fetchone() == version


def test_only_what_is_new_is_sent(database: str) -> None:
    runs = opened(database)
    for found, rows in ((snapshot(3), 3), (snapshot(5), 5), (snapshot(5, "finished"), 5)):
        runs.write(found, thorough=False)
        assert runs.tally.rows == rows
        assert points_of(database) == points_in(found)
    assert (runs.tally.created, runs.tally.rewritten, runs.tally.removed, len(runs)) == (1, 0, 0, 1)
    for thorough in (False, True):
        again = opened(database)
        with unchanged(database):
            again.write(snapshot(5, "finished"), thorough)
        assert (again.tally.rows, again.tally.created) == (0, 0)


def test_all_pages_of_runs_are_read(database: str) -> None:
    trials = [f"grid-{number:04x}-s{number}" for number in range(5)]
    writer = opened(database)
    for trial in trials:
        writer.write(snapshot(1, trial=trial), thorough=False)
    client, experiment_id = client_of(database), run_of(database, trials[0]).info.experiment_id
    originals = {trial: run_of(database, trial).info.run_id for trial in trials}
    for trial in trials:
        client.create_run(experiment_id, tags=run_of(database, trial).data.tags)
        # Both are found, and the run that sorts first stays.
        originals[trial] = min(
            run.info.run_id for run in client.search_runs([experiment_id], f"tags.`ctkd.trial_id` = '{trial}'")
        )
    runs = opened(database, page_size=2)
    assert runs.trials("trial") == set(trials)
    assert (len(runs), runs.tally.removed) == (5, 5)
    assert {trial: run_of(database, trial).info.run_id for trial in trials} == originals


def test_roles_and_other_peoples_runs(database: str) -> None:
    runs = opened(database)
    runs.write(snapshot(1), thorough=False)
    rows = history("teacher", 1)
    runs.write(snapshot_of(manifest("teacher-ab", rows), rows, "q", "u", "teacher"), thorough=False)
    experiment_id = run_of(database).info.experiment_id
    client_of(database).create_run(experiment_id, run_name="theirs")
    client_of(database).create_run(experiment_id, run_name="copied", tags={"ctkd.uid": "u"})
    again = opened(database)
    assert (again.trials("trial"), again.trials("teacher")) == ({TRIAL}, {"teacher-ab"})
    again.remove(TRIAL)
    assert (again.tally.removed, len(again)) == (1, 1)
    assert run_names(database, "u") == ["copied", "teacher-ab", "theirs"]


def test_a_mark_covers_only_what_was_sent_before_it(database: str) -> None:
    whole = snapshot(60, "finished")
    # MLflow rejects this key, and with it the last call: what a crash between two calls leaves behind.
    broken = dataclasses.replace(whole, groups=(*whole.groups[:-1], (MetricPoint("a\nb", 1.0, START_MS, 60),)))
    runs = opened(database)
    with pytest.raises(MlflowException):
        runs.write(broken, thorough=False)
    held = whole.groups_marked(run_of(database).data.tags[SENT])
    assert held is not None
    assert 0 < held < 60
    assert points_of(database) == sorted(point for group in whole.groups[:held] for point in group)

    again = opened(database)
    again.write(whole, thorough=False)
    assert (again.tally.rows, again.tally.rewritten) == (60 - held, 0)
    assert points_of(database) == points_in(whole)
    assert run_of(database).data.tags[SENT] == whole.marks[-1]


def test_values_that_were_sent_without_their_mark_are_not_sent_again(database: str) -> None:
    opened(database).write(snapshot(5), thorough=False)
    mark = run_of(database).data.tags[SENT]
    opened(database).write(snapshot(8), thorough=False)
    client_of(database).set_tag(run_of(database).info.run_id, SENT, mark)
    runs = opened(database)
    runs.write(snapshot(12), thorough=False)
    assert (runs.tally.rows, runs.tally.rewritten) == (4, 0)
    assert points_of(database) == points_in(snapshot(12))


@pytest.mark.parametrize(
    "change",
    [
        {"tags": snapshot(4).tags | {"ctkd.fingerprint": "another"}},
        {"params": {"arm": "another"}},
        {"start_ms": START_MS + 1},
        {"groups": snapshot(4).groups[:3]},
    ],
    ids=lambda change: next(iter(change)),
)
def test_a_run_of_another_record_is_created_anew(database: str, change: dict[str, Any]) -> None:
    opened(database).write(snapshot(4), thorough=False)
    first = run_of(database).info.run_id
    client_of(database).set_tag(first, "reviewed", "yes")
    client_of(database).set_tag(first, "mlflow.note.content", "look here")
    client_of(database).set_tag(first, "ctkd.old", "of an earlier version")
    wanted = dataclasses.replace(snapshot(4), **change)
    if "groups" in change:
        wanted = dataclasses.replace(wanted, epochs=3, marks=wanted.marks[:4])
    runs = opened(database)
    runs.write(wanted, thorough=False)
    assert (runs.tally.rewritten, runs.tally.created) == (1, 1)
    run = run_of(database)
    assert run.info.run_id != first
    assert run.info.start_time == wanted.start_ms
    assert points_of(database) == points_in(wanted)
    assert (run.data.tags["reviewed"], run.data.tags["mlflow.note.content"]) == ("yes", "look here")
    assert "ctkd.old" not in run.data.tags


def test_only_a_thorough_look_finds_a_gap(database: str) -> None:
    opened(database).write(snapshot(9), thorough=False)
    with contextlib.closing(sqlite3.connect(database.removeprefix("sqlite:///"))) as connection, connection:
        assert connection.execute("delete from metrics where step = 4").rowcount > 10
    for thorough, rows in ((False, 0), (True, 1)):
        runs = opened(database)
        runs.write(snapshot(9), thorough)
        assert (runs.tally.rows, runs.tally.rewritten) == (rows, 0)
    assert points_of(database) == points_in(snapshot(9))


def test_what_users_log_beside_it_is_left_alone(database: str) -> None:
    opened(database).write(snapshot(3), thorough=False)
    client_of(database).log_metric(run_of(database).info.run_id, "robustness/top1", 50.0, START_MS, 1)
    runs = opened(database)
    runs.write(snapshot(4), thorough=True)
    assert (runs.tally.rows, runs.tally.rewritten) == (1, 0)
    theirs = MetricPoint("robustness/top1", 50.0, START_MS, 1)
    assert points_of(database) == sorted([*points_in(snapshot(4)), theirs])


def test_the_status_follows_the_record(database: str) -> None:
    end = START_MS + 61 * 3
    for found, status, time, reason in (
        (snapshot(3), "RUNNING", None, None),
        (snapshot(3, "failed", reason="nan"), "FAILED", end, "nan"),
        (snapshot(3), "RUNNING", end, None),
        (snapshot(3, "finished"), "FINISHED", end, None),
        (dataclasses.replace(snapshot(3, "finished"), end_ms=end + 7), "FINISHED", end + 7, None),
    ):
        opened(database).write(found, thorough=False)
        run = run_of(database)
        assert (run.info.status, run.data.tags.get("ctkd.reason")) == (status, reason)
        assert status == "RUNNING" or run.info.end_time == time
        assert run.data.tags["ctkd.status"] == found.tags["ctkd.status"]


def test_two_writers_without_a_lock_keep_one_run(database: str) -> None:
    # Both have listed the runs before either creates one.
    first, second = opened(database, exclusive=False), opened(database, exclusive=False)
    first.write(snapshot(2), thorough=False)
    second.write(snapshot(4), thorough=False)
    first.write(snapshot(6), thorough=False)
    assert points_of(database) == points_in(snapshot(6))
    assert first.tally.removed + second.tally.removed == 1


def test_a_run_created_by_another_process_is_found_after_mark_stale(database: str) -> None:
    runs = opened(database)
    opened(database).write(snapshot(2), thorough=False)
    runs.mark_stale()
    runs.write(snapshot(4), thorough=False)
    assert (runs.tally.created, runs.tally.rows) == (0, 2)
    assert points_of(database) == points_in(snapshot(4))


def test_a_deleted_run_or_experiment_comes_back(database: str) -> None:
    runs = opened(database)
    runs.write(snapshot(2), thorough=False)
    client_of(database).delete_run(run_of(database).info.run_id)
    runs.write(snapshot(4), thorough=False)
    assert points_of(database) == points_in(snapshot(4))
    client_of(database).delete_experiment(run_of(database).info.experiment_id)
    runs.write(snapshot(6), thorough=False)
    assert points_of(database) == points_in(snapshot(6))


def test_the_experiment_has_the_note_and_the_view_once(database: str) -> None:
    runs = opened(database)
    runs.decorate((60.0, 90.0))
    experiment = find_experiment(client_of(database), "u")
    assert experiment is not None
    folder = database.removeprefix("sqlite:///").removesuffix("mlflow.db")
    assert (experiment.name, experiment.artifact_location) == ("q", f"file://{folder}mlartifacts/u")
    assert (experiment.tags["ctkd.study"], experiment.tags["mlflow.note.content"]) == ("q", "# One")
    again = opened(database)
    with unchanged(database):
        runs.decorate((60.0, 90.0))
        again.decorate((60.0, 90.0))
    runs.decorate((50.0, 90.0))
    after = find_experiment(client_of(database), "u")
    assert after is not None
    assert after.tags[VIEW_TAG] != experiment.tags[VIEW_TAG]


def test_the_note_follows_the_question_until_somebody_edits_it(database: str) -> None:
    client, notes = client_of(database), []
    for note, edited in (("# One", None), ("# Two", None), ("# Three", "# Mine"), ("# Four", None)):
        opened(database, note=note)  # the experiment is created
        experiment = find_experiment(client, "u")
        assert experiment is not None
        if edited:
            client.set_experiment_tag(experiment.experiment_id, "mlflow.note.content", edited)
        opened(database, note=note).decorate(None)
        notes.append(client.get_experiment(experiment.experiment_id).tags["mlflow.note.content"])
    assert notes == ["# One", "# Two", "# Mine", "# Mine"]


def test_a_note_that_a_crash_left_unwritten_is_written(database: str) -> None:
    opened(database).decorate(None)
    client = client_of(database)
    experiment = find_experiment(client, "u")
    assert experiment is not None
    opened(database, note="# Two").decorate(None)
    # The process died after the digest of the second note, before the note itself.
    client.set_experiment_tag(experiment.experiment_id, "mlflow.note.content", "# One")
    opened(database, note="# Two").decorate(None)
    assert client.get_experiment(experiment.experiment_id).tags["mlflow.note.content"] == "# Two"


def test_a_long_note_is_cut(database: str) -> None:
    opened(database, note="x" * 30_000).decorate(None)
    experiment = find_experiment(client_of(database), "u")
    assert experiment is not None
    assert experiment.tags["mlflow.note.content"] == "x" * 20_000
