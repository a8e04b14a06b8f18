"""Gives Tune's feed the trials of a launch, and before them the helper trials."""

from ctkd_study.cluster.desk import Desk
from ctkd_study.cluster.helper_trials import HelperTrials
from ctkd_study.cluster.trial_feed import QueuedTrial


class DueTrials:
    """The trials that are due; those that wait for their teacher are overtaken by others, and never run if it fails.

    Args:
        desk: hands them out.
        helpers: make the teachers ready.
        gpu: share of a GPU that each trial is given.
    """

    def __init__(self, desk: Desk, helpers: HelperTrials, gpu: float) -> None:
        self._desk, self._helpers, self._gpu = desk, helpers, gpu
        self._stuck = False

    @property
    def exhausted(self) -> bool:
        return self._stuck or self._desk.exhausted()

    def next(self) -> QueuedTrial | None:
        if (preparation := self._helpers.next_preparation()) is not None:
            return preparation
        assigned = self._desk.pull(self._helpers.not_ready)
        self._stuck = assigned is None and self._helpers.gave_up and not self._desk.goes_on()
        if assigned is None:
            return self._helpers.next_standing_by()
        run = assigned.config.run.model_copy(update={"device_share": self._gpu or None})
        # A trial that is tried again is another to Tune.
        return QueuedTrial(f"{assigned.id}.{assigned.tries}", assigned.config.model_copy(update={"run": run}).plain())
