"""Runs trials with Ray Tune, in the current Ray session."""

import operator

from ray import tune

from ctkd_study.cluster.events import TuneEvents
from ctkd_study.cluster.helper_trials import HelperTrials
from ctkd_study.cluster.placement import cluster
from ctkd_study.cluster.trial_feed import InOrder, TrialFeed
from ctkd_study.cluster.trial_source import DueTrials
from ctkd_study.errors import TeacherError
from ctkd_study.launch import LaunchContext, TrialQueue
from trainables.trainable import CTKDTrainable


def run_trials(queue: TrialQueue, context: LaunchContext) -> None:
    """Run the trials of a launch, and before them what makes their teacher ready.

    Raises:
        ClusterError: the need of GPU memory can't be measured.
        TeacherError: the teacher could not be made ready; the trials that need it were not run.
    """
    place, due = cluster(), queue.waiting
    gpu = place.gpu_share(context.gpu, [pending.config for pending in due], context.cpu)
    needing = [pending.config for pending in due if pending.config.uses_teacher]
    slots = max(place.slots(context.cpu, gpu), 1)
    helpers = HelperTrials(needing, len(due) - len(needing), min(slots, context.concurrency or slots))
    root = context.folder.storage
    tuner = tune.Tuner(
        tune.with_resources(CTKDTrainable, {"cpu": context.cpu, "gpu": gpu}),
        tune_config=tune.TuneConfig(
            search_alg=TrialFeed(DueTrials(queue, helpers, gpu), context.concurrency),
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
            callbacks=[TuneEvents(context, queue, helpers)],
            failure_config=tune.FailureConfig(max_failures=context.retry.lost_workers),
            checkpoint_config=tune.CheckpointConfig(num_to_keep=2, checkpoint_at_end=False),
        ),
    )
    context.progress.devices = place.devices(gpu)
    tuner.fit()
    if helpers.teacher == "failed":
        raise TeacherError(f"the teacher could not be made ready: {helpers.fault}")
