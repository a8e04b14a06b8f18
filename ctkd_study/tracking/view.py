"""The study's comparison as a preset view of MLflow's charts: accuracy, temperature, λ and cost by arm.

The format is MLflow's own for shared views, kept in a tag of the experiment. It is undocumented, so all that is known
of it stands here; whoever cannot use the view is shown the plain page of runs.
"""

import base64
import json
import math
import zlib
from typing import Any
from urllib.parse import urlencode

VIEW = "by-arm"
VIEW_TAG = f"mlflow.sharedViewState.{VIEW}"
_NAME = "By arm"

Span = tuple[float, float]


def shared_view(created_ms: int, accuracy: Span | None) -> str:
    """The value of ``VIEW_TAG``.

    Args:
        created_ms: milliseconds since 1970; fixed for an experiment, so that the view is written once.
        accuracy: lowest and highest accuracy that the lines should show, in percent; None before there is one. Grouped
            lines start at 0 otherwise, where nothing can be told apart.
    """
    state = json.dumps(_state(accuracy), separators=(",", ":"))
    packed = "deflate;" + base64.b64encode(zlib.compress(state.encode(), 9)).decode()
    return json.dumps({"name": _NAME, "createdAt": created_ms, "state": packed})


def runs_page(server: str, experiment_id: str, view: bool) -> str:
    """The address of an experiment's charts.

    Args:
        server: address of the MLflow server.
        experiment_id: MLflow's.
        view: whether the experiment has ``VIEW_TAG``; MLflow answers an unknown view with another page.
    """
    # Without the workflow MLflow opens its page for language models; with a filter or an order it ignores the view.
    query = {"workflowType": "machine_learning", "compareRunsMode": "CHART"}
    if view:
        query["viewStateShareKey"] = VIEW
    return f"{server.rstrip('/')}/#/experiments/{experiment_id}/runs?{urlencode(query)}"


def _state(accuracy: Span | None) -> dict[str, Any]:
    sections = ["Accuracy (%)", "Curriculum", "Cost"]
    low_high = {"yMin": math.floor(accuracy[0]), "yMax": math.ceil(accuracy[1])} if accuracy else None
    charts = [
        _line(0, "test/top1", low_high),
        _line(0, "val/top1", low_high),
        _bar(0, "selected/test_top1"),
        _line(1, "temperature/mean", None),
        _line(1, "curriculum/lambda", None),
        _bar(2, "total/device_seconds"),
        _bar(2, "total/tflop"),
        _scatter(2, "total/device_seconds", "selected/test_top1"),
    ]
    return {
        "searchFilter": "",
        "orderByKey": "metrics.`selected/test_top1`",
        "orderByAsc": False,
        "startTime": "ALL",
        "lifecycleFilter": "Active",
        "datasetsFilter": [],
        "modelVersionFilter": "All Runs",
        "groupBy": {"aggregateFunction": "average", "groupByKeys": [{"mode": "tag", "groupByData": "arm"}]},
        "groupsExpanded": {},
        "useGroupedValuesInCharts": True,
        "compareRunCharts": [{"uuid": f"chart-{number}", **chart} for number, chart in enumerate(charts)],
        "compareRunSections": [
            {
                "uuid": _section(number),
                "name": f"{number + 1} {name}",
                "display": True,
                "isReordered": False,
                "deleted": False,
                "isGenerated": False,
            }
            for number, name in enumerate(sections)
        ],
        "isAccordionReordered": True,
        "runsHiddenMode": "SHOW_ALL",
        "hideEmptyCharts": True,
        "selectedColumns": [],
        "viewMaximized": False,
        "runListHidden": False,
        "globalLineChartConfig": {"xAxisKey": "step", "lineSmoothness": 0, "selectedXAxisMetricKey": ""},
    }


def _section(number: int) -> str:
    return f"section-{number}"


def _chart(section: int, kind: str) -> dict[str, Any]:
    common = {"deleted": False, "isGenerated": False, "runsCountToCompare": 100}
    return {"type": kind, "metricSectionId": _section(section), **common}


def _line(section: int, metric: str, low_high: dict[str, int] | None) -> dict[str, Any]:
    return {
        **_chart(section, "LINE"),
        "metricKey": metric,
        "selectedMetricKeys": [metric],
        "xAxisKey": "step",
        "selectedXAxisMetricKey": "",
        "xAxisScaleType": "linear",
        "scaleType": "linear",
        "yAxisKey": "metric",
        "yAxisExpressions": [],
        "lineSmoothness": 0,
        "useGlobalXaxisKey": True,
        "useGlobalLineSmoothing": True,
        **({"range": low_high} if low_high else {}),
    }


def _bar(section: int, metric: str) -> dict[str, Any]:
    return {**_chart(section, "BAR"), "metricKey": metric}


def _scatter(section: int, across: str, up: str) -> dict[str, Any]:
    return {
        **_chart(section, "SCATTER"),
        "xaxis": {"key": across, "type": "METRIC"},
        "yaxis": {"key": up, "type": "METRIC"},
    }
