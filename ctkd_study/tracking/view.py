"""A preset view of MLflow's charts: accuracy, temperature, λ and cost by arm.

The view is stored in a tag of the experiment, in MLflow's own format for shared views. MLflow does not document it, so
everything known about it is kept in this file. Without the view, MLflow shows its plain page of runs.
"""

import base64
import json
import math
import zlib
from typing import Any
from urllib.parse import urlencode

VIEW = "by-arm"
VIEW_TAG = f"mlflow.sharedViewState.{VIEW}"
#: Of a section or chart that somebody made and kept, rather than MLflow.
_OWN = {"deleted": False, "isGenerated": False}

#: Lowest and highest accuracy, in percent.
AccuracyRange = tuple[float, float]


def shared_view(created_ms: int, accuracy: AccuracyRange | None) -> str:
    """Return the value of ``VIEW_TAG``.

    Args:
        created_ms: milliseconds since 1970; the same for an experiment each time, so that its view is written once.
        accuracy: the range of the accuracy charts; None before there is any. Without it MLflow starts grouped lines
            at 0, where they cannot be told apart.
    """
    state = json.dumps(_state(accuracy), separators=(",", ":"))
    packed = "deflate;" + base64.b64encode(zlib.compress(state.encode(), 9)).decode()
    return json.dumps({"name": "By arm", "createdAt": created_ms, "state": packed})


def runs_page(server: str, experiment_id: str, view: bool) -> str:
    """Return the address of an experiment's charts; ``view`` says whether the experiment has ``VIEW_TAG``."""
    # Without workflowType MLflow opens its page for language models. With a filter or an order it ignores the view.
    query = {"workflowType": "machine_learning", "compareRunsMode": "CHART"}
    if view:  # for an unknown view MLflow opens another page
        query["viewStateShareKey"] = VIEW
    return f"{server.rstrip('/')}/#/experiments/{experiment_id}/runs?{urlencode(query)}"


def _state(accuracy: AccuracyRange | None) -> dict[str, Any]:
    bounds = {"yMin": math.floor(accuracy[0]), "yMax": math.ceil(accuracy[1])} if accuracy else None
    axes = [{"key": key, "type": "METRIC"} for key in ("total/device_seconds", "selected/test_top1")]
    charts = [
        _line(0, "test/top1", bounds),
        _line(0, "val/top1", bounds),
        {**_chart(0, "BAR"), "metricKey": "selected/test_top1"},
        _line(1, "temperature/mean", None),
        _line(1, "curriculum/lambda", None),
        {**_chart(2, "BAR"), "metricKey": "total/device_seconds"},
        {**_chart(2, "BAR"), "metricKey": "total/tflop"},
        {**_chart(2, "SCATTER"), "xaxis": axes[0], "yaxis": axes[1]},
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
            {"uuid": f"section-{number}", "name": f"{number + 1} {name}", "display": True, "isReordered": False, **_OWN}
            for number, name in enumerate(("Accuracy (%)", "Curriculum", "Cost"))
        ],
        "isAccordionReordered": True,
        "runsHiddenMode": "SHOW_ALL",
        "hideEmptyCharts": True,
        "selectedColumns": [],
        "viewMaximized": False,
        "runListHidden": False,
        "globalLineChartConfig": {"xAxisKey": "step", "lineSmoothness": 0, "selectedXAxisMetricKey": ""},
    }


def _chart(section: int, kind: str) -> dict[str, Any]:
    return {"type": kind, "metricSectionId": f"section-{section}", "runsCountToCompare": 100, **_OWN}


def _line(section: int, metric: str, bounds: dict[str, int] | None) -> dict[str, Any]:
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
        **({"range": bounds} if bounds else {}),
    }
