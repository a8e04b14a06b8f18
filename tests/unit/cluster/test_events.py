"""Tune's events, as a launch's progress counts them."""

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from ctkd_study.cluster.desk import Desk
from ctkd_study.cluster.events import TuneEvents, reason_of
from ctkd_study.cluster.helper_trials import HelperTrials
from ctkd_study.cluster.node_health import NodeHealth
from ctkd_study.launch import LaunchContext, LaunchProgress, TrialQueue
from ctkd_study.launch.progress import ArmProgress
from ctkd_study.plan import StudyState
from ctkd_study.spec import from_mapping
from tests.support.banks import banked
from tests.support.clocks import Clock
from tests.support.records import saved
from tests.support.studies import plain
from trainables.record import Status
from trainables.storage import Storage
from trainables.trial import describe

ROW: dict[str, Any] = {"epoch": 1, "epoch_seconds": 2.0, "device_seconds": 4.0, "status": "running"}


class Launch:
    """A study of one arm with three seeds, all handed out, and the events of Tune."""

    def __init__(self, folder: Path) -> None:
        self.state = StudyState(from_mapping(plain()), Storage.at(str(folder)))
        self.progress = LaunchProgress(self.state.plan.trials, {})
        self.clock = Clock()
        self.queue = TrialQueue(self.state, self.state.stored(), 1, now=self.clock)
        self.ids = [pending.id for pending in iter(self.queue.pull, None) if pending is not None]
        self.saved: list[str] = []
        self.helpers = HelperTrials([banked(folder, seed) for seed in range(2)], 0, slots=2, now=self.clock)
        context = LaunchContext(self.state.folder, self.progress, self.saved.append, None, 1.0, 0.0, stall=100.0)
        self.health = NodeHealth(lambda: ["one", "two"])
        self.events = TuneEvents(Desk(self.queue, context), self.helpers, self.health)

    def result(self, trial_id: str, **result: Any) -> None:
        self.events.on_trial_result(1, [], _trial(trial_id), result)

    def start(self, trial_id: str) -> None:
        self.events.on_trial_start(1, [], _trial(trial_id))

    def complete(self, trial_id: str, **last: Any) -> None:
        """Tune is done with a trial, whose last result was this one."""
        self.events.on_trial_complete(1, [], _trial(trial_id, last=last))

    def error(self, trial_id: str, text: str | None) -> None:
        self.events.on_trial_error(1, [], _trial(trial_id, text))

    def record(self, trial_id: str, status: Status) -> None:
        """What a worker writes."""
        manifest = describe(self.queue.handed_out[trial_id].config, [{"epoch": 1}], None, status=status)
        saved(self.state.folder.trial(trial_id), manifest, [{"epoch": 1}], 1)

    def arm(self) -> ArmProgress:
        (arm,) = self.progress.arms().values()
        return arm

    def reasons(self) -> dict[str, str | None]:
        """Reasons of failed trials, as recorded."""
        return {key: m.reason for key, m in self.state.manifests.items() if m.status == "failed"}


def _trial(trial_id: str, error: str | None = None, last: dict[str, Any] | None = None) -> Any:
    """Tune's trial: its id is ours with the number of the try."""
    helps = trial_id.startswith(".")
    config = {"run": {"trial": trial_id}}
    tunes = trial_id if helps else f"{trial_id}.1"
    return SimpleNamespace(trial_id=tunes, config=config, get_error=lambda: error, last_result=last)


@pytest.fixture
def launch(tmp_path: Path) -> Launch:
    return Launch(tmp_path)


def test_epochs_and_ends_of_trials_are_counted(launch: Launch) -> None:
    first, second, _ = launch.ids
    launch.result(first, **ROW)
    assert launch.arm() == ArmProgress(waiting=2, running=1)
    assert launch.progress.unsaved() == {first: 4.0}
    launch.result(first, **{**ROW, "status": "finished"})
    launch.result(second, **{**ROW, "status": "failed", "reason": "train_loss is nan"})
    assert launch.arm() == ArmProgress(waiting=1, finished=1, failed=1)
    assert launch.progress.device_seconds == 12.0
    assert launch.reasons() == {}, "trials write their own records"


def test_a_trial_that_is_complete_is_taken_back(launch: Launch) -> None:
    for trial_id in launch.ids:
        assert not launch.queue.exhausted
        launch.record(trial_id, "finished")
        launch.complete(trial_id, status="finished", reason="")
    assert launch.queue.exhausted
    assert launch.arm() == ArmProgress(finished=3)
    assert launch.saved == launch.ids


def test_a_checkpoint_is_passed_on(launch: Launch) -> None:
    first = launch.ids[0]
    launch.result(first, **ROW, saved=False)
    assert launch.saved == []
    launch.result(first, **ROW, saved=True)
    assert launch.saved == [first]
    assert launch.progress.unsaved() == {}


