"""The yardsticks: values, directions, and what is rounded to whole examples."""

from typing import get_args

import pytest

from ctkd_study.analysis import METRICS, TOP1, evaluate
from ctkd_study.analysis.strategies import Cost, Replicate
from ctkd_study.spec import MetricName
from tests.support.tabulated import arm, trial

OURS = Replicate(0, True, "T=4", 91.0, 90.0, Cost(), "ours", 99.0, 0.25, 4.0)
THEIRS = Replicate(0, True, "T=1", 91.0, 88.5, Cost(), "theirs", 99.5, 0.5, 3.0)


def test_the_study_file_knows_all_of_them() -> None:
    assert tuple(METRICS) == get_args(MetricName)
    assert METRICS["top1"] is TOP1


@pytest.mark.parametrize(("name", "difference"), [("top1", 1.5), ("top5", -0.5), ("nll", 0.25), ("ece", -1.0)])
def test_a_difference_above_0_is_better(name: MetricName, difference: float) -> None:
    metric = METRICS[name]
    assert metric.difference(OURS, THEIRS) == difference
    assert metric.difference(THEIRS, OURS) == -difference
    nothing = Replicate(0, False, None, None, None, Cost())
    assert metric.difference(OURS, nothing) is None
    assert metric.difference(nothing, THEIRS) is None


def test_only_shares_of_examples_are_rounded() -> None:
    assert [metric.rounding(100) > 0 for metric in METRICS.values()] == [True, True, False, False]
    assert TOP1.rounding(None) == 0


def test_they_are_read_at_the_trial_that_validation_selects() -> None:
    grid = arm("grid", "T=1", "T=4", fixed=True)
    results = [
        trial("grid", "T=1", 0, 90.0, 95.0, test_loss=0.1, test_top5=99.0, test_ece=1.0),
        trial("grid", "T=4", 0, 91.0, 80.0, test_loss=0.9, test_top5=98.0, test_ece=9.0),
    ]
    (strategy,) = evaluate([grid], [0], results, "validation")
    found = strategy.replicates[0]
    assert {name: metric.score(found) for name, metric in METRICS.items()} == {
        "top1": 80.0, "top5": 98.0, "nll": -0.9, "ece": -9.0,
    }  # fmt: skip
