"""The preset view of MLflow's charts, as it is stored and opened."""

import base64
import json
import zlib
from typing import Any

from ctkd_study.tracking.view import AccuracyRange, runs_page, shared_view


def _state(accuracy: AccuracyRange | None) -> dict[str, Any]:
    stored = json.loads(shared_view(5, accuracy))
    assert (stored["name"], stored["createdAt"]) == ("By arm", 5)
    packed = stored["state"].removeprefix("deflate;")
    found: dict[str, Any] = json.loads(zlib.decompress(base64.b64decode(packed)))
    return found


def test_the_charts() -> None:
    found = _state((61.2, 97.9))
    sections = {section["uuid"]: section["name"] for section in found["compareRunSections"]}
    metrics = [
        chart.get("metricKey") or (chart["xaxis"]["key"], chart["yaxis"]["key"]) for chart in found["compareRunCharts"]
    ]
    charts = [(sections[chart["metricSectionId"]], chart["type"]) for chart in found["compareRunCharts"]]
    assert list(zip(charts, metrics, strict=True)) == [
        (("1 Accuracy (%)", "LINE"), "test/top1"),
        (("1 Accuracy (%)", "LINE"), "val/top1"),
        (("1 Accuracy (%)", "BAR"), "selected/test_top1"),
        (("2 Curriculum", "LINE"), "temperature/mean"),
        (("2 Curriculum", "LINE"), "curriculum/lambda"),
        (("3 Cost", "BAR"), "total/device_seconds"),
        (("3 Cost", "BAR"), "total/tflop"),
        (("3 Cost", "SCATTER"), ("total/device_seconds", "selected/test_top1")),
    ]
    assert len({chart["uuid"] for chart in found["compareRunCharts"]}) == 8


def test_runs_are_grouped_by_arm_and_sorted_by_accuracy() -> None:
    found = _state(None)
    grouping = {"aggregateFunction": "average", "groupByKeys": [{"mode": "tag", "groupByData": "arm"}]}
    assert found["groupBy"] == grouping
    assert (found["orderByKey"], found["orderByAsc"]) == ("metrics.`selected/test_top1`", False)


def test_only_the_accuracies_have_a_range() -> None:
    lines = [chart for chart in _state((61.2, 97.9))["compareRunCharts"] if chart["type"] == "LINE"]
    assert [line.get("range") for line in lines] == [{"yMin": 61, "yMax": 98}, {"yMin": 61, "yMax": 98}, None, None]
    assert not [chart for chart in _state(None)["compareRunCharts"] if "range" in chart]


def test_it_fits_into_a_tag() -> None:
    assert len(shared_view(5, (61.2, 97.9))) < 5000


def test_the_page_names_the_view_only_where_there_is_one() -> None:
    plain = "http://h:5000/#/experiments/7/runs?workflowType=machine_learning&compareRunsMode=CHART"
    assert runs_page("http://h:5000/", "7", view=False) == plain
    assert runs_page("http://h:5000", "7", view=True) == f"{plain}&viewStateShareKey=by-arm"
