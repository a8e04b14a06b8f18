"""Hands a list of trials with their own ids and restore points to Ray Tune.

Tune's own restore loses epochs and cannot add trials, so the plan decides what is left and this search algorithm
hands it out. Private names of Ray 2.60 that this leans on are used in this file alone, and tests run them, so that an
upgrade fails loudly.
"""

import dataclasses
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Literal

from ray.train._internal.session import _TrainingResult
from ray.tune import Checkpoint as TuneCheckpoint
from ray.tune.experiment import Trial as TuneTrial
from ray.tune.experiment.config_parser import _create_trial_from_spec, _make_parser
from ray.tune.schedulers import FIFOScheduler, TrialScheduler
from ray.tune.search.search_algorithm import SearchAlgorithm

from trainables.record import Checkpoint

#: How far the teacher is: to be trained, trained, banked; or no trial can have it.
TeacherState = Literal["waiting", "trained", "ready", "failed"]
#: What an item waits for.
Awaited = Literal["nothing", "training", "bank"]
_REACHED: Mapping[TeacherState, frozenset[Awaited]] = {
    "waiting": frozenset({"nothing"}),
    "trained": frozenset({"nothing", "training"}),
    "ready": frozenset({"nothing", "training", "bank"}),
    "failed": frozenset({"nothing"}),
}


@dataclasses.dataclass(frozen=True)
class Item:
    """One trial to run."""

    id: str
    config: dict[str, Any]
    checkpoint: Checkpoint | None
    """Where it goes on."""
    first_index: int
    """The number of its first checkpoint in this launch."""
    awaits: Awaited = "nothing"


class ListSearch(SearchAlgorithm):
    """Gives Tune the items in order; those that wait for the teacher or its bank are overtaken by others.

    Args:
        items: what to run.
        teacher: how far the teacher is; asked often, must be quick. When it failed, the items that wait are dropped.
        concurrency: how many trials may run at once; None: as many as fit.
    """

    def __init__(self, items: Sequence[Item], teacher: Callable[[], TeacherState], concurrency: int | None) -> None:
        self._items, self._teacher, self._concurrency = list(items), teacher, concurrency
        self._total, self._live = len(self._items), 0
        self._parser = _make_parser()
        self._spec: dict[str, Any] = {}

    def __reduce__(self) -> Any:
        # Tune pickles its configuration for its own restore, which is not used here.
        return ListSearch, ([], str, None)

    @property
    def total_samples(self) -> int:
        return self._total

    def add_configurations(self, experiments: Any) -> None:
        self._spec = (experiments if isinstance(experiments, list) else [experiments])[0].spec

    def next_trial(self) -> TuneTrial | None:
        teacher = self._teacher()
        if teacher == "failed":
            self._items = [item for item in self._items if item.awaits == "nothing"]
        if not self._items:
            self._finished = True
            return None
        if self._concurrency is not None and self._live >= self._concurrency:
            return None
        free = (i for i, item in enumerate(self._items) if item.awaits in _REACHED[teacher])
        index = next(free, None)
        if index is None:
            return None
        item = self._items.pop(index)
        self._finished = not self._items
        self._live += 1
        spec = {**self._spec, "config": item.config}
        trial: TuneTrial = _create_trial_from_spec(spec, self._parser, trial_id=item.id, evaluated_params=item.config)
        if item.checkpoint is not None:
            storage = item.checkpoint.storage
            source = TuneCheckpoint(storage.path(item.checkpoint.name), filesystem=storage.filesystem)
            epoch = item.checkpoint.manifest.epoch
            trial._restore_checkpoint_result = _TrainingResult(source, {"training_iteration": epoch})
        if trial.storage is None:
            raise RuntimeError(f"Tune gave trial {item.id} no storage")
        trial.storage.current_checkpoint_index = item.first_index - 1
        return trial

    def on_trial_complete(self, trial_id: str, result: dict[str, Any] | None = None, error: bool = False) -> None:
        self._live -= 1


class InOrder(FIFOScheduler):
    """First in, first out, but a trial whose own actor is starting waits for it.

    Tune gives an actor that is free to the first trial that waits, and kills the one that was starting for it. Trials
    that take less time than an actor's start would so all run one after the other in the first actor.

    Args:
        released: whether a trial, by its id, is to end here and now; asked at each of its results.
    """

    def __init__(self, released: Callable[[str], bool]) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self._released = released

    def __reduce__(self) -> Any:
        # Tune pickles its configuration for its own restore, which is not used here.
        return InOrder, (bool,)

    def on_trial_result(self, tune_controller: Any, trial: TuneTrial, result: dict[str, Any]) -> str:
        return TrialScheduler.STOP if self._released(str(trial.trial_id)) else TrialScheduler.CONTINUE

    def choose_trial_to_run(self, tune_controller: Any) -> TuneTrial | None:
        controller = tune_controller._tune_controller
        for trial in tune_controller.get_trials():
            if trial.status == TuneTrial.PENDING:
                actor = controller._trial_to_actor.get(trial)
                if actor is None or not controller._actor_manager.is_actor_started(actor):
                    found: TuneTrial = trial
                    return found
        return None
