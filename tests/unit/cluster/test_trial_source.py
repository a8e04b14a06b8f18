"""Which trial of a launch may start next."""

from pathlib import Path
from typing import Any

from ctkd_study.cluster.desk import Desk
from ctkd_study.cluster.helper_trials import HelperTrials
from ctkd_study.cluster.trial_source import DueTrials
from ctkd_study.launch import LaunchContext, LaunchProgress, TrialQueue
from ctkd_study.plan import StudyState
from ctkd_study.spec import from_mapping
from tests.support.banks import BASE
from tests.support.clocks import Clock
from tests.support.records import saved
from trainables.storage import Storage
from trainables.trial import describe


class Launch:
    """A study whose arm ``two`` reads a bank, and whose arm ``alone`` needs no teacher; two seeds of each."""

    def __init__(self, folder: Path, slots: int = 4, gpu: float = 0.0) -> None:
        arms = {"two": BASE["arms"]["two"], "alone": BASE["arms"]["alone"]}
        changes: dict[str, Any] = {"arms": arms, "teacher_source": "bank32"}
        self.state = StudyState(from_mapping({**BASE, **changes}), Storage.at(str(folder)))
        self.clock = Clock()
        self.queue = TrialQueue(self.state, self.state.stored(), 2, now=self.clock)
        configs = [pending.config for pending in self.queue.waiting]
        needing = [config for config in configs if config.uses_teacher]
        self.helpers = HelperTrials(needing, len(configs) - len(needing), slots)
        progress = LaunchProgress(self.state.plan.trials, {})
        context = LaunchContext(self.state.folder, progress, lambda trial_id: None, None, 1.0, gpu)
        self.source = DueTrials(Desk(self.queue, context), self.helpers, gpu)

    def taken(self) -> list[str]:
        """Takes all trials that may start now; of the study's, arm and seed."""
        return [_short(trial.id) for trial in iter(self.source.next, None) if trial is not None]

    def finish(self, *names: str) -> None:
        """What workers record."""
        for trial_id, pending in list(self.queue.handed_out.items()):
            if _short(trial_id) in names:
                manifest = describe(pending.config, [{"epoch": 1}], None, status="finished")
                saved(self.state.folder.trial(trial_id), manifest, [{"epoch": 1}], 2)
                self.queue.ended(trial_id)


def _short(trial_id: str) -> str:
    if trial_id.startswith("."):
        return trial_id
    trial_id = trial_id.partition(".")[0]
    return f"{trial_id.split('-')[0]} {trial_id[-2:]}"


def test_trials_that_wait_for_the_teacher_are_overtaken(tmp_path: Path) -> None:
    launch = Launch(tmp_path)
    assert launch.taken() == [".teacher", "alone s0", "alone s1", ".stand-by-0"]
    launch.helpers.ended(".teacher", "")
    assert launch.taken() == [".bank-1", ".bank-2"]
    launch.helpers.ended(".bank-2", "")
    assert launch.taken() == []
    assert not launch.source.exhausted
    launch.helpers.ended(".bank-1", "")
    assert launch.taken() == ["two s0", "two s1"]
    assert not launch.source.exhausted, "what they record may make others due"
    launch.finish("two s0", "two s1", "alone s0", "alone s1")
    assert launch.source.exhausted


def test_with_a_full_bank_trials_start_in_the_order_of_the_study(tmp_path: Path) -> None:
    launch = Launch(tmp_path, slots=1)
    assert launch.source.next() is not None
    launch.helpers.ended(".teacher", "")
    assert launch.taken() == ["two s0", "alone s0", "two s1", "alone s1"]


def test_trials_whose_teacher_failed_never_start_and_are_not_waited_for(tmp_path: Path) -> None:
    launch = Launch(tmp_path)
    first = launch.source.next()
    assert first is not None
    launch.helpers.ended(first.id, "no memory")
    assert not launch.source.exhausted
    for _ in range(2):
        trial = launch.source.next()
        assert trial is not None
        assert trial.id.startswith("alone")
        assert not launch.source.exhausted, "that is known once it has nothing to give"
    assert launch.source.next() is None
    assert not launch.source.exhausted, "those that run may be interrupted"
    launch.finish("alone s0")
    (other,) = launch.queue.running
    launch.queue.ended(other, "the worker died")
    assert launch.source.next() is None
    assert not launch.source.exhausted, "it is tried again"
    launch.clock.now += 1
    assert launch.taken() == ["alone s1"]
    launch.finish("alone s1")
    assert launch.source.next() is None
    assert launch.source.exhausted


def test_a_trial_knows_its_share_of_a_gpu_and_tune_s_trials_differ(tmp_path: Path) -> None:
    for gpu, share in ((0.25, 0.25), (0.0, None)):
        launch = Launch(tmp_path / str(gpu), gpu=gpu)
        launch.source.next()
        trial = launch.source.next()
        assert trial is not None
        run = trial.config["run"]
        assert run["device_share"] == share
        assert (run["folder"], run["attempt"]) == (launch.state.folder.trial(run["trial"]).location, 2)
        assert trial.id == f"{run['trial']}.1"
        launch.queue.ended(run["trial"], "the worker died")
        launch.clock.now += 1
        again = launch.source.next()
        assert again is not None
        assert (again.id, again.config) == (f"{run['trial']}.2", trial.config), "to Tune it is another trial"


def test_nothing_starts_once_the_launch_is_stopped(tmp_path: Path) -> None:
    launch = Launch(tmp_path)
    assert launch.source.next() is not None, "the teacher's preparation"
    launch.queue.stop()
    assert launch.taken() == [".stand-by-0"], "which ends when the teacher's preparation does"
    assert launch.source.exhausted, "so that Tune asks no more"
