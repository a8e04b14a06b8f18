"""What an epoch's steps add up to, in literal numbers."""

import time

import pytest
import torch
from torch import Tensor

from trainables.epoch import Clock, EpochTotals

CPU = torch.device("cpu")


def scalar(value: float) -> Tensor:
    return torch.tensor(value)


def totals(*temperatures: Tensor) -> EpochTotals:
    """Two batches, of three examples and of one."""
    return EpochTotals(
        Clock(CPU),
        sizes=[3, 1],
        losses=[(scalar(2.0), scalar(1.0), None, scalar(8.0)), (scalar(6.0), scalar(3.0), None, scalar(0.0))],
        correct=[scalar(2), scalar(1)],
        temperatures=list(temperatures),
    )


def test_losses_are_means_over_examples_not_over_batches() -> None:
    row = totals().stats(4).row
    assert row == {
        "train_loss": 3.0,
        "ce_loss": 1.5,
        "kd_loss": None,
        "other_loss": 6.0,
        "train_top1": 75.0,
        "temperature": None,
        "temperature_min": None,
        "temperature_max": None,
        "temperature_std": None,
    }


def test_a_part_that_only_some_steps_have_counts_where_it_is_missing_as_an_error() -> None:
    some = totals()
    some.losses[0] = (scalar(2.0), scalar(1.0), scalar(5.0), None)
    with pytest.raises(RuntimeError):
        some.stats(4)


def test_one_temperature_a_batch_is_weighted_by_its_examples() -> None:
    row = totals(scalar(4.0), scalar(8.0)).stats(4).row
    assert (row["temperature"], row["temperature_min"]) == (5.0, None)


def test_temperatures_of_samples_have_a_spread() -> None:
    row = totals(torch.tensor([1.0, 2.0, 3.0]), torch.tensor([6.0])).stats(4).row
    assert (row["temperature"], row["temperature_min"], row["temperature_max"]) == (3.0, 1.0, 6.0)
    assert row["temperature_std"] == pytest.approx(3.5**0.5)


def test_a_clock_adds_up_what_is_inside_its_blocks() -> None:
    clock = Clock(CPU)
    assert clock.seconds() == 0.0
    for _ in range(2):
        with clock:
            time.sleep(0.01)
        time.sleep(0.05)
    assert 0.02 <= clock.seconds() < 0.1


def test_the_teachers_seconds_are_its_clocks() -> None:
    some = totals()
    with some.teacher:
        time.sleep(0.01)
    assert some.stats(4).teacher_seconds == some.teacher.seconds() >= 0.01
