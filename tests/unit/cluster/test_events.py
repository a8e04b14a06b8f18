"""Tune's events, as a launch's progress counts them."""

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from ctkd_study.cluster.events import TuneEvents, reason_of
from ctkd_study.cluster.helper_trials import HelperTrials
from ctkd_study.launch import LaunchContext, LaunchProgress, TrialQueue
from ctkd_study.launch.progress import ArmProgress
from ctkd_study.plan import StudyState
from ctkd_study.spec import from_mapping
from tests.support.banks import banked
from tests.support.studies import plain
from trainables import record
from trainables.storage import Storage
from trainables.trial import describe

ROW: dict[str, Any] = {"epoch": 1, "epoch_seconds": 2.0, "device_seconds": 4.0, "status": "running"}


class Launch:
    """A study of one arm with three seeds, all handed out, and the events of Tune."""

    def __init__(self, folder: Path) -> None:
        self.state = StudyState(from_mapping(plain()), Storage.at(str(folder)))
        self.progress = LaunchProgress(self.state.plan.trials, {})
        self.queue = TrialQueue(self.state, "uid", 1)
        self.ids = [pending.id for pending in iter(self.queue.pull, None) if pending is not None]
        self.saved: list[str] = []
        self.helpers = HelperTrials([banked(folder, seed) for seed in range(2)], 0, slots=2)
        context = LaunchContext(self.state.folder, self.progress, self.saved.append, None, 1.0, 0.0)
        self.events = TuneEvents(context, self.queue, self.helpers)

    def result(self, trial_id: str, **result: Any) -> None:
        self.events.on_trial_result(1, [], _trial(trial_id), result)

    def error(self, trial_id: str, text: str | None) -> None:
        self.events.on_trial_error(1, [], _trial(trial_id, text))

    def arm(self) -> ArmProgress:
        (arm,) = self.progress.arms().values()
        return arm

    def reasons(self) -> dict[str, str | None]:
        """Reasons of failed trials, as recorded."""
        return {key: m.reason for key, m in self.state.manifests.items() if m.status == "failed"}


def _trial(trial_id: str, error: str | None = None) -> SimpleNamespace:
    return SimpleNamespace(trial_id=trial_id, get_error=lambda: error)


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
        manifest = describe(launch.queue.handed_out[trial_id].config, [{"epoch": 1}], None, status="finished")
        record.write_into(launch.state.folder.trial(trial_id), 10_000, manifest, [{"epoch": 1}], {}, None, None)
        launch.events.on_trial_complete(1, [], _trial(trial_id))
    assert launch.queue.exhausted


def test_a_checkpoint_is_passed_on(launch: Launch) -> None:
    first = launch.ids[0]
    launch.result(first, **ROW)
    launch.events.on_checkpoint(1, [], _trial(first), None)
    assert launch.saved == [first]
    assert launch.progress.unsaved() == {}


def test_a_lost_worker_wastes_what_was_not_saved(launch: Launch) -> None:
    first = launch.ids[0]
    launch.result(first, **ROW)
    launch.events.on_trial_recover(1, [], _trial(first))
    launch.result(first, **ROW)
    launch.result(first, **ROW)
    launch.error(first, "Traceback (most recent call last):\n  File\nOSError: [Errno 28] No space left on device\n")
    assert launch.progress.wasted == {first: 12.0}
    assert launch.arm().failed == 1
    assert launch.reasons() == {first: "OSError: [Errno 28] No space left on device"}
    assert launch.saved == [first], "its record has changed"


def test_helpers_are_no_trials_of_the_study(launch: Launch) -> None:
    assert launch.progress.note == "the teacher is being made ready"
    launch.result(".stand-by-0", status="running")
    launch.result(".teacher", status="finished", reason="")
    assert launch.progress.note == "the teacher's bank is being filled"
    launch.events.on_checkpoint(1, [], _trial(".bank-1"), None)
    launch.events.on_trial_recover(1, [], _trial(".bank-1"))
    launch.result(".bank-1", status="finished", reason="")
    launch.result(".bank-2", status="finished", reason="")
    assert (launch.helpers.teacher, launch.progress.note) == ("bank filled", "")
    assert launch.arm() == ArmProgress(waiting=3)
    launch.events.on_trial_complete(1, [], _trial(".stand-by-0"))
    assert (launch.saved, launch.progress.wasted, launch.reasons()) == ([], {}, {})


def test_a_helper_that_fails_is_the_teachers_fault(launch: Launch) -> None:
    launch.result(".teacher", status="failed", reason="")
    assert (launch.helpers.teacher, launch.helpers.fault) == ("failed", "no reason given")
    assert launch.progress.note == ""


def test_a_helper_that_crashes_is_the_teachers_fault(launch: Launch) -> None:
    launch.error(".teacher", None)
    assert (launch.helpers.teacher, launch.helpers.fault) == ("failed", "the worker died")
    assert launch.reasons() == {}


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
