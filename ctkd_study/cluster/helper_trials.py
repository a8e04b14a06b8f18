"""Helper trials: they train the teacher, fill its bank in parts, and start actors early.

They are trials so that their actors are reused; ``trainables.jobs`` has what they do. Their folders hold no results.
"""

from collections.abc import Sequence

from ctkd_study.cluster.feed import QueuedTrial, TeacherState
from trainables import jobs
from trainables.bank import representatives
from trainables.config import TrialConfig

_TEACHER, _BANK, _STAND_BY = ".teacher", ".bank-", ".stand-by-"  # ids, or what they begin with


class HelperTrials:
    """The helper trials of a launch, and the status of the teacher, which follows from those that have ended.

    Args:
        needing: configurations of the trials that need the teacher.
        others: number of trials that do not.
        slots: number of trials that run at once.
    """

    def __init__(self, needing: Sequence[TrialConfig], others: int, slots: int) -> None:
        self.preparing: list[QueuedTrial] = []
        """The training of the teacher, then the parts of its bank; empty where no trial needs the teacher."""
        self.standing_by: list[QueuedTrial] = []
        """One for each actor that would have no work before the teacher is trained."""
        if chosen := representatives(needing):
            configs = [config.plain() for config in chosen]
            shards = min(slots, len(needing))
            # Filling the bank of a data set with one view takes seconds: one trial does all.
            if shards == 1 or all(c.teacher_source == "online" or c.data.views.count == 1 for c in chosen):
                self.preparing = [QueuedTrial(_TEACHER, {jobs.PREPARE: configs})]
            else:
                unbanked = chosen[0].model_copy(update={"teacher_source": "online"}).plain()
                self.preparing = [QueuedTrial(_TEACHER, {jobs.PREPARE: [unbanked]})]
                for shard in range(shards):
                    config = {jobs.PREPARE: configs, jobs.SHARD: [shard, shards]}
                    self.preparing.append(QueuedTrial(f"{_BANK}{shard + 1}", config, awaits="trained"))
            idle = min(slots, len(needing) + others) - 1 - others
            self.standing_by = [QueuedTrial(f"{_STAND_BY}{n}", {jobs.STAND_BY: True}) for n in range(idle)]
        self._unfinished = {trial.id for trial in self.preparing}
        self.teacher: TeacherState = "not trained" if self.preparing else "bank filled"
        self.fault = ""
        """Why the teacher could not be made ready."""

    @property
    def note(self) -> str:
        """What the study's trials wait for; empty if for nothing."""
        notes = {"not trained": "the teacher is being made ready", "trained": "the teacher's bank is being filled"}
        return notes.get(self.teacher, "")

    def __contains__(self, trial_id: str) -> bool:
        return trial_id.startswith((_TEACHER, _BANK, _STAND_BY))

    def ended(self, trial_id: str, fault: str) -> None:
        """Notes that a helper trial has ended, and why if it failed; one that stands by changes nothing."""
        if trial_id in self._unfinished:
            self._unfinished.remove(trial_id)
            self.fault = self.fault or fault
            self.teacher = "failed" if self.fault else "trained" if self._unfinished else "bank filled"

    def released(self, trial_id: str) -> bool:
        """Whether a trial stands by and is to end: the teacher is trained or has failed, so its actor gets work."""
        return trial_id.startswith(_STAND_BY) and self.teacher != "not trained"
