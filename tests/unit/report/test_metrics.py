"""A comparison by another metric than accuracy, as people read it."""

import dataclasses
from typing import Any

import pytest

from ctkd_study.analysis import METRICS, Comparison, across, compare, evaluate, replays
from ctkd_study.errors import StudyError
from ctkd_study.report import as_json, columns, html, interval_figures, sentence
from tests.support.tabulated import arm, question, trial

SEEDS = range(4)


def compared(**fields: Any) -> Comparison:
    """The curriculum has half a nat less than the grid, and is less accurate."""
    arms = [arm("grid", "T=1", "T=4", fixed=True), arm("global")]
    results = []
    for seed in SEEDS:
        nll, ece = 1.0 + seed / 100, 5.0 + seed
        results += [trial("grid", "T=1", seed, 90, 90.0, test_loss=nll, test_ece=ece, test_top5=99.0)]
        results += [trial("grid", "T=4", seed, 80, 99.0, test_loss=0.0, test_ece=0.0, test_top5=99.5)]
        results += [trial("global", "global", seed, 85, 80.0, test_loss=nll / 2, test_ece=ece + 1, test_top5=97.0)]
    asked = dataclasses.replace(question(seeds=tuple(SEEDS)), **fields)
    return compare(asked, evaluate(arms, SEEDS, results, "validation"))


def test_lower_is_better_for_the_likelihood() -> None:
    found = compared(metric=METRICS["nll"], margin=0.02)
    (pair,) = found.pairs
    assert pair.verdict == "better"
    assert pair.difference == pytest.approx(0.5075)
    assert pair.per_seed == pytest.approx([0.5, 0.505, 0.51, 0.515])
    said = sentence(found)
    assert said.startswith("global is better than grid (best of 2) (+0.5075, 95 % interval +0.4972 to +0.5178)")
    assert (
        "; margin 0.02 nats; compared by negative log-likelihood on test, lower is better, so differences are" in said
    )
    assert "turned: above 0 is better; intervals on this test set" in said
    assert "xploratory" not in said


def test_a_higher_calibration_error_is_worse_and_the_unit_is_said() -> None:
    found = compared(metric=METRICS["ece"], margin=0.5)
    assert [(pair.verdict, pair.difference) for pair in found.pairs] == [("worse", -1.0)]
    assert "global is worse than grid (best of 2) by more than 0.5 points (-1.00" in sentence(found)


def test_a_metric_that_was_not_declared_is_exploratory() -> None:
    found = compared(metric=METRICS["nll"], margin=0.02, metric_declared=False)
    assert (found.confirmed, [pair.confirmed for pair in found.pairs]) == ((), [False])
    assert sentence(found).startswith("Exploratory: global is better")
    assert "exploratory, because the study declares another metric" in sentence(found)
    content = as_json.comparison_as_json(found)
    assert (content["metric"], content["metric_declared"]) == ("nll", False)
    assert content["strategies"][1]["test_nll"]["mean"] == pytest.approx(0.5075)


@pytest.mark.parametrize(
    ("metric", "title", "cell", "difference"),
    [
        ("nll", "NLL on test", "1.0150 ± 0.0205", "+0.5075 (+0.4972 to +0.5178)"),
        ("ece", "ECE on test", "6.50 ± 2.05", "-1.00 (-1.00 to -1.00)"),
        ("top5", "top-5 on test", "99.00 ± 0.06", "-2.00 (-2.08 to -1.92)"),
    ],
)
def test_tables_have_a_column_of_the_metric(metric: Any, title: str, cell: str, difference: str) -> None:
    found = compared(metric=METRICS[metric], margin=0.5)
    table = columns.table(found, "accuracy", "wide")
    place = table.titles.index(title)
    assert table.rows[0][place] == cell
    assert table.rows[1][table.titles.index("minus grid")] == difference
    assert f"Differences: {METRICS[metric].title}" in table.caption
    plain = columns.table(compared(), "accuracy", "wide")
    assert title not in plain.titles
    assert "Differences" not in plain.caption


def test_the_figure_says_which_way_is_better() -> None:
    figure = interval_figures.differences(compared(metric=METRICS["nll"], margin=0.02))
    assert figure is not None
    assert figure.axes[0].get_xlabel() == (
        "negative log-likelihood minus grid, nats;\nlower is better, so differences are turned: above 0 is better"
    )
    html.page(compared(metric=METRICS["ece"], margin=0.5))


def test_replays_are_of_accuracy_alone() -> None:
    assert replays(compared(metric=METRICS["nll"], margin=0.02), []) == []


def test_studies_side_by_side_have_one_metric() -> None:
    first = compared(metric=METRICS["nll"], margin=0.02, study="a")
    found = across([first, compared(metric=METRICS["nll"], margin=0.02, study="b")])
    assert found.metric.name == "nll"
    assert found.strategies[0].difference.mean == pytest.approx(0.5075)
    with pytest.raises(StudyError, match="one metric, but have a: nll, b: top1"):
        across([first, compared(study="b")])
