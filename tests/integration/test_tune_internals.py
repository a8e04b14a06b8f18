"""The private names of Ray that ``ctkd_study.cluster.tune_internals`` uses, in the installed Ray.

A failure after an upgrade of Ray means: mend the function of ``tune_internals`` that the test names.
"""

import os
import signal
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import psutil
import pytest
import ray
from ray import tune
from ray.tune.experiment import Trial
from ray.tune.result import DONE

from ctkd_study.cluster.trial_feed import QueuedTrial
from ctkd_study.cluster.tune_internals import keep_notes_in
from tests.support.tuning import fed, grid

pytestmark = pytest.mark.usefixtures("ray_cluster")


class _TellsItsConfiguration(tune.Trainable):
    def setup(self, config: dict[str, Any]) -> None:
        self.seed = config["seed"]

    def reset_config(self, new_config: dict[str, Any]) -> bool:
        self.setup(new_config)
        return True

    def step(self) -> dict[str, Any]:
        return {"seed": self.seed, DONE: True}


def test_trials_have_our_ids_and_configurations(tmp_path: Path) -> None:
    queued = [QueuedTrial("old-s0.2", {"seed": 3}), QueuedTrial("new-s0.1", {"seed": 4})]
    results = {Path(result.path).name: result for result in fed(_TellsItsConfiguration, queued, tmp_path)}
    assert results.keys() == {"old-s0.2", "new-s0.1"}, "new_trial: ids"
    assert [(results[name].metrics or {})["seed"] for name in ("old-s0.2", "new-s0.1")] == [3, 4], "new_trial: config"
    assert [result.checkpoint for result in results.values()] == [None, None], "Ray has none to keep"


@pytest.fixture
def artifacts(tmp_path: Path) -> Iterator[Path]:
    """Where Tune keeps its notes in the session of Ray; as in a new session, it does not exist."""
    path, before = Path("/tmp/ray", ray.get_runtime_context().get_session_name(), "artifacts"), tmp_path / "before"
    if path.exists():
        path.rename(before)
    yield path
    path.unlink()
    if before.exists():
        before.rename(path)


def test_tune_keeps_its_notes_where_it_is_told(tmp_path: Path, artifacts: Path) -> None:
    keep_notes_in(tmp_path / "notes")
    fed(_TellsItsConfiguration, [QueuedTrial("noted-s0", {"seed": 3})], tmp_path)
    assert list((tmp_path / "notes").rglob("experiment_state*")), "keep_notes_in"


class _SlowToStart(tune.Trainable):
    """Takes long to start in an actor of its own, but not in a reused one; may wait until another trial has run."""

    def setup(self, config: dict[str, Any]) -> None:
        time.sleep(config["start_seconds"])
        self.waits_for, self.writes = Path(config["waits_for"]), Path(config["writes"])

    def reset_config(self, new_config: dict[str, Any]) -> bool:
        self.setup({**new_config, "start_seconds": 0})
        return True

    def step(self) -> dict[str, Any]:
        until = time.monotonic() + 60
        while not self.waits_for.exists() and time.monotonic() < until:
            time.sleep(0.01)
        self.writes.touch()
        return {"process": os.getpid(), DONE: True}


def test_a_trial_whose_own_actor_is_starting_is_not_given_a_free_one(tmp_path: Path) -> None:
    first, second, third = (str(tmp_path / name) for name in ("first", "second", "third"))
    queued = [
        QueuedTrial("first", {"start_seconds": 0, "waits_for": str(tmp_path), "writes": first}),
        QueuedTrial("second", {"start_seconds": 4, "waits_for": str(tmp_path), "writes": second}),
        QueuedTrial("third", {"start_seconds": 0, "waits_for": second, "writes": third}),
    ]
    results = fed(_SlowToStart, queued, tmp_path)
    processes = {Path(result.path).name: (result.metrics or {})["process"] for result in results}
    assert processes["third"] == processes["first"], "the free actor goes to the trial that has none"
    assert processes["second"] != processes["first"], "own_actor_is_starting: the free actor took the trial"


class _Hangs(tune.Trainable):
    """Hangs in its second step, in one of several ways."""

    def setup(self, config: dict[str, Any]) -> None:
        self.how = config["how"]

    def reset_config(self, new_config: dict[str, Any]) -> bool:
        self.setup(new_config)
        return True

    def step(self) -> dict[str, Any]:
        if self.iteration == 1:
            if self.how == "stops":
                os.kill(os.getpid(), signal.SIGSTOP)
            elif self.how == "sleeps":
                time.sleep(600)
        return {DONE: self.iteration == 1}


class _EndsWhenTold(tune.Trainable):
    def setup(self, config: dict[str, Any]) -> None:
        self.told: list[str] = []

    def stop_trial(self, trial_id: str, reason: str) -> None:
        self.told += [trial_id, reason]

    def step(self) -> dict[str, Any]:
        return {"told": list(self.told), DONE: bool(self.told) or self.iteration == 50}


def test_a_worker_is_told_to_stop_before_its_next_step(tmp_path: Path) -> None:
    def lagging(config: dict[str, Any], result: dict[str, Any]) -> str | None:
        return "it lags" if result["training_iteration"] == 2 else None

    queued = [QueuedTrial("tunes-id", {"run": {"trial": "ours"}})]
    found = grid(_EndsWhenTold, queued, tmp_path, lagging=lagging)[0].metrics or {}
    assert (found["told"], found["training_iteration"]) == (["ours", "it lags"], 3), "stop_trial"


@pytest.mark.thorough
@pytest.mark.slow
def test_the_worker_of_a_trial_that_hangs_is_killed_whatever_it_does(tmp_path: Path) -> None:
    hangs = ("stops", "sleeps")
    queued = [QueuedTrial(how, {"how": how}) for how in (*hangs, "works")]

    def hung(trial: Trial) -> bool:
        return trial.trial_id in hangs and bool(trial.last_result)

    began = time.monotonic()
    results = grid(_Hangs, queued, tmp_path, hung)
    ends = {Path(results[place].path).name: results[place] for place in range(len(results))}
    assert {name: type(end.error).__name__ for name, end in ends.items()} == {
        "stops": "ActorDiedError",
        "sleeps": "ActorDiedError",
        "works": "NoneType",
    }, "kill_worker: Tune did not see the deaths"
    assert time.monotonic() - began < 60
    for how in hangs:
        pid = (ends[how].metrics or {})["pid"]
        assert not psutil.pid_exists(pid) or psutil.Process(pid).status() == psutil.STATUS_ZOMBIE, f"kill_worker: {how}"
