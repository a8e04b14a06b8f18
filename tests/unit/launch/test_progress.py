"""What a launch counts, and what it shows of it."""

import io
import time

import pytest
from rich.console import Console

from ctkd_study.launch.progress import LaunchProgress
from ctkd_study.plan.due import Plan, make_plan
from ctkd_study.report import live_table
from ctkd_study.spec import from_mapping
from tests.support.clocks import Clock
from tests.support.studies import plain
from trainables.record import Row


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    clock = Clock()
    monkeypatch.setattr(time, "monotonic", clock)
    return clock


@pytest.fixture
def plan() -> Plan:
    """One arm, three seeds of ten epochs."""
    return make_plan(from_mapping(plain(recipe={"epochs": 10})))


def row(epoch: int) -> Row:
    return {"epoch": epoch, "epoch_seconds": 2.0, "eval_seconds": 1.0, "teacher_seconds": 0.5, "device_seconds": 4.0}


def test_time_left_is_told_by_the_pace_of_trials_alone(plan: Plan, clock: Clock) -> None:
    progress = LaunchProgress(plan.trials, {})
    first, second, third = (trial.id for trial in plan.trials)
    progress.note = "the teacher is being made ready"
    clock.now += 500
    progress.row(first, row(1))  # some trials need no teacher
    clock.now += 10
    progress.row(first, row(2))
    assert progress.seconds_left() is None, "nobody knows how long the teacher will take"
    progress.note = ""
    clock.now += 60
    progress.row(first, row(3))
    assert progress.seconds_left() is None, "one report has no pace"
    clock.now += 6
    progress.row(first, row(4))
    progress.row(second, row(1))
    assert progress.seconds_left() is None, "an epoch takes 3.5 s: both trials may have begun it before"
    clock.now += 2
    assert progress.seconds_left() == pytest.approx(25 * 8 / 2)
    progress.ended(first, "failed")  # its other epochs will never be, and were not trained either
    assert progress.seconds_left() == pytest.approx(19 * 8 / 2)
    for trial_id in (second, third):
        progress.ended(trial_id, "finished")
    assert progress.seconds_left() == 0


def test_a_row_is_counted_in_device_seconds_and_lost_with_its_worker(plan: Plan) -> None:
    progress = LaunchProgress(plan.trials, {})
    trial = plan.trials[0].id
    progress.row(trial, row(1))
    assert progress.device_seconds == 4
    assert progress.busy_seconds == 4 + 2 * (1.0 + 0.5), "evaluation and teacher occupy as many devices as training"
    progress.saved(trial)
    progress.row(trial, row(2))
    assert progress.unsaved() == {trial: 4}
    progress.interrupted(trial, "the worker died")
    assert (progress.wasted, progress.unsaved()) == ({trial: 4}, {})
    progress.interrupted(trial, "the worker died")
    assert progress.wasted == {trial: 4}, "it had done nothing since"
    progress.row(trial, row(2))
    progress.ended(trial, "finished")
    assert (progress.wasted, progress.unsaved()) == ({trial: 4}, {})


def test_an_interrupted_trial_waits_and_goes_on(plan: Plan) -> None:
    progress = LaunchProgress(plan.trials, {})
    first, second, _ = (trial.id for trial in plan.trials)
    progress.row(first, row(1))
    progress.interrupted(first, "gone")
    (arm,) = progress.arms().values()
    assert (arm.waiting, arm.running, arm.failed) == (3, 0, 0)
    progress.row(first, row(1))
    progress.row(second, row(1))
    (arm,) = progress.arms().values()
    assert (arm.waiting, arm.running, arm.failed) == (1, 2, 0)


def test_what_is_wrong_is_told_until_it_is_over(plan: Plan) -> None:
    progress = LaunchProgress(plan.trials, {})
    first, second, third = (trial.id for trial in plan.trials)
    progress.interrupted(first, "the worker died")
    progress.trouble(second, "no space left on device")
    progress.trouble(third, "no space left on device")
    progress.trouble(third, "Stale file handle")
    told = {first: "the worker died", second: "no space left on device", third: "Stale file handle"}
    assert progress.troubles() == told
    progress.row(first, row(1))
    assert progress.troubles() == told, "it has not saved yet"
    progress.saved(first)
    progress.ended(second, "failed")
    progress.trouble(third, "")
    progress.trouble(third, "")
    assert progress.troubles() == {}


