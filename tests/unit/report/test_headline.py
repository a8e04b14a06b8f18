"""The headline: a line per strategy with the verdict, the difference, and what it costs and saves."""

import dataclasses

import pytest

from ctkd_study.analysis.bill import Bill
from ctkd_study.analysis.strategies import Cost
from ctkd_study.analysis.verdict import compare
from ctkd_study.report.headline import Line, headline
from tests.support.comparisons import CASES
from tests.support.tabulated import question, quickstart, strategies

BILL = Bill(500.0, 300.0, 0.0, 100.0, 60.0, 0.0, 1000.0)


def test_a_line_per_strategy_says_verdict_difference_cost_and_saving() -> None:
    study = dataclasses.replace(quickstart(price_per_device_hour=36.0), bill=BILL)
    first, *others, last = headline(study)
    pair = study.pairs[0]
    assert first == Line(
        "global is not worse than grid (best of 5) by more than 1.5 points",
        f"{pair.difference:+.2f} points, 97.5 % interval {pair.low:+.2f} to {pair.high:+.2f}. Costs 0.2 times the "
        "TFLOP and device-seconds, and saves 40.0 device-seconds (USD 0.400) a use: the study pays after 25 uses.",
        "not_worse",
    )
    assert [line.verdict for line in others] == ["undecided", "worse"]
    assert "would" in others[0].details
    assert "saves" not in others[0].details, "it may be worse"
    assert others[1].claim == "Exploratory: student_alone is worse than grid (best of 5) by more than 1.5 points"
    assert last.claim == "grid (best of 5) is the baseline"
    assert last.details.endswith(" % on test, 50.0 device-seconds and 10.0 TFLOP a use.")
    assert last.verdict is None


def test_what_costs_more_saves_nothing() -> None:
    cheap, dear = strategies({"grid": [95.0, 96.0, 97.0], "global": [95.1, 96.3, 97.2]})
    costly = tuple(dataclasses.replace(each, cost=Cost(75.0, 2.0)) for each in dear.replicates)
    found = compare(question(seeds=(0, 1, 2)), (cheap, dataclasses.replace(dear, replicates=costly)))
    first, _ = headline(dataclasses.replace(found, bill=BILL))
    assert first.details.endswith(
        "Costs 1 times the TFLOP and 7.5 times the device-seconds, which is 65.0 device-seconds more a use."
    )
    first, _ = headline(found)
    assert first.details.endswith("Costs 1 times the TFLOP and 7.5 times the device-seconds."), "no bill"


def test_without_costs_and_without_intervals_only_what_is_known_is_said() -> None:
    study = quickstart(2)
    bare = tuple(dataclasses.replace(each, cost=None, cost_ratio=None) for each in study.summaries)
    first, *_, last = headline(dataclasses.replace(study, summaries=bare))
    assert first.details == "-0.35 points. An interval needs at least 3 seeds."
    assert last.details == "96.30 % on test."


@pytest.mark.parametrize("case", ["paper", "empty"])
def test_without_a_verdict_there_is_no_headline(case: str) -> None:
    assert headline(CASES[case]) == []