def test_a_trial_that_cannot_be_saved_is_told_of_until_it_is(launch: Launch) -> None:
    first = launch.ids[0]
    launch.result(first, **{**ROW, "saved": False, "reason": "OSError: no space left on device"})
    launch.result(first, status="saving", saved=False, reason="OSError: still none")
    assert launch.progress.troubles() == {first: "OSError: still none"}
    assert launch.arm() == ArmProgress(waiting=2, running=1)
    launch.result(first, status="finished", saved=True, reason="")
    assert launch.progress.troubles() == {}
    assert launch.arm() == ArmProgress(waiting=2, finished=1)


def test_an_interrupted_trial_wastes_what_was_not_saved_and_is_tried_again(launch: Launch) -> None:
    first = launch.ids[0]
    launch.result(first, **ROW)
    launch.complete(first, status="interrupted", reason="OSError: Stale file handle")
    assert launch.progress.wasted == {first: 4.0}
    assert launch.queue.unfinished == launch.progress.troubles() == {first: "OSError: Stale file handle"}
    assert launch.arm() == ArmProgress(waiting=3)
    launch.clock.now += 1
    again = launch.queue.pull()
    assert again is not None
    assert (again.id, again.tries) == (first, 2)
    launch.result(first, **ROW)
    launch.error(first, "Traceback (most recent call last):\n  File\nray.exceptions.ActorDiedError: killed\n")
    assert launch.progress.wasted == {first: 8.0}
    assert launch.queue.unfinished == {first: "ray.exceptions.ActorDiedError: killed"}
    assert launch.reasons() == {}, "it has not failed"
    assert launch.saved == [first, first]


def test_a_lost_worker_that_had_recorded_its_end_has_ended(launch: Launch) -> None:
    first, second, _ = launch.ids
    for trial_id, status in ((first, "finished"), (second, "failed")):
        launch.result(trial_id, **ROW)
        launch.record(trial_id, status)  # type: ignore[arg-type]
        launch.error(trial_id, "ray.exceptions.ActorDiedError: killed")
    assert launch.arm() == ArmProgress(waiting=1, finished=1, failed=1)
    assert (launch.progress.wasted, launch.queue.unfinished) == ({}, {})


def test_a_trial_that_tune_stopped_is_interrupted(launch: Launch) -> None:
    first = launch.ids[0]
    launch.result(first, **ROW)
    launch.complete(first, **ROW)
    assert launch.queue.unfinished == {first: "it ended without a record of its end"}
    launch.events.on_trial_complete(1, [], _trial(launch.ids[1]))
    assert len(launch.queue.unfinished) == 2, "it had not even begun"


def test_a_trial_hangs_from_its_start_on_and_is_killed_once(launch: Launch, monkeypatch: pytest.MonkeyPatch) -> None:
    first, second, third = launch.ids
    now = 1000.0
    monkeypatch.setattr("time.monotonic", lambda: now)
    launch.start(first)
    launch.start(second)
    launch.start(".teacher")
    now += 121
    launch.result(second, **ROW)
    asked = [_trial(first), _trial(second), _trial(third), _trial(".teacher")]
    assert list(launch.events.hung(asked)) == [asked[0], asked[3]], "the third has no worker yet"
    launch.error(first, "ray.exceptions.ActorDiedError: killed")
    launch.error(second, "ray.exceptions.ActorDiedError: killed")
    assert launch.queue.unfinished == {
        first: "it hung, and its worker was killed",
        second: "ray.exceptions.ActorDiedError: killed",
    }
    assert not launch.events.hung([_trial(first)])


def test_a_helper_that_hangs_is_killed_and_tried_again(launch: Launch, monkeypatch: pytest.MonkeyPatch) -> None:
    now = 1000.0
    monkeypatch.setattr("time.monotonic", lambda: now)
    first = launch.helpers.next_preparation()
    assert first is not None
    asked = [_trial(first.id), _trial(".stand-by-0")]
    for each in asked:
        launch.start(each.trial_id)
    for signs in (1, 2, 2, 2):
        launch.result(first.id, status="running", signs=signs, longest=1.0)
        launch.result(".stand-by-0", status="running")
        assert launch.events.hung(asked) == []
        now += 50
    launch.result(first.id, status="running", signs=2, longest=1.0)
    assert launch.progress.troubles() == {".teacher": "nothing heard for 150 s"}
    assert launch.events.hung(asked) == asked[:1]
    launch.error(first.id, "ray.exceptions.ActorDiedError: killed")
    assert launch.progress.troubles() == {".teacher": "it hung, and its worker was killed"}
    launch.clock.now += 1
    again = launch.helpers.next_preparation()
    assert again is not None
    assert again.id == ".teacher.2"
    launch.start(again.id)
    assert launch.events.hung([_trial(again.id)]) == []
    now += 121
    assert [each.trial_id for each in launch.events.hung([_trial(again.id)])] == [again.id]


