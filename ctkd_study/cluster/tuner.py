"""Runs trials with Ray Tune, in the current Ray session."""

import operator
import tempfile
from collections.abc import Callable
from typing import Any

from ray import tune

from ctkd_study.cluster.events import TuneEvents
from ctkd_study.cluster.helper_trials import HelperTrials
from ctkd_study.cluster.placement import cluster
from ctkd_study.cluster.trial_feed import InOrder, NotPickled, TrialFeed
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
    context.progress.devices = place.devices(gpu)
    with tempfile.TemporaryDirectory(prefix="ctkd-study-") as nothing_of_worth:
        tune.Tuner(
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
                # What Tune keeps of its own; nobody reads it.
                storage_path=nothing_of_worth,
                verbose=0,
                callbacks=[TuneEvents(context, queue, helpers)],
                stop=Stop(lambda: queue.stopped.is_set() or context.lost.is_set()),
                # A trial that was interrupted is still due: the queue hands it out again.
                failure_config=tune.FailureConfig(max_failures=0),
                checkpoint_config=tune.CheckpointConfig(checkpoint_frequency=0, checkpoint_at_end=False),
            ),
        ).fit()
    if helpers.teacher == "failed":
        raise TeacherError(f"the teacher could not be made ready: {helpers.fault}")


class Stop(NotPickled, tune.Stopper):
    """Ends all trials when something says so.

    Args:
        asked: whether to end them now.
    """

    def __init__(self, asked: Callable[[], bool]) -> None:
        self._asked = asked

    def __call__(self, trial_id: str, result: dict[str, Any]) -> bool:
        return False

    def stop_all(self) -> bool:
        return self._asked()
