"""Gives Tune's feed the trials of a launch, and before them the helper trials."""

from ctkd_study.cluster.helper_trials import HelperTrials
from ctkd_study.cluster.trial_feed import QueuedTrial
from ctkd_study.launch import TrialQueue


class DueTrials:
    """The trials that are due; those that wait for the teacher are overtaken by others, and never run if it fails.

    Args:
        queue: of the launch.
        helpers: make the teacher ready.
        gpu: share of a GPU that each trial is given.
    """

    def __init__(self, queue: TrialQueue, helpers: HelperTrials, gpu: float) -> None:
        self._queue, self._helpers, self._gpu = queue, helpers, gpu
        self._stuck = False

    @property
    def exhausted(self) -> bool:
        return self._queue.exhausted or self._stuck

    def next(self) -> QueuedTrial | None:
        if self._queue.stopped.is_set():
            return None
        if (preparation := self._helpers.next_preparation()) is not None:
            return preparation
        teacher = self._helpers.teacher
        pending = self._queue.pull(lambda due: teacher == "bank filled" or not due.setting.config.uses_teacher)
        others = bool(self._queue.running) or self._queue.seconds_to_wait() is not None
        self._stuck = pending is None and teacher == "failed" and not others
        if pending is None:
            return self._helpers.next_standing_by()
        run = pending.config.run.model_copy(update={"device_share": self._gpu or None})
        config = pending.config.model_copy(update={"run": run}).plain()
        return QueuedTrial(f"{pending.id}.{pending.tries}", config)
