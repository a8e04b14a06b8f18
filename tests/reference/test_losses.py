"""The distillers' losses and their gradients against the authors' numbers."""

from tests.reference import cases
from tests.reference.checks import check_kd
from trainables.temperatures.base import kd_loss


def test_kd_with_one_temperature() -> None:
    check_kd(kd_loss, r"kd\d+")


def test_kd_with_one_temperature_per_sample() -> None:
    check_kd(kd_loss, r"kd_instance\d+", values=cases.INSTANCE, slopes=cases.INSTANCE)
