"""Values, times and marks of a run, computed without MLflow."""

from ctkd_study.tracking.snapshot import MetricPoint, Role, RunSnapshot, snapshot_of
from trainables.record import Manifest, Row, Start, Status, Summary


def _snapshot(rows: list[Row], status: Status = "running", role: Role = "trial", **changes: object) -> RunSnapshot:
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
    return snapshot_of(manifest, rows, "q", "u", role)


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


def test_a_record_without_a_row_has_a_snapshot() -> None:
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


def test_a_teacher_is_grouped_as_one() -> None:
    snapshot = _snapshot(ROWS, role="teacher", arm="", setting="", study="another", uid="of-another")
    assert {key: snapshot.params[key] for key in ("arm", "setting", "seed")} == {
        "arm": "teacher",
        "setting": "teacher",
        "seed": "3",
    }
    assert snapshot.tags["arm"] == snapshot.tags["ctkd.setting"] == snapshot.tags["ctkd.role"] == "teacher"
    assert (snapshot.tags["ctkd.study"], snapshot.tags["ctkd.uid"]) == ("q", "u"), "the study that shows it"


def test_times_come_from_the_record_alone() -> None:
    starts = [Start(attempt=n, epoch=0, time_ms=time, host="h", pid=1) for n, time in ((1, 900), (2, 1500))]
    found = [
        _snapshot(ROWS, "running", starts=starts),
        _snapshot(ROWS, "failed", starts=starts),
        _snapshot([], "failed", starts=starts),
        _snapshot(ROWS, "finished", starts=[]),
        _snapshot([], "running", starts=[]),
    ]
    assert [(each.start_ms, each.end_ms) for each in found] == [
        (900, None),
        (900, 2000),
        (900, 1500),
        (1000, 2000),
        (None, None),
    ]


def test_values_that_are_not_finite_are_left_out() -> None:
    row: Row = {"epoch": 1, "time_ms": 5, "kd_loss": float("nan"), "ce_loss": float("-inf"), "val_top1": 0}
    assert _snapshot([row]).groups == ((MetricPoint("val/top1", 0.0, 5, 1),),)


def test_params_are_what_mlflow_takes() -> None:
    config: dict[str, object] = {
        "temperature": {"value": 4.0, "step": 0.5},
        "odd/key:é": "a\0b",
        "k" * 300: 1,
        "long": "x" * 7000,
        "none": None,
        "off": False,
        "seed": 99,
    }
    assert _snapshot([], config=config).params == {
        "temperature.value": "4",
        "temperature.step": "0.5",
        "odd_key__": "ab",
        "k" * 200: "1",
        "long": "x" * 6000,
        "off": "false",
        "seed": "3",
        "arm": "grid",
        "setting": "T=4",
    }


def test_tags_are_what_mlflow_takes() -> None:
    tags = _snapshot([], "failed", reason="a\0b" + "x" * 9000, machine={"z": 1, "a": None}).tags
    assert tags["ctkd.reason"] == "ab" + "x" * 7998
    assert tags["ctkd.machine"] == '{"a": null, "z": 1}'
    assert tags["ctkd.status"] == "failed"
    assert not {"ctkd.reason", "ctkd.machine"} & _snapshot([]).tags.keys()


def test_marks_are_those_of_earlier_versions() -> None:
    # Another mark for the same record would make every recorded study be compared value by value.
    assert _snapshot(ROWS, "finished").marks == (
        "0:e3b0c44298fc1c149afbf4c8996fb924",
        "1:428a3da136ba5b343321cbae4e40d267",
        "2:9da1948cb3b11a76cab49c3c2fba64f0",
        "3:67513a24e487db492bc0a3395e15a1f1",
    )
