"""Records made up for the tracking tests, what MLflow holds of them, and a real MLflow server."""

import json
import os
import random
import signal
import socket
import subprocess
import time
import urllib.request
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import torch

from ctkd_study.tracking.client import client_of, find_experiment
from ctkd_study.tracking.projection import Projection
from ctkd_study.tracking.server import server_command, server_environment
from tests.support.records import saved
from trainables.record import Manifest, Row, Start, Status, Summary
from trainables.storage import Storage

START_MS = 1_760_000_000_000


class Study:
    """A study's folder with made-up records.

    Args:
        folder: its storage.
        uid: the study's, also its name unless that is given.
    """

    def __init__(self, folder: Path, uid: str, name: str = "") -> None:
        self.uid, self.name = uid, name or f"study-{uid}"
        self.folder, self.teacher = folder / self.name, folder / ".teachers" / "abcdef"
        self.folder.mkdir(parents=True)
        (self.folder / "study.json").write_text(json.dumps({"uid": uid, "name": self.name}))

    def projection(self, uri: str) -> Projection:
        storage, teacher = Storage.at(str(self.folder)), Storage.at(str(self.teacher))
        return Projection(uri, self.name, self.uid, storage, lambda: [teacher], note="# A question")

    def save(self, trial: str, rows: list[Row], status: Status = "running", reason: str | None = None) -> Path:
        """Adds a run with a checkpoint of these rows; ``trial`` is ``<arm>-<hash>-s<seed>`` or ``teacher-<hash>``."""
        root = self.teacher if trial.startswith("teacher") else self.folder / trial
        weights = {"weight": torch.zeros(4)}
        described = manifest(trial, rows, status, reason)
        if root != self.teacher:
            described = described.model_copy(update={"study": self.name, "uid": self.uid})
        right = np.ones(10, dtype=np.bool_)
        return root / saved(Storage.at(str(root)), described, rows, state=weights, best=weights, correct=right)

    def fill(self, trials: int, epochs: int) -> None:
        """A teacher and this many finished trials."""
        self.save("teacher-abcdef", history("teacher", epochs), "finished")
        for number in range(trials):
            name = f"{('grid', 'global', 'instance')[number % 3]}-{number:04x}-s{number}"
            self.save(name, history(name, epochs), "finished")


def manifest(trial: str, rows: list[Row], status: Status = "running", reason: str | None = None) -> Manifest:
    """The manifest of a checkpoint with these rows, of another study; for ``trial`` see ``Study.save``."""
    arm, seed = trial.partition("-")[0], trial.rpartition("-s")[2]
    best = max(rows, key=lambda row: row["val_top1"] or 0) if rows else None
    return Manifest(
        study="another",
        uid="of-another-study",
        trial=trial,
        arm=arm,
        setting=f"T={len(arm)}",
        seed=int(seed) if seed.isdigit() else 0,
        fingerprint=f"fingerprint-of-{trial}",
        config={"seed": 0, "recipe": {"lr": 0.05, "epochs": 30}, "temperature": {"kind": "fixed", "value": 4.0}},
        attempt=1,
        epoch=len(rows),
        epochs=30,
        status=status,
        reason=reason,
        starts=[Start(attempt=1, epoch=0, time_ms=START_MS, host="here", pid=1)],
        summary=Summary(
            selected_epoch=int(best["epoch"] or 0) if best else None,
            val_top1=best["val_top1"] if best else None,
            test_top1=best["test_top1"] if best else None,
            device_seconds=sum(row["device_seconds"] or 0 for row in rows),
            tflop=rows[-1]["tflop"] or 0 if rows else 0,
        ),
        machine={"host": "here", "threads": 1},
    )


