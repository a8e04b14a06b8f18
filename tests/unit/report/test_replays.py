"""Replays in a report: their table, notes, JSON and points."""

import json

import pytest

from ctkd_study.analysis import Cost, Replay, ReplayDifference, replays
from ctkd_study.analysis.verdict import Mean
from ctkd_study.report import as_json, figures, html, markdown
from ctkd_study.report import replays as report
from tests.support.figures import points
from tests.support.tabulated import curves_of, quickstart, trial


def known(kind: str, name: str, mean: float, seconds: float) -> Replay:
    differences = tuple(ReplayDifference(b, mean - 90, mean - 91, mean - 89) for b in ("grid", "global", "instance"))
    test = Mean(mean, mean - 0.5, mean + 0.5, (mean, None))
    return Replay("grid", kind, name, test, Cost(seconds, seconds / 5), differences)  # type: ignore[arg-type]


REPLAYS = [known("random", "random 1 of 5", 94.0, 10.0), known("declared", "T=4, named beforehand", 95.0, 10.0)]


def test_the_table() -> None:
    found = report.table(quickstart(), REPLAYS)
    assert found.titles == (
        "replayed", "test", "minus grid", "minus global", "minus instance", "TFLOP", "ratio", "device-seconds", "ratio",
    )  # fmt: skip
    assert found.rows[0] == (
        "random 1 of 5", "94.00 ± 0.50", *["+4.00 (+3.00 to +5.00)"] * 3, "2.00", "0.20", "10.0", "0.20",
    )  # fmt: skip
    assert found.is_text == (True, *[False] * 8)


@pytest.mark.parametrize(
    ("kinds", "said"),
    [
        ((), []),
        (("random",), ["Replays train nothing"]),
        (("declared", "transferred"), ["Replays train nothing", "The best of the other seeds"]),
        (("random", "halving"), ["Replays train nothing", "Halving and ASHA stop trials"]),
        (("asha",), ["Replays train nothing", "Halving and ASHA stop trials"]),
    ],
)
def test_the_notes(kinds: tuple[str, ...], said: list[str]) -> None:
    found = report.notes([known(kind, kind, 90.0, 1.0) for kind in kinds])
    assert [note[: len(start)] for note, start in zip(found, said, strict=True)] == said


def test_json_and_pages_have_them_and_the_terminal_does_not() -> None:
    comparison = quickstart()
    object_of = json.loads(json.dumps(as_json.comparison_as_json(comparison, replays=REPLAYS)))["replays"]
    assert object_of[0] == {
        "arm": "grid",
        "kind": "random",
        "name": "random 1 of 5",
        "test_top1": {"mean": 94.0, "low": 93.5, "high": 94.5, "per_seed": [94.0, None]},
        "cost": {"device_seconds": 10.0, "tflop": 2.0},
        "differences": [{"b": b, "difference": 4.0, "low": 3.0, "high": 5.0} for b in ("grid", "global", "instance")],
    }
    assert as_json.comparison_as_json(comparison)["replays"] == []
    page = html.page(comparison, (), REPLAYS)
    for text in ("<h2>Replays</h2>", "T=4, named beforehand", "Hollow points are replays", "Replays train nothing"):
        assert text in page
        assert text not in html.page(comparison)
    document = markdown.document(comparison, REPLAYS)
    assert "| random 1 of 5 | 94.00 ± 0.50 |" in document
    assert "- Replays train nothing" in document


def test_the_figure_draws_them_hollow_with_the_frontier() -> None:
    comparison = quickstart()
    figure = figures.accuracy_by_cost(comparison, REPLAYS)
    assert figure is not None
    lines = {line.get_label(): line for line in figure.axes[0].get_lines()}
    single = lines["replay: declared"]
    assert points(single) == [(10.0, 95.0)]
    assert single.get_markerfacecolor() == "none"
    assert points(lines["replay: random"]) == [(10.0, 94.0)]
    means = {
        each.strategy.name: (each.cost.device_seconds, each.test_top1.mean)
        for each in comparison.summaries
        if each.cost
    }
    # instance is the best of those that cost one run; the grid costs five times that, and is better.
    assert points(lines["best for its cost"]) == [
        pytest.approx(means["instance"]),
        pytest.approx(means["grid"]),
    ]
    plain = figures.accuracy_by_cost(comparison)
    assert plain is not None
    assert not [line for line in plain.axes[0].get_lines() if "replay" in str(line.get_label())]


def test_a_whole_studys_replays_fit_into_a_page() -> None:
    comparison = quickstart()
    results = []
    for summary in comparison.summaries:
        for setting in summary.strategy.arm.settings:
            results += [trial(summary.strategy.name, setting.label, seed, 95.0, 94.0 + seed / 8) for seed in range(8)]
    found = replays(comparison, results, {result.id: curves_of(result, 6) for result in results})
    assert {replay.kind for replay in found} == {"random", "declared", "transferred", "halving", "asha"}
    assert html.page(comparison, (), found).count("</tr>") > len(found)
