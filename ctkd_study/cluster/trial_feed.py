"""Feeds Ray Tune with trials, and says in which order they run.

Tune's own restore loses epochs and cannot add trials, so Tune gets each trial from here, without a checkpoint: a trial
finds what it goes on from in its record.
"""

import dataclasses
import time
from collections.abc import Callable, Iterable, Sequence
from typing import Any, Protocol

from ray.tune.experiment import Trial
from ray.tune.schedulers import FIFOScheduler, TrialScheduler
from ray.tune.search.search_algorithm import SearchAlgorithm

from ctkd_study.cluster.tune_internals import kill_worker, new_trial, own_actor_is_starting, stop_trial

_LOOK_SECONDS = 2.0


@dataclasses.dataclass(frozen=True)
class QueuedTrial:
    """A trial to run."""

    id: str
    """Tune's: unique in a launch."""
    config: dict[str, Any]


class TrialSource(Protocol):
    """Where the feed gets its trials from."""

    def next(self) -> QueuedTrial | None:
        """Return the trial to start next; None if none may start now."""

    @property
    def exhausted(self) -> bool:
        """Whether no more trials will come."""


class NotPickled:
    """Leaves an object out of the file that Tune pickles for its own restore, which is not used here."""

    def __reduce__(self) -> Any:
        return object, ()


class TrialFeed(NotPickled, SearchAlgorithm):
    """Gives Tune trials from a source.

    Args:
        source: says which trial may start next.
        concurrency: how many trials may run at once; None: as many as fit.
        avoided: ids of nodes that are to run none.
    """

    def __init__(
        self, source: TrialSource, concurrency: int | None, avoided: Callable[[], Sequence[str]] = tuple
    ) -> None:
        self._source, self._concurrency, self._avoided = source, concurrency, avoided
        self._running = 0
        self._spec: dict[str, Any] = {}

    def add_configurations(self, experiments: Any) -> None:
        self._spec = (experiments if isinstance(experiments, list) else [experiments])[0].spec

    def is_finished(self) -> bool:
        return super().is_finished() or self._source.exhausted

    def next_trial(self) -> Trial | None:
        full = self._concurrency is not None and self._running >= self._concurrency
        if full or (queued := self._source.next()) is None:
            return None
        self._running += 1
        return new_trial(self._spec, queued.id, queued.config, self._avoided())

    def on_trial_complete(self, trial_id: str, result: dict[str, Any] | None = None, error: bool = False) -> None:
        self._running -= 1


class InOrder(NotPickled, FIFOScheduler):
    """First in, first out, but a trial whose own actor is starting waits for that actor.

    Tune gives a free actor to the first waiting trial, and kills the actor that was starting for it. Trials that are
    shorter than the start of an actor would all run one after the other in the first actor.

    Args:
        released: whether the trial with this id is to end now; asked at each of its results.
        hung: given the running trials, those whose workers are to be killed; asked every few seconds.
        lagging: given a trial's configuration and result, why it is to be stopped before its end, if it is.
    """

    def __init__(
        self,
        released: Callable[[str], bool],
        hung: Callable[[Iterable[Trial]], Iterable[Trial]],
        lagging: Callable[[dict[str, Any], dict[str, Any]], str | None] = lambda config, result: None,
    ) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self._released, self._hung, self._lagging = released, hung, lagging
        self._next_look = 0.0

    def on_trial_result(self, tune_controller: Any, trial: Trial, result: dict[str, Any]) -> str:
        if (reason := self._lagging(trial.config, result)) is not None:
            # The worker ends the trial, because it alone writes the record: its next step says that it has.
            stop_trial(tune_controller, trial, trial.config["run"]["trial"], reason)
        return TrialScheduler.STOP if self._released(str(trial.trial_id)) else TrialScheduler.CONTINUE

    def choose_trial_to_run(self, tune_controller: Any) -> Trial | None:
        self._kill_what_hangs(tune_controller)
        waiting: Iterable[Trial] = (each for each in tune_controller.get_trials() if each.status == Trial.PENDING)
        return next((each for each in waiting if not own_actor_is_starting(tune_controller, each)), None)

    def _kill_what_hangs(self, tune_controller: Any) -> None:
        if time.monotonic() < self._next_look:
            return
        self._next_look = time.monotonic() + _LOOK_SECONDS
        running = (trial for trial in tune_controller.get_trials() if trial.status == Trial.RUNNING)
        for trial in self._hung(running):
            kill_worker(tune_controller, trial)
