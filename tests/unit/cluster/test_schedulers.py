"""Which trials Ray Tune's schedulers stop, and when: one scheduler for each arm and seed."""

from typing import Any

import numpy as np
import pytest

from ctkd_study.cluster.schedulers import Schedulers


def config(trial: str, by: str | None = "asha", arm: str = "a", seed: int = 0, **options: int) -> dict[str, Any]:
    scheduler = {"by": by, "grace": 1, "factor": 2, **options} if by is not None else None
    run = {"trial": trial, "arm": arm, "scheduler": scheduler}
    return {"seed": seed, "recipe": {"epochs": 8}, "run": run}


def trained(schedulers: Schedulers, of: dict[str, Any], top1: float) -> int:
    """Report the epochs of a trial with the same accuracy throughout; returns after how many it is stopped, else 8."""
    for epoch in range(1, 9):
        status = "running" if epoch < 8 else "finished"
        reason = schedulers.reported(of, {"epoch": epoch, "val_top1": top1, "status": status})
        if reason is not None:
            assert reason == f"stopped by {of['run']['scheduler']['by']} at epoch {epoch}"
            assert schedulers.reported(of, {"epoch": epoch + 1, "val_top1": top1, "status": "running"}) is None
            return epoch
    return 8


@pytest.mark.parametrize(
    ("options", "accuracies", "epochs"),
    [
        # Rungs at 1, 2, 4 and 8 epochs; a trial goes on if it is not below the median of those that came to the rung.
        ({"by": "asha"}, [50, 60, 40, 70, 55], [8, 8, 1, 8, 2]),
        ({"by": "asha", "grace": 3}, [50, 40, 60], [8, 3, 8]),
        ({"by": "asha", "factor": 8}, [50, 49, 51], [8, 1, 8]),
        ({"by": "median"}, [50, 60, 40, 45, 55], [8, 8, 8, 1, 8]),
        ({"by": "median", "grace": 4}, [50, 60, 40, 45], [8, 8, 8, 4]),
        ({"by": None}, [50, 40, 30, 20], [8, 8, 8, 8]),
    ],
)
def test_trials_that_lag_are_stopped(options: dict[str, Any], accuracies: list[float], epochs: list[int]) -> None:
    schedulers = Schedulers()
    found = [trained(schedulers, config(f"t{number}", **options), top1) for number, top1 in enumerate(accuracies)]
    assert found == epochs


def test_hyperband_stops_some_later_than_asha() -> None:
    np.random.seed(0)  # Ray draws each trial's bracket from the global generator
    found = set()
    for seed in range(300):
        schedulers = Schedulers()
        found |= {trained(schedulers, config(f"t{n}", "hyperband", seed=seed), 50 - n) for n in range(4)}
    assert found == {1, 2, 4, 8}


def test_arms_and_seeds_are_judged_by_themselves() -> None:
    schedulers = Schedulers()
    for number, (arm, seed) in enumerate([("a", 0), ("a", 1), ("b", 0)]):
        assert trained(schedulers, config(f"t{number}", arm=arm, seed=seed), 50 - number) == 8


def test_a_trial_that_is_tried_again_is_the_same_trial() -> None:
    schedulers = Schedulers()
    for _ in range(3):
        assert trained(schedulers, config("t0"), 50) == 8
    assert trained(schedulers, config("t1"), 51) == 8, "the first stands at a rung once"
    assert trained(schedulers, config("t2"), 50.4) == 1


def test_a_trial_that_has_ended_is_not_stopped() -> None:
    schedulers = Schedulers()
    for number, top1 in enumerate((60, 50)):
        report = {"epoch": 1, "val_top1": top1, "status": "finished"}
        assert schedulers.reported(config(f"t{number}"), report) is None


def test_reports_without_an_epoch_decide_nothing() -> None:
    assert Schedulers().reported(config("t0"), {"status": "running"}) is None
    assert Schedulers().reported({"stand_by": True}, {"status": "running"}) is None
