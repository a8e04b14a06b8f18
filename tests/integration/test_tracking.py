"""MLflow holds exactly what the records do, whatever happened on the way: on SQLite files and a real MLflow server."""

import math
import os
import shutil
import signal
import sqlite3
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import pytest

from ctkd_study.errors import TrackingError
from ctkd_study.tracking.client import client_of, default_uri, find_experiment
from ctkd_study.tracking.metric_names import metric_name
from ctkd_study.tracking.projection import sync
from ctkd_study.tracking.server import comparison_url, serve
from ctkd_study.tracking.tracker import Tracker
from tests.support.tracking_cases import (
    START_MS,
    Server,
    Study,
    contents,
    epochs_sent,
    free_port,
    held,
    history,
    run_names,
    wait_for,
)
from trainables.storage import Storage

SYNC = """
import sys
from pathlib import Path
from ctkd_study.tracking.projection import Projection, sync
from trainables.storage import Storage
uri, name, uid, trials, teacher = sys.argv[1:]
folders = [Storage.at(teacher)]
outcome = sync(Projection(uri, name, uid, Storage.at(trials), lambda: folders, note="# A question"))
sys.exit(str(outcome) if not outcome.complete else 0)
"""


def in_a_process(study: Study, uri: str) -> "subprocess.Popen[bytes]":
    """The same as ``sync``, in a process of its own."""
    arguments = [uri, study.name, study.uid, str(study.folder), str(study.teacher)]
    return subprocess.Popen([sys.executable, "-c", SYNC, *arguments], stderr=subprocess.PIPE)


class Late(NamedTuple):
    """A server that was started after somebody had begun to track to it."""

    server: Server
    study: Study
    tracker: Tracker
    seconds: float
    """What the driver spent on starting a tracker that reaches no server, and on 10,000 changes."""


@pytest.fixture(scope="module")
def late(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Late]:
    folder, port = tmp_path_factory.mktemp("server"), free_port()
    study = Study(folder, "early")
    study.fill(trials=2, epochs=5)
    tracker = Tracker(study.projection(f"http://127.0.0.1:{port}"), every=0.2)
    began = time.perf_counter()
    tracker.start()
    for _ in range(10_000):
        tracker.changed("grid-0000-s0")
    seconds = time.perf_counter() - began
    server = Server(folder, port)
    try:
        server.wait()
        yield Late(server, study, tracker, seconds)
    finally:
        server.stop()


@pytest.fixture(scope="module")
def server(late: Late) -> Server:
    return late.server


@pytest.fixture(scope="module")
def database(tmp_path_factory: pytest.TempPathFactory) -> str:
    return f"sqlite:///{tmp_path_factory.mktemp('database') / 'mlflow.db'}"


@pytest.fixture(params=["database", "server"])
def store(request: pytest.FixtureRequest) -> str:
    """The URI of each kind of store."""
    found = request.getfixturevalue(request.param)
    return found.uri if isinstance(found, Server) else str(found)


@pytest.fixture
def study(tmp_path: Path, request: pytest.FixtureRequest) -> Study:
    """A study of its own for each test, so that tests can share a store."""
    return Study(tmp_path, f"{abs(hash(request.node.nodeid)):016x}")


