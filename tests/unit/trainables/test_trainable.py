"""The Trainable without Ray: steps, reports, checkpoints, and other jobs in the same actor."""

import time
from pathlib import Path
from typing import Any

import pytest
import torch

from tests.support import settings
from tests.support.banks import banked
from trainables import jobs, record
from trainables.bank import BANKS
from trainables.storage import Storage
from trainables.trainable import CTKDTrainable
from trainables.trainer import Trainer


def config(teachers: Path, epochs: int = 3, every: int = 1, **run: Any) -> dict[str, Any]:
    """A trial without a teacher that saves every so many epochs."""
    recipe = {**settings.RECIPE, "epochs": epochs}
    plain = settings.trial(teachers, arm="alone", recipe=recipe).plain()
    return {**plain, "run": {"teachers": str(teachers), "checkpoint": {"epochs": every, "seconds": None}, **run}}


class EightEpochs(CTKDTrainable):
    """Epochs of 0.15 seconds by a clock of its own."""

    epoch = 0

    def step(self) -> dict[str, Any]:
        self.epoch += 1
        return {"epoch": self.epoch, "done": self.epoch == 8}

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
@pytest.mark.parametrize("recorded", [True, False])
def test_epochs_are_reported_together_where_ray_need_not_save(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    limits: tuple[int, ...],
    named: dict[str, float],
    recorded: bool,
) -> None:
    trial = EightEpochs(config(tmp_path, folder=str(tmp_path / "trial") if recorded else None))
    monkeypatch.setattr(time, "monotonic", trial.clock)
    reports = [trial.train_buffered(*limits, **named) for _ in range(2)]
    together = [[1, 2, 3, 4], [5, 6, 7, 8]] if recorded else [[1], [2]]
    assert [[result["epoch"] for result in report] for report in reports] == together


def test_a_checkpoint_is_a_record_and_the_trial_goes_on_from_it(tmp_path: Path) -> None:
    plain, folder = config(tmp_path, epochs=3), tmp_path / "checkpoint_010000"
    first = CTKDTrainable(plain)
    first.step()
    folder.mkdir()
    first.save_checkpoint(str(folder))
    found = record.scan(Storage.at(str(folder))).newest
    assert found is not None
    assert found.manifest.epoch == 1
    second = CTKDTrainable(plain)
    second.load_checkpoint(str(folder))  # type: ignore[arg-type]
    ours, theirs = second.step(), first.step()
    assert ours["epoch"] == 2
    assert ours["train_loss"] == theirs["train_loss"]
    other = CTKDTrainable({**plain, "seed": 1})
    with pytest.raises(ValueError, match="a trial goes on only from its own checkpoint"):
        other.load_checkpoint(str(folder))  # type: ignore[arg-type]


def until_done(actor: CTKDTrainable) -> list[dict[str, Any]]:
    results = [actor.step()]
    while not results[-1]["done"]:
        results.append(actor.step())
    return results


def test_an_actor_goes_from_job_to_job(tmp_path: Path) -> None:
    needing = banked(tmp_path, epochs=1).plain()
    actor = CTKDTrainable({jobs.STAND_BY: True})
    assert actor.step() == {"status": "running", "done": False, "should_checkpoint": False}
    assert actor.reset_config({jobs.PREPARE: [needing]})
    *working, last = until_done(actor)
    assert all((each["status"], each["done"]) == ("running", False) for each in working)
    assert last == {"status": "finished", "reason": "", "done": True, "should_checkpoint": False}
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


def test_a_recorded_trial_goes_on_from_its_record_in_any_actor(tmp_path: Path) -> None:
    plain = config(tmp_path, folder=str(tmp_path / "trial"))
    first = CTKDTrainable(plain)
    done = [first.step()]
    assert (done[0]["saved"], done[0]["should_checkpoint"]) == (True, False), "Ray has nothing to keep"
    reused = CTKDTrainable({jobs.STAND_BY: True})
    assert reused.reset_config(plain)
    done += [reused.step(), reused.step()]
    assert [(result["epoch"], result["status"], result["done"]) for result in done] == [
        (1, "running", False),
        (2, "running", False),
        (3, "finished", True),
    ]
    assert CTKDTrainable(plain).step() == {
        "status": "finished", "reason": "", "saved": False, "done": True, "should_checkpoint": False,
    }  # fmt: skip


def test_a_fault_ends_a_recorded_trial_without_an_exception(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Tune tries again only what is running; a launch tries again whatever was interrupted."""

    def gone(trainer: Trainer) -> Any:
        raise OSError("Stale file handle")

    monkeypatch.setattr(Trainer, "train_epoch", gone)
    actor = CTKDTrainable({jobs.STAND_BY: True})
    actor.reset_config(config(tmp_path, folder=str(tmp_path / "trial")))
    result = actor.step()
    assert (result["status"], result["done"], result["saved"]) == ("interrupted", True, False)
    assert result["reason"].startswith("OSError: Stale file handle (")


@pytest.mark.parametrize("fault", [MemoryError("no room"), torch.OutOfMemoryError("no room on the card")])
def test_a_process_that_can_t_be_trusted_any_more_is_ended(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, fault: Exception
) -> None:
    def spoilt(trainer: Trainer) -> Any:
        raise fault

    monkeypatch.setattr(Trainer, "train_epoch", spoilt)
    with pytest.raises(RuntimeError, match="no room"):
        CTKDTrainable(config(tmp_path, folder=str(tmp_path / "trial"))).step()


def test_a_trial_takes_a_core_for_each_thread() -> None:
    request = CTKDTrainable.default_resource_request
    assert request({"numerics": {"threads": 3}}).required_resources == {"CPU": 3}
    assert request({}).required_resources == {"CPU": 1}
