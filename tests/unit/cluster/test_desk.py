"""What the Ray process asks of the driver, and what becomes of what it tells."""

import pickle
import threading
from collections.abc import Callable
from multiprocessing.connection import Connection, Pipe
from pathlib import Path
from typing import Any

import pytest

from ctkd_study.cluster.desk import Answering, Assignment, Brief, Desk, Ended, caller
from ctkd_study.errors import ClusterError, TeacherError
from ctkd_study.launch import LaunchContext, LaunchProgress, RetryPolicy, TrialQueue
from ctkd_study.plan import StudyState
from ctkd_study.spec import from_mapping
from tests.support.banks import BASE
from tests.support.clocks import Clock
from tests.support.records import saved
from tests.support.studies import plain
from trainables.record import Row, Status
from trainables.storage import Storage
from trainables.trial import describe

ROW: dict[str, Any] = {"epoch": 1, "epoch_seconds": 2.0, "device_seconds": 4.0, "status": "running"}


class Launch:
    """A study of one arm with a teacher and one without, two seeds of each."""

    def __init__(self, folder: Path, clock: Clock) -> None:
        arms = {"two": BASE["arms"]["two"], "alone": BASE["arms"]["alone"]}
        self.state = StudyState(from_mapping(plain(arms=arms, seeds=2)), Storage.at(str(folder)))
        self.clock = clock
        self.progress = LaunchProgress(self.state.plan.trials, {})
        self.queue = TrialQueue(self.state, self.state.stored(), 1, policy=RetryPolicy(tries=3), now=clock)
        self.saved: list[str] = []
        self.context = LaunchContext(self.state.folder, self.progress, self.saved.append, 3, 1.5, 0.25, stall=100.0)
        self.desk = Desk(self.queue, self.context)
        self.ids = [pending.id for pending in self.queue.waiting]

    def record(self, trial_id: str, status: Status, epoch: int = 1) -> None:
        """What a worker writes."""
        rows: list[Row] = [{"epoch": number + 1} for number in range(epoch)]
        manifest = describe(self.queue.handed_out[trial_id].config, rows, None, status=status)
        saved(self.state.folder.trial(trial_id), manifest, rows, 1)


