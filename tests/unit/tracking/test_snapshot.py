"""Names, values and marks of what MLflow is to hold, worked out without it."""

import base64
import json
import re
import zlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ctkd_study.tracking.snapshot import METRICS, SECTIONS, MetricPoint, RunSnapshot, is_ours, metric_name, snapshot_of
from ctkd_study.tracking.view import runs_page, shared_view
from trainables.record import Manifest, Row, Start, Status, Summary

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
    ("", "other/_"),
]


@pytest.mark.parametrize(("row", "metric"), NAMES)
def test_every_name_has_its_metric(row: str, metric: str) -> None:
    assert metric_name(row) == metric


def test_the_literal_names_are_all_there_are() -> None:
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


def _snapshot(rows: list[Row], status: Status = "running", **changes: object) -> RunSnapshot:
    manifest = Manifest(
        study="q",
        uid="u",
        trial="grid-1-s3",
        arm="grid",
        setting="T=4",
        seed=3,
        fingerprint="f",
        config={
            "recipe": {"lr": 0.05, "milestones": [1, 2]},
            "data": {"name": "digits"},
            "teacher": None,
            "flag": True,
        },
        attempt=1,
        epoch=len(rows),
        epochs=2,
        status=status,
        starts=[Start(attempt=1, epoch=0, time_ms=900, host="h", pid=1)],
        summary=Summary(selected_epoch=1, val_top1=90.5, test_top1=88.0, tflop=2.0, device_seconds=0.75),
    ).model_copy(update=changes)
    return snapshot_of(manifest, rows, "q", "u", "trial")


ROWS: list[Row] = [
    {"epoch": 1, "time_ms": 1000, "val_top1": 90.5, "kd_loss": None, "lambda": 0.1 + 0.2},
    {"epoch": 2, "time_ms": 2000, "val_top1": 89, "kd_loss": None, "lambda": 1.0},
]


def test_rows_become_points() -> None:
    assert _snapshot(ROWS).groups == (
        (MetricPoint("val/top1", 90.5, 1000, 1), MetricPoint("curriculum/lambda", 0.30000000000000004, 1000, 1)),
        (MetricPoint("val/top1", 89.0, 2000, 2), MetricPoint("curriculum/lambda", 1.0, 2000, 2)),
    )


def test_an_ended_trial_has_its_results_at_the_last_rows_time() -> None:
    snapshot = _snapshot(ROWS, "finished")
    assert (snapshot.status, snapshot.start_ms, snapshot.end_ms, snapshot.epochs) == ("FINISHED", 900, 2000, 2)
    results = {point.key: (point.value, point.timestamp, point.step) for point in snapshot.groups[-1]}
    assert results["selected/epoch"] == (1.0, 2000, 2)
    assert results["selected/test_top1"] == (88.0, 2000, 2)
    assert results["total/device_seconds"] == (0.75, 2000, 2)
    assert results["total/tflop"] == (2.0, 2000, 2)
    assert "selected/val_top5" not in results


def test_a_record_without_a_row_has_an_image() -> None:
    snapshot = _snapshot([], "failed", reason="it died")
    assert (snapshot.status, snapshot.start_ms, snapshot.end_ms, snapshot.groups) == ("FAILED", 900, 900, ())
    assert snapshot.tags["ctkd.reason"] == "it died"
    assert _snapshot([], "failed", starts=[]).start_ms is None


def test_params_and_tags() -> None:
    snapshot = _snapshot(ROWS)
    assert snapshot.params == {
        "recipe.lr": "0.05",
        "recipe.milestones": "[1,2]",
        "data.name": "digits",
        "flag": "true",
        "arm": "grid",
        "setting": "T=4",
        "seed": "3",
    }
    assert snapshot.tags == {
        "ctkd.uid": "u",
        "ctkd.study": "q",
        "ctkd.trial_id": "grid-1-s3",
        "ctkd.role": "trial",
        "ctkd.fingerprint": "f",
        "ctkd.status": "running",
        "ctkd.arm": "grid",
        "ctkd.seed": "3",
        "ctkd.setting": "T=4",
        "arm": "grid",
        "seed": "3",
        "setting": "T=4",
    }


def test_a_mark_stands_for_exactly_the_first_groups() -> None:
    snapshot = _snapshot(ROWS)
    assert [snapshot.groups_marked(mark) for mark in snapshot.marks] == [0, 1, 2]
    assert snapshot.groups_marked(None) is None
    assert snapshot.latest(1) == {"val/top1": 90.5, "curriculum/lambda": 0.30000000000000004}
    for change in ({"time_ms": 1001}, {"lambda": 0.3}, {"kd_loss": 1.0}, {"epoch": 3}):
        other = _snapshot([{**ROWS[0], **change}, ROWS[1]])
        assert [other.groups_marked(mark) for mark in snapshot.marks] == [0, None, None]
    assert _snapshot(ROWS, "finished").groups_marked(snapshot.marks[2]) == 2
    assert snapshot.groups_marked(_snapshot(ROWS, "finished").marks[3]) is None
    # Results that differ are another mark, though the rows are the same.
    assert _snapshot(ROWS, "failed", summary=Summary()).groups_marked(_snapshot(ROWS, "finished").marks[3]) is None


def test_the_view_shows_the_accuracies_that_there_are() -> None:
    stored = json.loads(shared_view(5, (61.2, 97.9)))
    assert (stored["name"], stored["createdAt"]) == ("By arm", 5)
    state = json.loads(zlib.decompress(base64.b64decode(stored["state"].removeprefix("deflate;"))))
    ranges = {chart["metricKey"]: chart.get("range") for chart in state["compareRunCharts"] if chart["type"] == "LINE"}
    assert ranges["test/top1"] == {"yMin": 61, "yMax": 98}
    assert ranges["curriculum/lambda"] is None
    assert state["groupBy"]["groupByKeys"] == [{"mode": "tag", "groupByData": "arm"}]
    sections = {section["uuid"] for section in state["compareRunSections"]}
    assert {chart["metricSectionId"] for chart in state["compareRunCharts"]} == sections
    assert len(shared_view(5, None)) < 5000


def test_the_page_names_the_view_only_where_there_is_one() -> None:
    plain = "http://h:5000/#/experiments/7/runs?workflowType=machine_learning&compareRunsMode=CHART"
    assert runs_page("http://h:5000/", "7", view=False) == plain
    assert runs_page("http://h:5000", "7", view=True) == f"{plain}&viewStateShareKey=by-arm"
