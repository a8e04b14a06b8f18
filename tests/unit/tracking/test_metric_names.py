"""Every name of a row has its metric, and none takes another's place."""

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ctkd_study.tracking.metric_names import METRICS, SECTIONS, is_ours, metric_name

NAMES = [
    ("train_loss", "train/loss"),
    ("ce_loss", "train/ce_loss"),
    ("kd_loss", "train/kd_loss"),
    ("other_loss", "train/other_loss"),
    ("train_top1", "train/top1"),
    ("val_loss", "val/loss"),
    ("val_top1", "val/top1"),
    ("val_top5", "val/top5"),
    ("test_loss", "test/loss"),
    ("test_top1", "test/top1"),
    ("test_top5", "test/top5"),
    ("test_ece", "test/ece"),
    ("temperature", "temperature/mean"),
    ("temperature_min", "temperature/min"),
    ("temperature_max", "temperature/max"),
    ("temperature_std", "temperature/std"),
    ("lambda", "curriculum/lambda"),
    ("lr", "train/lr"),
    ("epoch_seconds", "cost/epoch_seconds"),
    ("eval_seconds", "cost/eval_seconds"),
    ("teacher_seconds", "cost/teacher_seconds"),
    ("device_seconds", "cost/device_seconds"),
    ("images_per_second", "speed/images_per_second"),
    ("tflop", "cost/tflop"),
    ("eval_tflop", "cost/eval_tflop"),
    ("teacher_tflop", "cost/teacher_tflop"),
    # Names that are not in any row today.
    ("val_map50", "val/map50"),
    ("test_bbox_map", "test/bbox_map"),
    ("temperature_p90", "temperature/p90"),
    ("temperature_mean", "other/temperature_mean"),
    ("train_ce_loss", "other/train_ce_loss"),
    ("queue_seconds", "cost/queue_seconds"),
    ("steps_per_second", "speed/steps_per_second"),
    ("bank_tflop", "cost/bank_tflop"),
    ("alpha", "other/alpha"),
    ("test_", "other/test_"),
    ("../x", "other/___x"),
    ("größe", "other/gr__e"),
    ("val größe", "other/val_gr__e"),
    ("train loss", "other/train_loss"),
    ("", "other/_"),
]


@pytest.mark.parametrize(("row", "metric"), NAMES)
def test_every_name_has_its_metric(row: str, metric: str) -> None:
    assert metric_name(row) == metric


def test_the_literal_names_include_all_exceptions() -> None:
    assert METRICS.items() <= dict(NAMES).items()


@given(st.text())
def test_any_name_is_legal_and_takes_nobodys_place(name: str) -> None:
    metric = metric_name(name)
    assert re.fullmatch(r"[a-z]+/[A-Za-z0-9_-]{1,240}", metric)
    assert metric.partition("/")[0] in SECTIONS
    assert name in METRICS or metric not in METRICS.values()


@given(
    st.lists(
        st.from_regex(r"(train_|val_|cost_|other_|temperature_)?[a-z]{0,3}(_loss|_seconds|_tflop)?", fullmatch=True),
        unique=True,
    )
)
def test_two_names_never_share_a_metric(names: list[str]) -> None:
    assert len({metric_name(name) for name in names if name}) == len([name for name in names if name])


def test_what_people_log_is_not_ours() -> None:
    assert [is_ours(key) for key in ("val/top1", "selected/epoch", "robust/top1", "val", "accuracy")] == [
        True,
        True,
        False,
        False,
        False,
    ]