def test_mlflow_holds_exactly_the_rows(study: Study, store: str) -> None:
    study.fill(trials=2, epochs=15)
    study.save("grid-dead-s7", history("dead", 4), "failed", reason="kd_loss is nan in epoch 5")
    study.save("grid-live-s8", history("live", 6))
    study.save("grid-none-s9", [], "failed", reason="it died before its first epoch")
    outcome = sync(study.projection(store))
    assert (outcome.complete, outcome.runs, outcome.rows, outcome.failures) == (True, 6, 3 * 15 + 4 + 6, ())

    *runs, experiment = held(store, study.uid)
    assert experiment["name"] == study.name
    assert experiment["tags"]["mlflow.note.content"] == "# A question"
    by_name = {run["name"]: run for run in runs}
    rows = {name: history(name, 15) for name in by_name if name.startswith(("global-", "instance-", "grid-0"))}
    rows |= {"teacher-abcdef": history("teacher", 15), "grid-none-s9": []}
    rows |= {"grid-dead-s7": history("dead", 4), "grid-live-s8": history("live", 6)}
    assert by_name.keys() == rows.keys()
    for name, run in by_name.items():
        expected = [
            (metric_name(key), row["epoch"], row["time_ms"], value)
            for row in rows[name]
            for key, value in row.items()
            if key not in ("epoch", "time_ms") and value is not None
        ]
        epochs = [point for point in run["points"] if not point[0].startswith(("selected/", "total/"))]
        assert epochs == sorted(expected)
        assert all(math.isfinite(point[3]) for point in run["points"])

    trial = by_name["global-0001-s1"]
    best = max(rows["global-0001-s1"], key=lambda row: row["val_top1"] or 0)
    results = {key: value for key, _, _, value in trial["points"] if key.startswith("selected/")}
    assert results == {
        "selected/epoch": best["epoch"],
        "selected/val_top1": best["val_top1"],
        "selected/test_top1": best["test_top1"],
    }
    assert (trial["status"], trial["times"]) == ("FINISHED", (START_MS, START_MS + 61 * 15))
    assert trial["params"] == {
        "arm": "global",
        "setting": "T=6",
        "seed": "1",
        "recipe.lr": "0.05",
        "recipe.epochs": "30",
        "temperature.kind": "fixed",
        "temperature.value": "4",
    }
    tags = {"ctkd.role": "trial", "ctkd.trial_id": "global-0001-s1", "arm": "global", "seed": "1", "setting": "T=6"}
    assert tags.items() <= trial["tags"].items()
    teacher = by_name["teacher-abcdef"]["tags"]
    assert (teacher["ctkd.role"], teacher["ctkd.uid"]) == ("teacher", study.uid)
    assert (by_name["grid-dead-s7"]["status"], by_name["grid-live-s8"]["status"]) == ("FAILED", "RUNNING")
    assert by_name["grid-dead-s7"]["tags"]["ctkd.reason"] == "kd_loss is nan in epoch 5"

    before = held(store, study.uid)
    again = sync(study.projection(store))
    assert (again.rows, again.created, again.rewritten, again.removed) == (0, 0, 0, 0)
    assert held(store, study.uid) == before


def test_a_tracker_that_follows_ends_as_a_sync(study: Study, store: str, tmp_path: Path) -> None:
    names = [f"grid-{number:04x}-s{number}" for number in range(2)]
    study.save(names[0], history(names[0], 5))
    tracker = Tracker(study.projection(store), every=0.1)
    tracker.start()
    for epochs in (7, 12, 15):
        for name in names:
            study.save(name, history(name, epochs), "finished" if epochs == 15 else "running")
            tracker.changed(name)
        for name in names:
            wait_for(lambda name=name, count=epochs: len(epochs_sent(store, study.uid, name)) == count)  # type: ignore[misc]
    study.save("teacher-abcdef", history("teacher", 15), "finished")
    outcome = tracker.finish()
    assert (outcome.complete, outcome.runs, outcome.created, outcome.rewritten) == (True, 3, 3, 0)
    assert outcome.rows == 3 * 15

    straight = f"sqlite:///{tmp_path / 'straight.db'}"
    assert sync(study.projection(straight)).complete
    assert contents(held(store, study.uid)) == contents(held(straight, study.uid))
    before = held(store, study.uid)
    assert sync(study.projection(store)).rows == 0
    assert held(store, study.uid) == before


def test_the_next_sync_completes_what_a_killed_writer_left(study: Study, tmp_path: Path) -> None:
    study.fill(trials=16, epochs=20)
    killed, straight = (f"sqlite:///{tmp_path / name}" for name in ("killed.db", "straight.db"))
    assert sync(study.projection(straight)).complete
    client_of(killed)
    writer = in_a_process(study, killed)
    with sqlite3.connect(tmp_path / "killed.db") as connection:
        wait_for(lambda: connection.execute("select count(*) from runs").fetchone()[0] >= 4)
    writer.kill()
    assert writer.wait() == -signal.SIGKILL
    assert 4 <= len(run_names(killed, study.uid)) < 17
    assert sync(study.projection(killed)).complete
    assert contents(held(killed, study.uid)) == contents(held(straight, study.uid))