@pytest.fixture
def launch(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Launch:
    clock = Clock()
    monkeypatch.setattr("time.monotonic", clock)
    return Launch(tmp_path, clock)


def arms_of(launch: Launch) -> tuple[int, int, int, int]:
    """How many trials of the study wait, run, are finished, and have failed."""
    states = launch.progress.arms().values()
    return (
        sum(state.waiting for state in states),
        sum(state.running for state in states),
        sum(state.finished for state in states),
        sum(state.failed for state in states),
    )


def test_the_brief_is_what_is_due_and_what_a_trial_is_given(launch: Launch) -> None:
    brief = launch.desk.brief()
    assert (brief.study, brief.concurrency, brief.cpu, brief.gpu) == ("small", 3, 1.5, 0.25)
    assert brief.policy == RetryPolicy(tries=3)
    assert [config.run.trial for config in brief.waiting] == launch.ids
    launch.desk.pull(frozenset())
    assert [config.run.trial for config in launch.desk.brief().waiting] == launch.ids[1:]
    launch.desk.ended(launch.ids[0], "the worker died")
    assert [config.run.trial for config in launch.desk.brief().waiting] == launch.ids, "it is to be tried again"
    assert pickle.loads(pickle.dumps(brief)) == brief


def test_trials_are_handed_out_once_and_without_a_teacher_those_that_need_none(launch: Launch) -> None:
    desk = launch.desk
    assert not desk.was_asked
    first = desk.pull(frozenset({0}))
    assert desk.was_asked
    assert first is not None
    assert (first.id, first.tries, first.config.uses_teacher) == (launch.ids[1], 1, False)
    second, third = desk.pull(frozenset({0})), desk.pull(frozenset({0}))
    assert second is not None
    assert (second.id, third) == (launch.ids[3], None)
    rest = [desk.pull(frozenset()), desk.pull(frozenset()), desk.pull(frozenset())]
    assert [each and each.id for each in rest] == [launch.ids[0], launch.ids[2], None]
    assert launch.queue.running == set(launch.ids)
    assert pickle.loads(pickle.dumps(first)) == first


def test_a_launch_goes_on_while_trials_run_or_rest(launch: Launch) -> None:
    desk = launch.desk
    assert not desk.goes_on(), "what only waits may never start"
    given = [desk.pull(frozenset()) for _ in launch.ids]
    assert desk.goes_on()
    for assigned in given[:-1]:
        assert assigned is not None
        launch.record(assigned.id, "finished")
        desk.ended(assigned.id, "")
    last = given[-1]
    assert last is not None
    desk.ended(last.id, "the worker died")
    assert (desk.goes_on(), desk.exhausted()) == (True, False)
    launch.clock.now += 1
    again = desk.pull(frozenset())
    assert again is not None
    assert (again.id, again.tries) == (last.id, 2)
    launch.record(last.id, "failed")
    desk.ended(last.id, "")
    assert (desk.goes_on(), desk.exhausted()) == (False, True)


def test_it_stops_when_the_queue_does_or_the_lease_is_lost(launch: Launch) -> None:
    assert not launch.desk.stopping()
    launch.context.lost.set()
    assert (launch.desk.stopping(), launch.desk.exhausted()) == (True, False)
    launch.context.lost.clear()
    assert not launch.desk.stopping()
    launch.queue.stop()
    assert (launch.desk.stopping(), launch.desk.exhausted(), launch.desk.pull(frozenset())) == (True, True, None)


def test_a_trial_that_is_silent_for_too_long_hangs(launch: Launch) -> None:
    first, second = launch.desk.pull(frozenset()), launch.desk.pull(frozenset())
    assert first is not None
    assert second is not None
    launch.clock.now += 1000
    assert launch.desk.hung() == set(), "they wait for a worker"
    for assigned in (first, second):
        launch.desk.begun(assigned.id)
    launch.clock.now += 110
    assert launch.desk.hung() == set(), "data may have to be read"
    launch.desk.reported(second.id, ROW)
    launch.clock.now += 11
    assert launch.desk.hung() == {first.id}
    launch.desk.ended(first.id, "it hung, and its worker was killed")
    assert launch.desk.hung() == set(), "it no longer runs"
    launch.clock.now += 100
    assert launch.desk.hung() == {second.id}
    launch.desk.trouble(second.id, "OSError: no space left on device")
    assert launch.desk.hung() == set(), "whoever has trouble is alive"


def test_a_helper_that_does_not_get_on_is_named_and_hangs(launch: Launch) -> None:
    desk = launch.desk
    desk.helper(".teacher")
    launch.clock.now += 110
    desk.helper(".teacher", 0, 0.0)
    launch.clock.now += 60
    for _ in range(3):
        desk.helper(".teacher", 1, 2.0)
        launch.clock.now += 40
    assert launch.progress.troubles() == {".teacher": "nothing heard for 120 s"}, "it reports, but gets no further"
    assert desk.hung() == {".teacher"}
    desk.helper(".teacher", 2, 2.0)
    assert desk.hung() == set()
    launch.clock.now += 1000
    desk.helper_ended(".teacher")
    assert (desk.hung(), launch.progress.troubles()) == (set(), {})
    desk.helper(".bank-1", 3, 2.0)
    desk.all_interrupted("Ray died")
    launch.clock.now += 1000
    assert (desk.hung(), launch.progress.troubles(), launch.progress.helpers) == (set(), {}, set())
    assert launch.progress.seconds_left() is None


def test_only_running_trials_hang(launch: Launch) -> None:
    """A report of a trial that was taken back may come late."""
    first = launch.desk.pull(frozenset())
    assert first is not None
    launch.desk.ended(first.id, "the worker died")
    launch.desk.reported(first.id, ROW)
    launch.clock.now += 1000
    assert launch.desk.hung() == set()


def test_devices_and_notes_are_shown(launch: Launch, monkeypatch: pytest.MonkeyPatch) -> None:
    launch.desk.devices(7.0)
    assert launch.progress.devices == 7.0
    launch.desk.note("")
    set_to: list[str] = []
    note = property(lambda progress: set_to[-1] if set_to else "", lambda progress, text: set_to.append(text))
    monkeypatch.setattr(LaunchProgress, "note", note)
    for text in ("the teacher", "the teacher", "", ""):
        launch.desk.note(text)
    assert set_to == ["the teacher", ""], "each time, a new estimate would start"


def test_reports_are_counted(launch: Launch) -> None:
    first, second, third, _ = launch.ids
    desk = launch.desk
    for _ in launch.ids:
        desk.pull(frozenset())
    desk.reported(first, ROW)
    assert (arms_of(launch), launch.saved) == ((3, 1, 0, 0), [])
    desk.reported(first, {**ROW, "saved": True})
    assert (launch.progress.saves, launch.saved, launch.progress.unsaved()) == (1, [first], {})
    desk.reported(second, {**ROW, "saved": False, "reason": "OSError: no space left on device"})
    desk.reported(third, {"status": "saving", "saved": False, "reason": "OSError: still none"})
    assert launch.progress.troubles() == {second: "OSError: no space left on device", third: "OSError: still none"}
    desk.reported(second, {**ROW, "saved": True})
    assert launch.progress.troubles() == {third: "OSError: still none"}
    desk.reported(third, {"status": "finished", "saved": True, "reason": ""})
    desk.reported(second, {"status": "failed", "reason": "train_loss is nan"})
    assert launch.progress.troubles() == {}
    assert arms_of(launch) == (1, 1, 1, 1)
    assert launch.queue.running == set(launch.ids), "until Tune is done with them"


def test_an_empty_reason_ends_a_trouble(launch: Launch) -> None:
    launch.desk.trouble(".teacher", "OSError: gone")
    assert launch.progress.troubles() == {".teacher": "OSError: gone"}
    launch.desk.trouble(".teacher", "")
    assert launch.progress.troubles() == {}


def test_a_trial_ends_as_its_record_says(launch: Launch) -> None:
    desk, (first, second, third, fourth) = launch.desk, launch.ids
    for trial_id in launch.ids:
        desk.pull(frozenset())
        desk.reported(trial_id, ROW)
    launch.record(first, "finished")
    launch.record(second, "failed")
    launch.record(third, "running")
    desk.ended(first, "the worker died")
    desk.ended(second, "")
    desk.ended(third, "the worker died")
    desk.ended(fourth, "")
    assert arms_of(launch) == (2, 0, 1, 1)
    assert launch.saved == [first, second, third, fourth], "the last checkpoint may not have been reported"
    assert launch.progress.wasted == {third: 4.0, fourth: 4.0}
    told = {third: "the worker died", fourth: "it ended without a record of its end"}
    assert launch.progress.troubles() == launch.queue.unfinished == told


def test_a_trial_that_is_interrupted_too_often_stays_unfinished(launch: Launch) -> None:
    first = launch.ids[0]
    for number in range(3):
        assigned = launch.desk.pull(frozenset())
        assert assigned is not None
        assert (assigned.id, assigned.tries) == (first, number + 1)
        launch.desk.ended(first, f"fault {number}")
        launch.clock.now += 60
    assert launch.queue.unfinished == launch.progress.troubles() == {first: "fault 2"}
    other = launch.desk.pull(frozenset())
    assert other is not None
    assert other.id == launch.ids[1]


def test_what_ran_is_interrupted_with_ray(launch: Launch) -> None:
    first, second, third, _ = launch.ids
    for _ in range(3):
        launch.desk.pull(frozenset())
    launch.desk.reported(first, ROW)
    launch.record(second, "finished")
    launch.desk.all_interrupted("Ray's raylet died")
    assert launch.queue.running == set()
    assert launch.queue.unfinished == {first: "Ray's raylet died", third: "Ray's raylet died"}
    assert launch.progress.wasted == {first: 4.0}
    assert launch.saved == sorted([first, second, third])
    launch.clock.now += 1
    again = [launch.desk.pull(frozenset()) for _ in range(3)]
    assert sorted((each.id, each.tries) for each in again if each is not None) == sorted(
        [(first, 2), (third, 2), (launch.ids[3], 1)]
    )


def test_the_last_message_carries_an_error_or_a_traceback() -> None:
    assert Ended() == Ended(None, "")
    error = ClusterError("no node has that")
    assert Ended.by(error) == Ended(error)
    try:
        raise ValueError("odd")
    except ValueError as fault:
        ended = Ended.by(fault)
    assert ended.error is None
    assert ended.fault.startswith("Traceback")
    assert ended.fault.endswith("ValueError: odd\n")


@pytest.mark.parametrize("error", [ClusterError("no room"), TeacherError("no teacher")])
def test_errors_of_a_user_pass_the_pipe(error: Exception) -> None:
    copy = pickle.loads(pickle.dumps(Ended.by(error)))
    assert type(copy.error) is type(error)
    assert str(copy.error) == str(error)


# -- the pipe --------------------------------------------------------------------------------------------------------


@pytest.fixture
def pipe(launch: Launch) -> tuple[Answering, Connection]:
    ours, theirs = Pipe()
    return Answering(launch.desk, ours), theirs


def calling(call: Callable[[], Any], answering: Answering) -> Any:
    """Call from a thread, answer in this one."""
    got: list[Any] = []
    thread = threading.Thread(target=lambda: got.append(call()))
    thread.start()
    assert answering.answer(10) is None
    thread.join()
    return got[0]


def test_a_call_reaches_the_desk_and_its_answer_comes_back(launch: Launch, pipe: tuple[Answering, Connection]) -> None:
    answering, theirs = pipe
    desk = caller(theirs)
    brief = calling(desk.brief, answering)
    assert isinstance(brief, Brief)
    assert [config.run.trial for config in brief.waiting] == launch.ids
    assigned = calling(lambda: desk.pull(frozenset({0})), answering)
    assert isinstance(assigned, Assignment)
    assert assigned.id == launch.ids[1]
    assert calling(lambda: desk.reported(assigned.id, ROW), answering) is None
    assert arms_of(launch) == (3, 1, 0, 0)


def test_what_is_heard_is_timed(launch: Launch, pipe: tuple[Answering, Connection]) -> None:
    answering, theirs = pipe
    answering.heard = 1000.0
    launch.clock.now += 5
    calling(caller(theirs).exhausted, answering)
    assert answering.heard == 1005.0


def test_the_last_message_is_returned_and_an_end_of_the_process_raised(pipe: tuple[Answering, Connection]) -> None:
    answering, theirs = pipe
    theirs.send(Ended(fault="odd"))
    assert answering.answer(10) == Ended(fault="odd")
    theirs.close()
    with pytest.raises((EOFError, OSError)):
        answering.answer(10)
