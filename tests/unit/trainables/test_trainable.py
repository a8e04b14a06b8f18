"""The Trainable without Ray: steps, reports, checkpoints, and other jobs in the same actor."""

import json
import time
from pathlib import Path
from typing import Any

import pytest

from tests.support import settings
from tests.support.banks import banked
from trainables import jobs, record
from trainables.bank import BANKS
from trainables.trainable import CTKDTrainable


def config(folder: Path, epochs: int = 3, every: int = 1, **changes: Any) -> dict[str, Any]:
    """A trial without a teacher that saves every so many epochs."""
    recipe = {**settings.RECIPE, "epochs": epochs}
    run = {"teachers": str(folder), "checkpoint": {"epochs": every, "seconds": None}}
    plain = settings.trial(folder, arm="alone", recipe=recipe, **changes).plain()
    return {**plain, "run": run}


class EightEpochs(CTKDTrainable):
    """Epochs of 0.15 seconds by a clock of its own; the sixth and the last save."""

    def setup(self, config: dict[str, Any]) -> None:
        self.epoch = 0

    def step(self) -> dict[str, Any]:
        self.epoch += 1
        return {"epoch": self.epoch, "done": self.epoch == 8, "should_checkpoint": self.epoch in (6, 8)}

    def clock(self) -> float:
        return self.epoch * 0.15


def test_steps_are_epochs_and_the_last_ends_the_trial(tmp_path: Path) -> None:
    trial = CTKDTrainable(config(tmp_path, epochs=2))
    first, second = trial.step(), trial.step()
    assert (first["epoch"], first["status"], first["reason"]) == (1, "running", "")
    assert (first["done"], first["should_checkpoint"]) == (False, True)
    assert (second["epoch"], second["status"], second["done"]) == (2, "finished", True)
    assert None not in first.values(), "Tune cannot read None as a metric"
    assert "temperature" not in first


def test_a_number_that_is_not_finite_ends_the_trial_without_an_exception(tmp_path: Path) -> None:
    plain = config(tmp_path, epochs=40)
    plain["recipe"] = {**plain["recipe"], "lr": 1000.0}
    trial = CTKDTrainable(plain)
    result = trial.step()
    while not result["done"]:
        result = trial.step()
    assert result["status"] == "failed"
    assert "_loss is " in result["reason"]
    assert result["should_checkpoint"]


@pytest.mark.parametrize(
    ("limits", "named"),
    [((1000, 0), {}), ((0, 1000), {}), ((), {"buffer_time_s": 0.0, "max_buffer_length": 1000})],
    ids=["as Ray 2.60 passes them", "as Ray means them", "by name"],
)
def test_epochs_are_reported_together_until_one_saves(
    monkeypatch: pytest.MonkeyPatch, limits: tuple[int, ...], named: dict[str, float]
) -> None:
    trial = EightEpochs()
    monkeypatch.setattr(time, "monotonic", trial.clock)
    reports = [trial.train_buffered(*limits, **named) for _ in range(5)]
    assert [[result["epoch"] for result in report] for report in reports] == [[1, 2, 3, 4], [5], [6], [7], [8]]


def test_a_checkpoint_is_a_record_and_the_trial_goes_on_from_it(tmp_path: Path) -> None:
    plain, folder = config(tmp_path, epochs=3), tmp_path / "checkpoint_010000"
    first = CTKDTrainable(plain)
    first.step()
    folder.mkdir()
    first.save_checkpoint(str(folder))
    assert json.loads((folder / record.MANIFEST).read_text())["epoch"] == 1
    second = CTKDTrainable(plain)
    second.load_checkpoint(str(folder))  # type: ignore[arg-type]
    ours, theirs = second.step(), first.step()
    assert ours["epoch"] == 2
    assert ours["train_loss"] == theirs["train_loss"]
    other = CTKDTrainable({**plain, "seed": 1})
    with pytest.raises(ValueError, match="a trial goes on only from its own checkpoint"):
        other.load_checkpoint(str(folder))  # type: ignore[arg-type]


def test_an_actor_goes_from_job_to_job(tmp_path: Path) -> None:
    needing = banked(tmp_path, epochs=1).plain()
    actor = CTKDTrainable({jobs.STAND_BY: True})
    assert actor.step() == {"status": "running", "done": False, "should_checkpoint": False}
    assert actor.reset_config({jobs.PREPARE: [needing]})
    assert actor.step() == {"status": "finished", "reason": "", "done": True, "should_checkpoint": False}
    actor.save_checkpoint(str(tmp_path))
    actor.load_checkpoint(str(tmp_path))  # type: ignore[arg-type]
    assert list((tmp_path / BANKS).rglob("keys.npy"))
    assert actor.reset_config(needing)
    assert actor.step()["epoch"] == 1


def test_a_result_that_was_held_back_is_not_the_next_trials(tmp_path: Path) -> None:
    actor = CTKDTrainable(config(tmp_path, epochs=5, every=2))
    (report,) = actor.train_buffered()
    assert report["epoch"] == 1
    actor.reset_config(config(tmp_path, epochs=5, every=5))
    assert actor.train_buffered()[0]["epoch"] == 1


def test_a_trial_takes_a_core_for_each_thread() -> None:
    request = CTKDTrainable.default_resource_request
    assert request({"numerics": {"threads": 3}}).required_resources == {"CPU": 3}
    assert request({}).required_resources == {"CPU": 1}
