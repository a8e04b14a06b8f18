"""Helper trials: they train the teacher, fill its bank in parts, and start actors early.

They are trials so that their actors are reused; ``trainables.jobs`` has what they do. Their folders hold no results.
"""

import time
from collections import Counter
from collections.abc import Callable, Sequence
from typing import Literal

from ctkd_study.cluster.trial_feed import QueuedTrial
from ctkd_study.launch import RetryPolicy
from trainables import jobs
from trainables.bank import representatives
from trainables.config import TrialConfig

#: Status of the teacher: not trained, trained, bank filled, failed.
TeacherState = Literal["not trained", "trained", "bank filled", "failed"]
_TEACHER, _BANK, _STAND_BY = ".teacher", ".bank-", ".stand-by-"  # ids, or what they begin with


class HelperTrials:
    """The helper trials of a launch, and the status of the teacher, which follows from those that have ended.

    Args:
        needing: configurations of the trials that need the teacher.
        others: number of trials that do not.
        slots: number of trials that run at once.
        policy: when one that was interrupted is tried again.
        now: seconds on a clock that only grows.
    """

    def __init__(
        self,
        needing: Sequence[TrialConfig],
        others: int,
        slots: int,
        policy: RetryPolicy | None = None,
        now: Callable[[], float] = time.monotonic,
    ) -> None:
        self._policy, self._now = policy or RetryPolicy(), now
        self._interruptions: Counter[str] = Counter()
        self._resting: list[tuple[float, QueuedTrial]] = []
        self._preparing: list[QueuedTrial] = []
        self._standing_by: list[QueuedTrial] = []
        if chosen := representatives(needing):
            configs = [config.plain() for config in chosen]
            shards = min(slots, len(needing))
            # Filling the bank of a data set with one view takes seconds: one trial does all.
            if shards == 1 or all(c.teacher_source == "online" or c.data.views.count == 1 for c in chosen):
                self._preparing = [QueuedTrial(_TEACHER, {jobs.PREPARE: configs})]
            else:
                unbanked = chosen[0].model_copy(update={"teacher_source": "online"}).plain()
                parts = [{jobs.PREPARE: configs, jobs.SHARD: [shard, shards]} for shard in range(shards)]
                self._preparing = [QueuedTrial(_TEACHER, {jobs.PREPARE: [unbanked]})]
                self._preparing += [QueuedTrial(f"{_BANK}{n}", part) for n, part in enumerate(parts, start=1)]
            idle = min(slots, len(needing) + others) - 1 - others
            self._standing_by = [QueuedTrial(f"{_STAND_BY}{n}", {jobs.STAND_BY: True}) for n in range(idle)]
        self._unfinished = {trial.id: trial for trial in self._preparing}
        self.teacher: TeacherState = "not trained" if self._preparing else "bank filled"
        self.fault = ""
        """Why the teacher could not be made ready."""

    def __contains__(self, trial_id: str) -> bool:
        return trial_id.startswith((_TEACHER, _BANK, _STAND_BY))

    @property
    def note(self) -> str:
        """What the study's trials wait for; empty if for nothing."""
        notes = {"not trained": "the teacher is being made ready", "trained": "the teacher's bank is being filled"}
        return notes.get(self.teacher, "")

    def next_preparation(self) -> QueuedTrial | None:
        """Hand out the teacher's training, and once that has ended, the parts of its bank."""
        for place, (until, _) in enumerate(self._resting):
            if until <= self._now():
                return self._resting.pop(place)[1]
        may_start = self._preparing and (self.teacher == "trained" or self._preparing[0].id == _TEACHER)
        return self._preparing.pop(0) if may_start else None

    def next_standing_by(self) -> QueuedTrial | None:
        """Hand out a trial for an actor that would have no work until the teacher is trained."""
        return self._standing_by.pop(0) if self._standing_by and self.teacher == "not trained" else None

    def ended(self, trial_id: str, fault: str) -> None:
        """Note that a helper trial has ended, and why if it failed; one that stands by changes nothing."""
        if self._unfinished.pop(self.job(trial_id), None) is not None:
            self.fault = self.fault or fault
            self.teacher = "failed" if self.fault else "trained" if self._unfinished else "bank filled"

    def interrupted(self, trial_id: str, fault: str) -> bool:
        """Note that a fault that may pass has ended a helper trial; returns whether it is handed out again."""
        if (trial := self._unfinished.get(self.job(trial_id))) is None:
            return False
        self._interruptions[trial.id] += 1
        if (pause := self._policy.pause(self._interruptions[trial.id])) is None:
            self.ended(trial_id, fault)
            return False
        again = QueuedTrial(f"{trial.id}.{self._interruptions[trial.id] + 1}", trial.config)
        self._resting.append((self._now() + pause, again))
        return True

    def job(self, trial_id: str) -> str:
        """Return the id of a helper trial's first try."""
        return "." + trial_id[1:].partition(".")[0]

    def released(self, trial_id: str) -> bool:
        """Whether a trial stands by and is to end: the teacher is trained or has failed, so its actor gets work."""
        return trial_id.startswith(_STAND_BY) and self.teacher != "not trained"
