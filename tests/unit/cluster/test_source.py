"""Which trial may start next: helpers that prepare, then what is due, then helpers that stand by."""

from collections.abc import Callable
from pathlib import Path

import pytest

from ctkd_study.cluster.helper_trials import HelperTrials
from ctkd_study.cluster.source import DueTrials
from ctkd_study.launch import TrialQueue
from ctkd_study.plan import StudyState
from ctkd_study.spec import from_mapping
from tests.support.banks import CROP
from tests.support.studies import plain
from trainables.storage import Storage

ARMS = {"kd": {"temperature": {"kind": "fixed", "value": 4}}, "alone": {"distiller": {"name": "none"}}}


class Launch:
    """Two seeds of an arm that distils from a bank, and of one that does not; four slots."""

    def __init__(self, folder: Path, gpu: float = 0.0) -> None:
        spec = from_mapping(plain(arms=ARMS, seeds=2, data=CROP, teacher_source="bank16"))
        self.queue = TrialQueue(StudyState(spec, Storage.at(str(folder))), "uid", 1)
        needing = [pending.config for pending in self.queue.waiting if pending.config.uses_teacher]
        self.helpers = HelperTrials(needing, 2, slots=4)
        self.source = DueTrials(self.queue, self.helpers, gpu)

    def taken(self) -> list[str]:
        """What may start now; trials of the study without their hash."""
        found = []
        while (trial := self.source.next()) is not None:
            found.append(trial.id if trial.id.startswith(".") else "-".join(trial.id.split("-")[::2]))
        return found

    def end(self, arm: str) -> None:
        for trial_id in [each for each in self.queue.running if each.startswith(arm)]:
            self.queue.ended(trial_id)


@pytest.fixture
def launch(tmp_path: Path) -> Launch:
    return Launch(tmp_path)


def test_trials_that_wait_for_the_teacher_are_overtaken(launch: Launch) -> None:
    assert launch.taken() == [".teacher", "alone-s0", "alone-s1", ".stand-by-0"]
    assert not launch.source.exhausted
    launch.helpers.ended(".teacher", "")
    assert launch.taken() == [".bank-1", ".bank-2"]
    launch.helpers.ended(".bank-1", "")
    assert launch.taken() == []
    launch.helpers.ended(".bank-2", "")
    assert launch.taken() == ["kd-s0", "kd-s1"]
    assert not launch.source.exhausted, "they are running"
    launch.end("kd")
    assert not launch.source.exhausted
    launch.end("alone")
    assert launch.source.exhausted


def test_trials_whose_teacher_failed_never_start(launch: Launch) -> None:
    assert launch.taken()[0] == ".teacher"
    launch.helpers.ended(".teacher", "no such file")
    assert launch.taken() == []
    assert not launch.source.exhausted, "others are running"
    launch.end("alone")
    assert launch.source.exhausted
    assert [trial.arm for trial in launch.queue.due] == ["kd", "kd"]


def test_a_trial_that_needs_no_teacher_starts_after_the_teacher_failed(tmp_path: Path) -> None:
    launch = Launch(tmp_path)
    teacher = launch.source.next()
    assert teacher is not None
    launch.helpers.ended(teacher.id, "no such file")
    assert not launch.source.exhausted
    assert launch.taken() == ["alone-s0", "alone-s1"]


@pytest.mark.parametrize(("gpu", "share"), [(0.0, None), (0.25, 0.25)])
def test_a_trial_is_told_its_share_of_a_gpu(tmp_path: Path, gpu: float, share: float | None) -> None:
    launch = Launch(tmp_path, gpu)
    launch.source.next()
    trial = launch.source.next()
    assert trial is not None
    assert trial.config["run"]["device_share"] == share
    assert (trial.first_index, trial.checkpoint, trial.awaits) == (10_000, None, "nothing")


def test_an_actor_that_stands_by_starts_after_all_that_is_due(launch: Launch) -> None:
    order: list[str] = launch.taken()
    assert order.index(".stand-by-0") == len(order) - 1
    after: Callable[[str], bool] = launch.helpers.released
    assert not after(".stand-by-0")
    launch.helpers.ended(".teacher", "")
    assert after(".stand-by-0")