def history(name: str, epochs: int, clock: int = 0) -> list[Row]:
    """Rows as a trainer writes them, the same for the same name.

    Args:
        name: of the trial.
        epochs: how many rows.
        clock: milliseconds by which the clock differs: the same training, done again.
    """
    random_ = random.Random(name)
    rows: list[Row] = []
    for epoch in range(1, epochs + 1):
        seconds = random_.uniform(0.05, 0.07)
        row: Row = {"epoch": epoch, "time_ms": START_MS + clock + 61 * epoch}
        row |= {f"{part}_loss": random_.uniform(0.1, 2) for part in ("train", "ce", "kd", "val", "test")}
        row |= {f"{part}_top1": 100 * random_.uniform(0.5, 0.97) for part in ("train", "val", "test")}
        row |= {"other_loss": None, "val_top5": 99.5, "test_top5": 100 / 3, "temperature": 15.6 - 0.1 * epoch}
        row |= {"lambda": min(epoch, 10) / 10 if name != "teacher" else None, "lr": 0.05 * 0.9**epoch}
        row |= {"epoch_seconds": seconds, "eval_seconds": 0.01, "teacher_seconds": 0.0, "device_seconds": seconds}
        row |= {"images_per_second": 300 / seconds, "tflop": 0.013 * epoch, "eval_tflop": 0.1, "teacher_tflop": 0}
        rows.append(row)
    return rows


def held(uri: str, uid: str) -> list[dict[str, Any]]:
    """All that an MLflow store holds of a study's runs, sorted by name; and its experiment's tags, last."""
    client = client_of(uri)
    experiment = find_experiment(client, uid)
    if experiment is None:
        return []
    runs = []
    for run in client.search_runs([experiment.experiment_id], max_results=1000):
        points = [point for key in run.data.metrics for point in client.get_metric_history(run.info.run_id, key)]
        runs.append(
            {
                "id": run.info.run_id,
                "name": run.info.run_name,
                "status": run.info.status,
                "times": (run.info.start_time, run.info.end_time),
                "tags": {key: value for key, value in run.data.tags.items() if not key.startswith("mlflow.")},
                "params": dict(run.data.params),
                "points": sorted((point.key, point.step, point.timestamp, point.value) for point in points),
            }
        )
    return [*sorted(runs, key=lambda run: str(run["name"])), {"name": experiment.name, "tags": dict(experiment.tags)}]


def run_names(uri: str, uid: str) -> list[str]:
    """The names of a study's runs, sorted."""
    return sorted(run.info.run_name for run in _runs(uri, uid))


def epochs_sent(uri: str, uid: str, trial: str) -> list[int]:
    """The epochs that MLflow has of a trial; empty without a run."""
    runs = [run for run in _runs(uri, uid) if run.info.run_name == trial]
    return [point.step for run in runs for point in client_of(uri).get_metric_history(run.info.run_id, "val/top1")]


def _runs(uri: str, uid: str) -> list[Any]:
    client = client_of(uri)
    experiment = find_experiment(client, uid)
    return list(client.search_runs([experiment.experiment_id], max_results=1000)) if experiment else []


def wait_for(condition: Callable[[], bool], seconds: float = 60.0) -> None:
    """Wait until a condition holds; the limit is only for a test that fails."""
    until = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < until, "it did not come about in time"
        time.sleep(0.02)


def contents(dump: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """A dump's runs without what two stores cannot have in common."""
    return [{key: value for key, value in run.items() if key != "id"} for run in dump[:-1]]


def free_port() -> int:
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        port: int = listener.getsockname()[1]
        return port


class Server:
    """A real MLflow server on a new SQLite database."""

    def __init__(self, folder: Path, port: int) -> None:
        self.uri = f"http://127.0.0.1:{port}"
        uri = f"sqlite:///{folder / 'server.db'}"
        command = server_command(uri, "127.0.0.1", port)
        with (folder / "server.log").open("wb") as log:
            # A group of its own: the server's worker goes with it.
            self._process = subprocess.Popen(
                command, env=server_environment(uri), stdout=log, stderr=log, cwd=folder, start_new_session=True
            )
        self.log = folder / "server.log"

    def wait(self) -> None:
        until = time.monotonic() + 60
        while time.monotonic() < until and self._process.poll() is None:
            try:
                with urllib.request.urlopen(f"{self.uri}/health", timeout=1):
                    return
            except OSError:
                time.sleep(0.1)
        raise RuntimeError(f"the MLflow server did not start: {self.log.read_text()}")

    def stop(self) -> None:
        if self._process.poll() is None:
            os.killpg(self._process.pid, signal.SIGTERM)
        self._process.wait(timeout=30)
