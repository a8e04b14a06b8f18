"""How many trials Tune gets at once, what they are, and in which order they start."""

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from ray import tune
from ray.tune.experiment import Experiment, Trial
from ray.tune.schedulers import TrialScheduler

from ctkd_study.cluster import trial_feed
from ctkd_study.cluster.trial_feed import InOrder, QueuedTrial, TrialFeed
from tests.support.tuning import Listed

FIVE = ("one-s0", "two-s0", "three-s0", "four-s0", "five-s0")


def listed() -> Listed:
    return Listed(QueuedTrial(trial_id, {}) for trial_id in FIVE)


class Growing:
    """A source that does not know its trials in advance."""

    def __init__(self) -> None:
        self.due: list[QueuedTrial] = []
        self.exhausted = False

    def next(self) -> QueuedTrial | None:
        return self.due.pop(0) if self.due else None


class NoWork(tune.Trainable):
    pass


@pytest.fixture
def experiment(tmp_path: Path) -> Experiment:
    return Experiment("study", NoWork, storage_path=str(tmp_path))


def next_id(trials: TrialFeed) -> str | None:
    trial = trials.next_trial()
    return None if trial is None else trial.trial_id


def test_no_more_than_concurrency_trials_live_at_once(experiment: Experiment) -> None:
    trials = TrialFeed(listed(), concurrency=2)
    trials.add_configurations([experiment])
    assert [next_id(trials) for _ in range(4)] == ["one-s0", "two-s0", None, None]
    trials.on_trial_complete("one-s0", {"status": "finished"})
    assert [next_id(trials) for _ in range(2)] == ["three-s0", None]
    trials.on_trial_complete("three-s0", error=True)
    trials.on_trial_complete("two-s0")
    assert not trials.is_finished()
    assert [next_id(trials) for _ in range(3)] == ["four-s0", "five-s0", None]
    assert trials.is_finished()


def test_without_a_bound_all_trials_are_given_out(experiment: Experiment) -> None:
    trials = TrialFeed(listed(), concurrency=None)
    trials.add_configurations(experiment)
    assert [next_id(trials) for _ in FIVE] == list(FIVE)
    assert trials.is_finished()


def test_a_source_may_give_more_trials_later(experiment: Experiment) -> None:
    source = Growing()
    trials = TrialFeed(source, concurrency=1)
    trials.add_configurations(experiment)
    assert next_id(trials) is None
    assert not trials.is_finished()
    source.due.append(QueuedTrial("found-s0", {}))
    assert next_id(trials) == "found-s0"
    assert not trials.is_finished()
    source.exhausted = True
    assert trials.is_finished()


def test_a_search_that_tune_ends_is_finished() -> None:
    trials = TrialFeed(listed(), concurrency=1)
    trials.set_finished()  # type: ignore[no-untyped-call]
    assert trials.is_finished()


def test_a_trial_of_tune_has_our_id_and_configuration(experiment: Experiment) -> None:
    trials = TrialFeed(Listed([QueuedTrial("kd-s0.1", {"seed": 0}), QueuedTrial("kd-s1.1", {"seed": 1})]), None)
    trials.add_configurations(experiment)
    made = [trials.next_trial(), trials.next_trial()]
    assert [(trial and trial.trial_id, trial and trial.config) for trial in made] == [
        ("kd-s0.1", {"seed": 0}),
        ("kd-s1.1", {"seed": 1}),
    ]
    assert [trial and trial.checkpoint for trial in made] == [None, None], "a trial reads its own record"


def waiting(number: int, status: str = Trial.PENDING) -> Any:
    return SimpleNamespace(trial_id=f"kd-s{number}", status=status)


def test_a_trial_whose_own_actor_is_starting_waits_for_it(monkeypatch: pytest.MonkeyPatch) -> None:
    trials = [waiting(0, Trial.RUNNING), waiting(1), waiting(2), waiting(3)]
    starting = {"kd-s1"}
    monkeypatch.setattr(trial_feed, "own_actor_is_starting", lambda controller, trial: trial.trial_id in starting)
    controller = SimpleNamespace(get_trials=lambda: trials)
    order = InOrder(lambda trial_id: False, lambda running: [])
    assert order.choose_trial_to_run(controller) is trials[2]
    starting.clear()
    assert order.choose_trial_to_run(controller) is trials[1]
    starting.update({"kd-s1", "kd-s2", "kd-s3"})
    assert order.choose_trial_to_run(controller) is None


def test_only_a_released_trial_is_stopped(experiment: Experiment) -> None:
    order = InOrder(lambda trial_id: trial_id == ".stand-by-0", lambda running: [])
    trials = TrialFeed(Listed([QueuedTrial(".stand-by-0", {}), QueuedTrial("kd-s0", {})]), None)
    trials.add_configurations(experiment)
    stands_by, trial = trials.next_trial(), trials.next_trial()
    assert stands_by is not None
    assert trial is not None
    assert order.on_trial_result(None, stands_by, {}) == TrialScheduler.STOP
    assert order.on_trial_result(None, trial, {}) == TrialScheduler.CONTINUE