def test_nodes_are_known_by_what_was_done_there(launch: Launch) -> None:
    first, second, _ = launch.ids
    for _ in range(2):
        launch.result(first, **ROW, node_id="one")
        launch.result(".teacher", status="interrupted", reason="OSError: gone", node_id="one")
        launch.result(second, status="interrupted", reason="OSError: gone", node_id="one")
    assert launch.health.avoided() == ()
    launch.events.on_trial_error(1, [], _trial(first, "died", last={"node_id": "one"}))
    assert launch.health.avoided() == ("one",)
    launch.events.on_trial_error(1, [], _trial(first, "died", last={}))
    launch.result(second, **ROW, node_id="one")
    assert launch.health.avoided() == ()


def test_helpers_are_no_trials_of_the_study(launch: Launch) -> None:
    assert launch.progress.note == "the teacher is being made ready"
    launch.result(".stand-by-0", status="running")
    launch.result(".teacher", status="finished", reason="")
    assert launch.progress.note == "the teacher's bank is being filled"
    launch.result(".bank-1", status="finished", reason="")
    launch.result(".bank-2", status="finished", reason="")
    assert (launch.helpers.teachers[0], launch.progress.note) == ("bank filled", "")
    assert launch.arm() == ArmProgress(waiting=3)
    launch.events.on_trial_complete(1, [], _trial(".stand-by-0"))
    assert (launch.saved, launch.progress.wasted, launch.reasons()) == ([], {}, {})


def test_a_helper_that_fails_is_the_teachers_fault(launch: Launch) -> None:
    launch.result(".teacher", status="failed", reason="")
    assert (launch.helpers.teachers[0], launch.helpers.fault) == (
        "failed",
        "the teacher could not be made ready: no reason given",
    )
    assert launch.progress.note == ""


def test_a_helper_that_is_interrupted_is_tried_again(launch: Launch) -> None:
    assert launch.helpers.next_preparation() is not None
    launch.error(".teacher", None)
    assert (launch.helpers.teachers[0], launch.progress.troubles()) == ("not trained", {".teacher": "the worker died"})
    launch.clock.now += 1
    again = launch.helpers.next_preparation()
    assert again is not None
    launch.result(again.id, status="interrupted", reason="OSError: gone")
    assert launch.progress.troubles() == {".teacher": "OSError: gone"}
    launch.clock.now += 2
    third = launch.helpers.next_preparation()
    assert third is not None
    launch.result(third.id, status="finished", reason="")
    assert (launch.helpers.teachers[0], launch.progress.troubles()) == ("trained", {})
    assert launch.reasons() == {}


def test_a_helper_that_is_interrupted_too_often_is_the_teachers_fault(launch: Launch) -> None:
    for _ in range(20):
        launch.clock.now += 100
        if (helper := launch.helpers.next_preparation()) is not None:
            launch.error(helper.id, "ray.exceptions.ActorDiedError: killed")
    assert (launch.helpers.teachers[0], launch.helpers.fault) == (
        "failed",
        "the teacher could not be made ready: ray.exceptions.ActorDiedError: killed",
    )
    assert (launch.progress.note, launch.progress.troubles()) == ("", {})


def test_nobody_is_told_of_an_actor_that_stood_by(launch: Launch) -> None:
    launch.error(".stand-by-0", "ray.exceptions.ActorDiedError: killed")
    assert launch.progress.troubles() == {}


def test_a_helper_that_still_stands_by_does_not_disturb_the_estimate(
    launch: Launch, monkeypatch: pytest.MonkeyPatch
) -> None:
    for helper in (".teacher", ".bank-1", ".bank-2"):
        launch.result(helper, status="finished", reason="")
    now = 1000.0
    monkeypatch.setattr("time.monotonic", lambda: now)
    for _ in range(2):
        launch.result(launch.ids[0], **ROW)
        now += 10
        launch.result(".stand-by-0", status="running")
    assert launch.progress.seconds_left() is not None


@pytest.mark.parametrize(
    ("traceback", "reason"),
    [
        ("", "the worker died"),
        ("  \n", "the worker died"),
        ("something odd\nsaid last\n", "said last"),
        (
            "ray::CTKDTrainable.train() (pid=1)\n  File x\n    raise\n"
            "torch.OutOfMemoryError: CUDA out of memory.\nmore\n",
            "torch.OutOfMemoryError: CUDA out of memory.",
        ),
        ("KeyError: 'first'\n\nDuring handling of it:\n\nValueError: the second\n", "ValueError: the second"),
        (
            "ray.exceptions.ActorDiedError: The actor died\n\tclass_name: x",
            "ray.exceptions.ActorDiedError: The actor died",
        ),
        ("WorkerDied: gone", "WorkerDied: gone"),
    ],
)
def test_the_reason_is_the_line_that_names_the_error(traceback: str, reason: str) -> None:
    assert reason_of(traceback) == reason