def test_a_trial_is_silent_from_its_start_or_its_last_row_on(plan: Plan, clock: Clock) -> None:
    progress = LaunchProgress(plan.trials, {})
    first, second, third = (trial.id for trial in plan.trials)
    clock.now += 1000
    assert progress.silent(60) == {}, "nobody has a worker"
    progress.begun(first)
    progress.begun(second)
    clock.now += 70
    progress.row(second, row(1))
    progress.row(third, row(1))
    assert progress.silent(60) == {}, "20 s are for reading data"
    clock.now += 11
    assert progress.silent(60) == {first: 61}
    clock.now += 50
    assert progress.silent(60) == {first: 111, second: 61, third: 61}
    progress.trouble(first, "OSError: no space left on device")
    progress.interrupted(second, "the worker died")
    progress.ended(third, "finished")
    assert progress.silent(60) == {}
    clock.now += 61
    assert progress.silent(60) == {first: 61}


def test_by_default_ten_of_the_longest_epochs_and_ten_minutes_are_too_long(plan: Plan, clock: Clock) -> None:
    progress = LaunchProgress(plan.trials, {})
    first, second, _ = (trial.id for trial in plan.trials)
    progress.begun(first)
    clock.now += 100_000
    assert progress.silent(None) == {}, "nobody knows how long an epoch takes"
    progress.row(second, row(1))
    clock.now += 600
    assert progress.silent(None) == {first: 100_580}
    clock.now += 1
    assert progress.silent(None) == {first: 100_581, second: 601}
    progress.row(second, {"epoch": 2, "epoch_seconds": 100.0, "eval_seconds": 20.0, "device_seconds": 100.0})
    clock.now += 1200
    assert set(progress.silent(None)) == {first}
    clock.now += 1
    assert set(progress.silent(None)) == {first, second}


def test_a_helper_is_judged_by_the_teacher_s_epochs(plan: Plan, clock: Clock) -> None:
    progress = LaunchProgress(plan.trials, {})
    progress.helper(".teacher")
    progress.row(plan.trials[0].id, row(1))
    clock.now += 100_000
    assert ".teacher" not in progress.silent(None), "nobody knows how long its epoch takes"
    progress.helper(".teacher", 1, 100.0)
    clock.now += 1000
    assert ".teacher" not in progress.silent(None)
    clock.now += 1
    assert progress.silent(None)[".teacher"] == 1001
    progress.helper(".teacher", 1, 100.0)
    assert ".teacher" in progress.silent(None), "it has done nothing since"
    progress.helper(".teacher", 2, 100.0)
    assert ".teacher" not in progress.silent(None)


def test_who_is_silent_is_named_before_it_is_too_long(plan: Plan, clock: Clock) -> None:
    progress = LaunchProgress(plan.trials, {})
    first, second, _ = (trial.id for trial in plan.trials)
    progress.begun(first)
    clock.now += 50
    assert progress.troubles() == {}
    clock.now += 2
    assert progress.troubles() == {first: "nothing heard for 32 s"}
    progress.row(first, row(1))
    clock.now += 35
    assert progress.troubles() == {}, "ten epochs take that long"
    clock.now += 1
    assert progress.troubles() == {first: "nothing heard for 36 s"}
    progress.trouble(second, "OSError: gone")
    progress.interrupted(first, "it hung, and its worker was killed")
    assert progress.troubles() == {first: "it hung, and its worker was killed", second: "OSError: gone"}
    progress.begun(first)
    assert progress.troubles() == {first: "it hung, and its worker was killed", second: "OSError: gone"}


def test_a_line_and_a_table_say_the_same(plan: Plan, clock: Clock) -> None:
    progress = LaunchProgress(plan.trials, {})
    first, second, _ = (trial.id for trial in plan.trials)
    progress.row(first, row(9))
    progress.row(first, row(10))
    progress.ended(first, "finished")
    progress.ended(second, "failed")
    clock.now += 90
    said = live_table.line(progress, 3600.0)
    assert said == ("finished: four 1/3; failed: 1; 1m30s so far; about 15m00s left; 8 device-seconds; cost 8.00")
    progress.note = "the teacher is being made ready"
    console = Console(file=io.StringIO(), width=100)
    console.print(live_table.table(progress, None))
    assert isinstance(console.file, io.StringIO)
    table = console.file.getvalue()
    assert "the teacher is being made ready" in " ".join(table.split())
    assert [line.split() for line in table.splitlines() if "four" in line] == [
        ["│", "four", "│", "1", "│", "0", "│", "1", "│", "1", "│"]
    ]
