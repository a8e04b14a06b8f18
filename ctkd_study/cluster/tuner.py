"""Runs trials with Ray Tune, in the current Ray session."""

import operator
from collections.abc import Sequence

from ray import tune

from ctkd_study.cluster.events import TuneEvents
from ctkd_study.cluster.feed import Awaited, InOrder, QueuedTrial, TrialFeed, TrialQueue
from ctkd_study.cluster.helper_trials import HelperTrials
from ctkd_study.cluster.placement import cluster
from ctkd_study.errors import TeacherError
from ctkd_study.launch import Context, Todo
from trainables.trainable import CTKDTrainable


def run_trials(todo: Sequence[Todo], context: Context) -> dict[str, str]:
    """Runs trials, and what makes their teacher ready; returns reasons of those that crashed beyond their retries.

    Raises:
        ClusterError: the need of GPU memory can't be measured.
        TeacherError: the teacher could not be made ready; the trials that need it were not run.
    """
    place = cluster()
    gpu = place.gpu_share(context.gpu, [item.config for item in todo], context.cpu)
    needing = [item.config for item in todo if item.needs_teacher]
    slots = max(place.slots(context.cpu, gpu), 1)
    helpers = HelperTrials(needing, len(todo) - len(needing), min(slots, context.concurrency or slots))
    trials = [*helpers.preparing, *(_queued(item, gpu) for item in todo), *helpers.standing_by]
    events = TuneEvents(context.progress, context.saved, helpers)
    root = context.folder.storage
    tuner = tune.Tuner(
        tune.with_resources(CTKDTrainable, {"cpu": context.cpu, "gpu": gpu}),
        tune_config=tune.TuneConfig(
            search_alg=TrialFeed(TrialQueue(trials, lambda: helpers.teacher), context.concurrency),
            scheduler=InOrder(helpers.released),
            reuse_actors=True,
            trial_name_creator=operator.attrgetter("trial_id"),
            trial_dirname_creator=operator.attrgetter("trial_id"),
        ),
        run_config=tune.RunConfig(
            name=context.folder.name,
            storage_path=root.root,
            storage_filesystem=None if root.is_local else root.filesystem,
            verbose=0,
            callbacks=[events],
            failure_config=tune.FailureConfig(max_failures=context.retries),
            checkpoint_config=tune.CheckpointConfig(num_to_keep=2, checkpoint_at_end=False),
        ),
    )
    context.progress.devices = place.devices(gpu)
    tuner.fit()
    if helpers.teacher == "failed":
        raise TeacherError(f"the teacher could not be made ready: {helpers.fault}")
    return events.crashed


def _queued(item: Todo, gpu: float) -> QueuedTrial:
    run = item.config.run.model_copy(update={"device_share": gpu or None})
    config = item.config.model_copy(update={"run": run}).plain()
    awaits: Awaited = "bank filled" if item.needs_teacher else "nothing"
    return QueuedTrial(item.trial.id, config, item.first_index, item.checkpoint, awaits)
