"""The bill of a study, wall times, and after how many uses it has paid."""

import dataclasses

import pytest

from ctkd_study.analysis.bill import Bill, uses, wall_seconds
from ctkd_study.analysis.strategies import evaluate
from ctkd_study.report import bill as report
from tests.support.tabulated import arm, failed, quickstart, trial

BILL = Bill(100.0, 20.0, 5.0, 1.0, 10.0, 4.0, 161.0)


def test_idle_is_what_was_held_and_not_worked_with() -> None:
    assert (BILL.work, BILL.idle, BILL.total) == (140.0, 21.0, 161.0)
    unknown, shared = dataclasses.replace(BILL, held=None), dataclasses.replace(BILL, held=120.0)
    assert (unknown.idle, unknown.total) == (None, 140.0)
    assert (shared.idle, shared.total) == (0.0, 140.0), "a teacher from another study's launch"


@pytest.mark.parametrize(("devices", "seconds"), [(1, 12.0), (2, 8.0), (3, 6.0), (16, 6.0)])
def test_trials_start_in_order_as_devices_become_free(devices: int, seconds: float) -> None:
    # On two devices, T=1 takes one for 4 s; T=4 (2 s) and T=16 (6 s) the other for 8 s.
    grid = arm("grid", "T=1", "T=4", "T=16", fixed=True)
    took = {"T=1": 4.0, "T=4": 2.0, "T=16": 6.0}
    results = [trial("grid", label, 0, 90, 90, wall_seconds=each) for label, each in took.items()]
    (strategy,) = evaluate([grid], [0, 1], results, "validation")
    assert wall_seconds(strategy, devices) == seconds, "seed 1 is not complete"
    one, two = (dataclasses.replace(result, seed=1, id=f"grid-{result.setting}-s1") for result in results[:2]), results
    broken = [*two, *one, dataclasses.replace(failed("grid", "T=16", 1), wall_seconds=1.0)]
    (strategy,) = evaluate([grid], [0, 1], broken, "validation")
    assert wall_seconds(strategy, 1) == (12.0 + 7.0) / 2, "mean over seeds; a failed trial took its time"
    (empty,) = evaluate([grid], [0], [], "validation")
    assert wall_seconds(empty, devices) is None


def test_a_study_pays_after_the_uses_that_save_what_it_took() -> None:
    study = dataclasses.replace(quickstart(), bill=BILL)
    verdicts = {pair.a: pair.verdict for pair in study.pairs}
    assert verdicts == {"global": "not_worse", "instance": "undecided", "student_alone": "worse"}
    strategies = [each.strategy for each in study.summaries]
    found = {use.name: (use.saves, use.pays_after) for use in uses(BILL, strategies, study.pairs, "grid")}
    nothing = (None, None)
    # A grid of five costs 50 device-seconds, one run 10: 161 / 40 is a little above 4.
    assert found == {"grid": nothing, "global": (40.0, 5), "instance": nothing, "student_alone": nothing}
    dear = quickstart(baseline="global")
    as_good = [dataclasses.replace(pair, verdict="better") for pair in dear.pairs]
    found = {use.name: (use.saves, use.pays_after) for use in uses(BILL, strategies, as_good, "global")}
    assert found["grid"] == (-40.0, None), "what costs more never pays"
    assert found["instance"] == (0.0, None)


def test_the_bill_is_told_in_lines_tables_and_json() -> None:
    study = dataclasses.replace(quickstart(), bill=BILL)
    assert report.lines(study) == [
        "The whole study took 161 device-seconds, 13 % of them idle.",
        "global saves 40.0 device-seconds a use: the study pays after 5 uses.",
    ]
    spent, use = report.tables(study)
    assert spent.rows[0] == ("students' training", "100", "62.1 %")
    assert spent.rows[-1] == ("all", "161", "100 %")
    assert [row[0] for row in use.rows] == ["grid", "global", "instance", "student_alone"]
    assert (use.rows[1][-2:], use.rows[2][-2:]) == (("40.0", "5 uses"), ("-", "-"))
    found = report.as_json(study)
    assert found is not None
    assert (found["idle"], found["total"], found["held"]) == (21.0, 161.0, 161.0)
    assert found["strategies"][1] == {
        "name": "global",
        "wall_seconds": {"1": 0.0, "4": 0.0, "16": 0.0},
        "saves": 40.0,
        "pays_after": 5,
    }
    none = quickstart()
    assert (report.lines(none), report.tables(none), report.as_json(none)) == ([], (), None)
