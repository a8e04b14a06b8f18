"""Trainables in a Tuner: ours in a plain one, others in one that is fed as a launch feeds it."""

import operator
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import Any

from ray import tune
from ray.tune.experiment import Trial

from ctkd_study.cluster.trial_feed import InOrder, QueuedTrial, TrialFeed
from trainables.config import TrialConfig
from trainables.trainable import CTKDTrainable


def tuned(config: dict[str, Any], folder: Path, cpus: float = 2.0) -> list[tune.Result]:
    """Runs a configuration in a plain Tuner; two cores a trial make trials follow each other in one reused actor."""
    tuner = tune.Tuner(
        tune.with_resources(CTKDTrainable, {"cpu": cpus}),
        param_space=config,
        tune_config=tune.TuneConfig(reuse_actors=True),
        run_config=tune.RunConfig(
            name="plain",
            storage_path=str(folder),
            verbose=0,
            checkpoint_config=tune.CheckpointConfig(checkpoint_at_end=True),
        ),
    )
    return _all(tuner.fit())


class Listed:
    """Trials for Tune, in order."""

    def __init__(self, trials: Iterable[QueuedTrial]) -> None:
        self._trials = list(trials)

    def next(self) -> QueuedTrial | None:
        return self._trials.pop(0) if self._trials else None

    @property
    def exhausted(self) -> bool:
        return not self._trials


def fed(trainable: type[tune.Trainable], trials: Iterable[QueuedTrial], folder: Path) -> list[tune.Result]:
    """Runs trials of one core, fed and ordered as a launch does it; all must end without an error."""
    return _all(grid(trainable, trials, folder))


def grid(
    trainable: type[tune.Trainable],
    trials: Iterable[QueuedTrial],
    folder: Path,
    hung: Callable[[Trial], bool] = lambda trial: False,
    avoided: Sequence[str] = (),
    lagging: Callable[[dict[str, Any], dict[str, Any]], str | None] = lambda config, result: None,
) -> tune.ResultGrid:
    """Runs trials of one core, fed and ordered as a launch does it.

    Args:
        trainable: of the trials.
        trials: in order.
        folder: for Tune's files.
        hung: whether a worker is to be killed.
        avoided: ids of nodes.
        lagging: why a trial is to be stopped, if it is.
    """
    tuner = tune.Tuner(
        tune.with_resources(trainable, {"cpu": 1}),
        tune_config=tune.TuneConfig(
            search_alg=TrialFeed(Listed(trials), None, lambda: avoided),
            scheduler=InOrder(lambda trial_id: False, lambda running: filter(hung, running), lagging),
            reuse_actors=True,
            trial_name_creator=operator.attrgetter("trial_id"),
            trial_dirname_creator=operator.attrgetter("trial_id"),
        ),
        run_config=tune.RunConfig(
            name="fed",
            storage_path=str(folder),
            verbose=0,
            checkpoint_config=tune.CheckpointConfig(checkpoint_frequency=0, checkpoint_at_end=False),
        ),
    )
    return tuner.fit()


def _all(results: tune.ResultGrid) -> list[tune.Result]:
    assert not results.errors
    return [results[index] for index in range(len(results))]


def space(config: TrialConfig) -> dict[str, Any]:
    plain = config.plain()
    plain["run"] = {key: value for key, value in plain["run"].items() if key in ("teachers", "checkpoint")}
    return plain
