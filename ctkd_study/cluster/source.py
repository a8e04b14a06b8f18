"""Joins the launch's queue and the helper trials into what Tune's feed asks."""

from ctkd_study.cluster.feed import Awaited, QueuedTrial
from ctkd_study.cluster.helper_trials import HelperTrials
from ctkd_study.launch import PendingTrial, TrialQueue
from ctkd_study.spec import PlannedTrial


class DueTrials:
    """The trials that may start next: helpers that prepare, then what is due, then helpers that stand by.

    Trials that wait for the teacher are overtaken by others, and never run if it fails.

    Args:
        queue: the launch's, which is asked each time.
        helpers: the helper trials; they know the status of the teacher.
        gpu: share of a GPU that each trial is given.
    """

    def __init__(self, queue: TrialQueue, helpers: HelperTrials, gpu: float) -> None:
        self._queue, self._helpers, self._gpu = queue, helpers, gpu
        self._preparing, self._standing_by = list(helpers.preparing), list(helpers.standing_by)

    def next(self) -> QueuedTrial | None:
        """The trial to start next; None if none may start now."""
        if (helper := self._helper(self._preparing)) is not None:
            return helper
        if (pending := self._queue.pull(self._may_start)) is not None:
            return self._queued(pending)
        return self._helper(self._standing_by)

    @property
    def exhausted(self) -> bool:
        """Whether no more trials will come."""
        if self._helpers.teacher == "failed":
            return not self._queue.running and not any(self._may_start(trial) for trial in self._queue.due)
        return self._queue.exhausted and not self._preparing

    def _helper(self, helpers: list[QueuedTrial]) -> QueuedTrial | None:
        teacher = self._helpers.teacher
        if teacher == "failed" or not helpers or not helpers[0].may_start(teacher):
            return None
        return helpers.pop(0)

    def _may_start(self, trial: PlannedTrial) -> bool:
        return self._helpers.teacher == "bank filled" or not trial.setting.config.uses_teacher

    def _queued(self, pending: PendingTrial) -> QueuedTrial:
        run = pending.config.run.model_copy(update={"device_share": self._gpu or None})
        config = pending.config.model_copy(update={"run": run}).plain()
        awaits: Awaited = "bank filled" if pending.config.uses_teacher else "nothing"
        return QueuedTrial(pending.id, config, pending.first_index, pending.checkpoint, awaits)
