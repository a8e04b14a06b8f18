"""Runs trials with Ray Tune, in the current Ray session."""

import operator
import time
from collections.abc import Callable
from typing import Any

from ray import tune

from ctkd_study.cluster.desk import Brief, Desk
from ctkd_study.cluster.events import TuneEvents
from ctkd_study.cluster.helper_trials import HelperTrials
from ctkd_study.cluster.node_health import NodeHealth
from ctkd_study.cluster.placement import check_nodes, cluster, nodes
from ctkd_study.cluster.schedulers import Schedulers
from ctkd_study.cluster.trial_feed import InOrder, NotPickled, TrialFeed
from ctkd_study.cluster.trial_source import DueTrials
from ctkd_study.errors import TeacherError
from trainables.trainable import CTKDTrainable

_ASK_SECONDS = 0.25


def run_trials(desk: Desk, brief: Brief, scratch: str) -> None:
    """Run the trials of a launch, and before them what makes their teachers ready.

    Args:
        desk: the driver's.
        brief: what there is to do.
        scratch: a folder for what Tune keeps of its own.

    Raises:
        ClusterError: no node has what a trial asks for, or the need of GPU memory can't be measured.
        TeacherError: a teacher could not be made ready; the trials that need it were not run.
    """
    place, due = cluster(), brief.waiting
    gpu = place.gpu_share(brief.gpu, due, brief.cpu)
    check_nodes(brief.cpu, gpu)
    needing = [config for config in due if config.uses_teacher]
    slots = max(place.slots(brief.cpu, gpu), 1)
    at_once = min(slots, brief.concurrency or slots)
    helpers = HelperTrials(needing, len(due) - len(needing), at_once, brief.policy, brief.vary)
    desk.devices(place.devices(gpu))
    health = NodeHealth(nodes)
    events = TuneEvents(desk, helpers, health)
    tune.Tuner(
        tune.with_resources(CTKDTrainable, {"cpu": brief.cpu, "gpu": gpu}),
        tune_config=tune.TuneConfig(
            search_alg=TrialFeed(DueTrials(desk, helpers, gpu), brief.concurrency, health.avoided),
            scheduler=InOrder(helpers.released, events.hung, Schedulers().reported),
            reuse_actors=True,
            trial_name_creator=operator.attrgetter("trial_id"),
            trial_dirname_creator=operator.attrgetter("trial_id"),
        ),
        run_config=tune.RunConfig(
            name=brief.study,
            storage_path=scratch,
            verbose=0,
            callbacks=[events],
            stop=Stop(desk.stopping),
            # A trial that was interrupted is still due: the queue hands it out again.
            failure_config=tune.FailureConfig(max_failures=0),
            checkpoint_config=tune.CheckpointConfig(checkpoint_frequency=0, checkpoint_at_end=False),
        ),
    ).fit()
    if helpers.fault:
        raise TeacherError(helpers.fault)


class Stop(NotPickled, tune.Stopper):
    """Ends all trials when the driver says so; asks it a few times a second.

    Args:
        asked: whether to end them now.
    """

    def __init__(self, asked: Callable[[], bool]) -> None:
        self._asked, self._next = asked, 0.0

    def __call__(self, trial_id: str, result: dict[str, Any]) -> bool:
        return False

    def stop_all(self) -> bool:
        if time.monotonic() < self._next:
            return False
        self._next = time.monotonic() + _ASK_SECONDS
        return self._asked()
