"""The private names of Ray that ``ctkd_study.cluster.tune_internals`` uses, in the installed Ray.

A failure after an upgrade of Ray means: mend the function of ``tune_internals`` that the test names.
"""

import os
import time
from pathlib import Path
from typing import Any

import pytest
from ray import tune
from ray.tune.result import DONE, SHOULD_CHECKPOINT

from ctkd_study.cluster.trial_feed import QueuedTrial
from tests.support import settings
from tests.support.tuning import fed
from trainables.record import Checkpoint, Row
from trainables.storage import Storage
from trainables.trial import describe

pytestmark = pytest.mark.usefixtures("ray_cluster")


class _CountsToSeven(tune.Trainable):
    """Goes on from the number in its checkpoint."""

    def setup(self, config: dict[str, Any]) -> None:
        self.number = 0

    def reset_config(self, new_config: dict[str, Any]) -> bool:
        self.number = 0
        return True

    def step(self) -> dict[str, Any]:
        self.number += 1
        return {"number": self.number, DONE: self.number == 7, SHOULD_CHECKPOINT: self.number == 7}

    def save_checkpoint(self, checkpoint_dir: str) -> None:
        (Path(checkpoint_dir) / "number").write_text(str(self.number))

    def load_checkpoint(self, checkpoint: Any) -> None:
        self.number = int((Path(checkpoint) / "number").read_text())


def test_trials_have_our_ids_go_on_from_our_checkpoints_and_number_theirs_as_we_say(tmp_path: Path) -> None:
    rows: list[Row] = [{"epoch": epoch} for epoch in range(1, 6)]
    manifest = describe(settings.trial(tmp_path), rows, None, status="running")
    (tmp_path / "fed" / "old-s0" / "checkpoint_010004").mkdir(parents=True)
    (tmp_path / "fed" / "old-s0" / "checkpoint_010004" / "number").write_text("5")
    checkpoint = Checkpoint(Storage.at(str(tmp_path / "fed" / "old-s0")), "checkpoint_010004", manifest)
    queued = [QueuedTrial("old-s0", {"seed": 3}, 20_000, checkpoint), QueuedTrial("new-s0", {"seed": 4}, 10_000)]
    results = {Path(result.path).name: result for result in fed(_CountsToSeven, queued, tmp_path)}
    assert results.keys() == {"old-s0", "new-s0"}, "new_trial: ids"
    assert [(results[name].config or {})["seed"] for name in ("old-s0", "new-s0")] == [3, 4], "new_trial: config"
    old, new = results["old-s0"].metrics or {}, results["new-s0"].metrics or {}
    assert (old["number"], old["iterations_since_restore"]) == (7, 2), "resume: the checkpoint"
    assert old["training_iteration"] == 7, "resume: the epoch"
    assert (new["number"], new["training_iteration"]) == (7, 7)
    written = {
        name: Path(result.checkpoint.path).name for name, result in results.items() if result.checkpoint is not None
    }
    assert written == {"old-s0": "checkpoint_020000", "new-s0": "checkpoint_010000"}, "number_checkpoints_from"


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

    def save_checkpoint(self, checkpoint_dir: str) -> None:
        pass


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