def test_a_run_that_holds_what_the_record_lost_is_written_anew(study: Study, store: str) -> None:
    name = "grid-0001-s1"
    study.save(name, history(name, 10))
    newest = study.save(name, history(name, 20))
    assert sync(study.projection(store)).complete
    before = held(store, study.uid)[0]
    client_of(store).set_tag(before["id"], "mlflow.note.content", "look at epoch 7")
    client_of(store).set_tag(before["id"], "reviewed", "yes")

    state = newest / "state.pt"
    content = bytearray(state.read_bytes())
    content[len(content) // 2] ^= 1
    state.write_bytes(content)
    assert sync(study.projection(store)).rewritten == 1
    after = held(store, study.uid)[0]
    assert after["id"] != before["id"]
    assert [point[1] for point in after["points"] if point[0] == "val/top1"] == list(range(1, 11))
    assert client_of(store).get_run(after["id"]).data.tags.items() >= {
        ("mlflow.note.content", "look at epoch 7"),
        ("reviewed", "yes"),
    }

    # It is trained again from epoch 10: the same numbers, at another time.
    shutil.rmtree(newest)
    study.save(name, history(name, 10) + history(name, 20, clock=9000)[10:])
    assert sync(study.projection(store)).rewritten == 0
    points = [point for point in held(store, study.uid)[0]["points"] if point[0] == "val/top1"]
    assert [point[1] for point in points] == list(range(1, 21))
    assert points[-1][2] == START_MS + 9000 + 61 * 20


def test_doubles_are_healed_and_lost_records_removed(study: Study, store: str) -> None:
    study.fill(trials=2, epochs=5)
    assert sync(study.projection(store)).complete
    first = held(store, study.uid)
    client = client_of(store)
    experiment = find_experiment(client, study.uid)
    assert experiment is not None
    for run in first[:-1]:
        client.create_run(experiment.experiment_id, tags=run["tags"], run_name=run["name"])
    outcome = sync(study.projection(store))
    assert (outcome.complete, outcome.removed, outcome.runs) == (True, 3, 3)
    assert contents(held(store, study.uid)) == contents(first)

    shutil.rmtree(study.folder / "grid-0000-s0")
    outcome = sync(study.projection(store))
    assert (outcome.complete, outcome.removed) == (True, 1)
    assert [run["name"] for run in held(store, study.uid)[:-1]] == ["global-0001-s1", "teacher-abcdef"]


def test_an_experiments_name_may_be_taken(tmp_path: Path, store: str, request: pytest.FixtureRequest) -> None:
    name = f"taken-{abs(hash(request.node.nodeid)):x}"
    theirs = client_of(store).create_experiment(name)
    studies = [Study(tmp_path / uid, f"{uid}{name}", name) for uid in ("aaaaaaaaaa", "bbbbbbbbbb")]
    for study in studies:
        study.save("grid-0001-s1", history("x", 3))
        assert sync(study.projection(store)).complete
        assert sync(study.projection(store)).created == 0
    names = [held(store, study.uid)[-1]["name"] for study in studies]
    assert names == [f"{name}-aaaaaaaa", f"{name}-bbbbbbbb"]
    assert not client_of(store).search_runs([theirs])


def test_a_deleted_experiment_is_restored(study: Study, store: str) -> None:
    study.fill(trials=1, epochs=5)
    sync(study.projection(store))
    before = held(store, study.uid)
    experiment = find_experiment(client_of(store), study.uid)
    assert experiment is not None
    client_of(store).delete_experiment(experiment.experiment_id)
    with pytest.raises(TrackingError, match="no experiment of this study"):
        comparison_url(store, study.uid)
    assert sync(study.projection(store)).complete
    assert contents(held(store, study.uid)) == contents(before)


def test_a_run_deleted_under_a_tracker_comes_back(study: Study, store: str) -> None:
    name = "grid-0001-s1"
    study.save(name, history(name, 5))
    tracker = Tracker(study.projection(store), every=0.05)
    tracker.start()
    wait_for(lambda: run_names(store, study.uid) == [name])
    client_of(store).delete_run(held(store, study.uid)[0]["id"])
    study.save(name, history(name, 9), "finished")
    tracker.changed(name)
    assert tracker.finish().complete
    points = held(store, study.uid)[0]["points"]
    assert [point[1] for point in points if point[0] == "val/top1"] == list(range(1, 10))


def test_the_comparison_has_an_address(study: Study, server: Server, capsys: pytest.CaptureFixture[str]) -> None:
    study.fill(trials=1, epochs=5)
    sync(study.projection(server.uri))
    client = client_of(server.uri)
    experiment = find_experiment(client, study.uid)
    assert experiment is not None
    page = f"{server.uri}/#/experiments/{experiment.experiment_id}/runs?workflowType=machine_learning"
    assert comparison_url(server.uri, study.uid) == f"{page}&compareRunsMode=CHART&viewStateShareKey=by-arm"
    known = server.uri.replace("//", "//me:s3cret@")
    assert comparison_url(known, study.uid) == f"{page}&compareRunsMode=CHART&viewStateShareKey=by-arm"
    serve(known, study.uid, "127.0.0.1", 1, browser=False)
    assert capsys.readouterr().out == f"{page}&compareRunsMode=CHART&viewStateShareKey=by-arm\n"
    client.delete_experiment_tag(experiment.experiment_id, "mlflow.sharedViewState.by-arm")
    assert comparison_url(server.uri, study.uid) == f"{page}&compareRunsMode=CHART"


def test_two_processes_may_open_a_new_database_at_once(study: Study, tmp_path: Path) -> None:
    study.fill(trials=4, epochs=5)
    uri = default_uri(Storage.at(str(tmp_path)))
    assert uri == f"sqlite:///{tmp_path / 'mlflow.db'}"
    writers = [in_a_process(study, uri) for _ in range(2)]
    errors = [writer.communicate()[1].decode() for writer in writers]
    assert [writer.returncode for writer in writers] == [0, 0], errors
    assert errors == ["", ""]
    assert len(run_names(uri, study.uid)) == 5
    assert sync(study.projection(uri)).rows == 0


def test_a_server_may_come_late(late: Late) -> None:
    # One request would take half a second, 10,000 would take hours.
    assert late.seconds < 30
    # No change is reported any more: the tracker repeats the passes that failed, before it is told to finish.
    wait_for(lambda: len(run_names(late.server.uri, late.study.uid)) == 3)
    outcome = late.tracker.finish()
    assert (outcome.complete, outcome.runs, outcome.rows) == (True, 3, 15)


def test_a_dead_server_costs_a_sentence(study: Study) -> None:
    study.fill(trials=8, epochs=5)
    port = free_port()
    tracker = Tracker(study.projection(f"http://127.0.0.1:{port}"), every=0.1)
    tracker.start()
    outcome = tracker.finish(timeout=60)
    assert outcome.failures, "it gave up by itself, long before the timeout"
    assert (outcome.complete, outcome.rows) == (False, 0)
    assert str(outcome).startswith("MLflow is behind the records: ")
    command = str(outcome).split("`")[1]
    uri = f"http://127.0.0.1:{port}"
    assert command == f"ctkd-study sync {study.name} --storage {study.folder.parent} --tracking-uri {uri}"
    with pytest.raises(TrackingError, match="does not answer"):
        comparison_url(f"http://127.0.0.1:{free_port()}", study.uid)


def test_nobody_imports_what_he_does_not_need() -> None:
    """A study is planned and its networks are built without MLflow, Ray, and torch's compiler, which takes seconds."""
    quickstart = Path(__file__).parents[2] / "studies" / "digits" / "quickstart.yaml"
    code = (
        "import sys, ctkd_study.tracking.tracker; from ctkd_study import Study, plan\n"
        f"plan.check_networks(Study.from_file({str(quickstart)!r}).plan())\n"
        "print({'mlflow', 'ray', 'torch._dynamo'} & set(sys.modules))"
    )
    done = subprocess.run([sys.executable, "-c", code], env=dict(os.environ), capture_output=True, text=True)
    assert (done.returncode, done.stdout) == (0, "set()\n"), done.stderr
