"""Helper trials: they train the teachers, fill their banks in parts, and start actors early.

They are trials so that their actors are reused; ``trainables.jobs`` has what they do. Their folders hold no results.
"""

import math
import time
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Literal

from ctkd_study.cluster.trial_feed import QueuedTrial
from ctkd_study.launch import RetryPolicy
from ctkd_study.spec import Vary
from trainables import jobs
from trainables.bank import representatives
from trainables.config import TrialConfig

#: Status of a teacher: not trained, trained, bank filled, failed.
TeacherState = Literal["not trained", "trained", "bank filled", "failed"]
_TEACHER, _BANK, _STAND_BY = ".teacher", ".bank-", ".stand-by-"  # ids, or what they begin with
_ONE_TEACHER = Vary()


class _Teacher:
    """The helper trials that make the teacher of one group of seeds ready, and its status.

    Args:
        chosen: configurations that read all that the group's trials read.
        shards: in how many parts to fill its bank.
        suffix: of its helper trials' ids.
    """

    def __init__(self, chosen: Sequence[TrialConfig], shards: int, suffix: str) -> None:
        configs = [config.plain() for config in chosen]
        # Filling the bank of a data set with one view takes seconds: one trial does all.
        if shards == 1 or all(c.teacher_source == "online" or c.data.views.count == 1 for c in chosen):
            self._waiting = [QueuedTrial(f"{_TEACHER}{suffix}", {jobs.PREPARE: configs})]
        else:
            unbanked = chosen[0].model_copy(update={"teacher_source": "online"}).plain()
            parts: list[dict[str, Any]] = [
                {jobs.PREPARE: configs, jobs.SHARD: [shard, shards]} for shard in range(shards)
            ]
            self._waiting = [QueuedTrial(f"{_TEACHER}{suffix}", {jobs.PREPARE: [unbanked]})]
            self._waiting += [QueuedTrial(f"{_BANK}{n}{suffix}", part) for n, part in enumerate(parts, start=1)]
        self.unfinished = {trial.id: trial for trial in self._waiting}
        self.state: TeacherState = "not trained"
        self.fault = ""

    def next(self) -> QueuedTrial | None:
        """Hand out the teacher's training, and once that has ended, the parts of its bank."""
        may_start = self._waiting and (self.state == "trained" or self._waiting[0].id.startswith(_TEACHER))
        return self._waiting.pop(0) if may_start else None

    def ended(self, job: str, fault: str) -> None:
        """Note that a helper trial has ended."""
        if self.unfinished.pop(job, None) is not None:
            self.fault = self.fault or fault
            self.state = "failed" if self.fault else "trained" if self.unfinished else "bank filled"


class HelperTrials:
    """The helper trials of a launch, and the status of each teacher, which follows from those that have ended.

    Args:
        needing: configurations of the trials that need a teacher.
        others: number of trials that do not.
        slots: number of trials that run at once.
        policy: when one that was interrupted is tried again.
        vary: in which groups of seeds the teacher is another.
        now: seconds on a clock that only grows.
    """

    def __init__(
        self,
        needing: Sequence[TrialConfig],
        others: int,
        slots: int,
        policy: RetryPolicy | None = None,
        vary: Vary = _ONE_TEACHER,
        now: Callable[[], float] = time.monotonic,
    ) -> None:
        self._policy, self._now = policy or RetryPolicy(), now
        self._interruptions: Counter[str] = Counter()
        self._resting: list[tuple[float, QueuedTrial]] = []
        by_group: dict[int, list[TrialConfig]] = {}
        for config in needing:
            by_group.setdefault(vary.group(config.seed), []).append(config)
        slots_each = math.ceil(slots / max(len(by_group), 1))
        self._teachers = {
            group: _Teacher(
                representatives(configs), min(slots_each, len(configs)), f"-{group}" if vary.groups > 1 else ""
            )
            for group, configs in sorted(by_group.items())
        }
        idle = min(slots, len(needing) + others) - len(self._teachers) - others if self._teachers else 0
        self._standing_by = [QueuedTrial(f"{_STAND_BY}{n}", {jobs.STAND_BY: True}) for n in range(idle)]

    def __contains__(self, trial_id: str) -> bool:
        return trial_id.startswith((_TEACHER, _BANK, _STAND_BY))

    def prepares(self, trial_id: str) -> bool:
        """Whether a helper trial does something, i.e. does not just stand by."""
        return not trial_id.startswith(_STAND_BY)

    @property
    def teachers(self) -> Mapping[int, TeacherState]:
        """The status of each teacher that trials need, by group of seeds."""
        return {group: each.state for group, each in self._teachers.items()}

    @property
    def not_ready(self) -> frozenset[int]:
        """The groups of seeds whose trials may not start, or never will because their teacher failed."""
        return frozenset(group for group, state in self.teachers.items() if state != "bank filled")

    @property
    def fault(self) -> str:
        """Why teachers could not be made ready; empty if none has failed."""
        failed = {group: each.fault for group, each in self._teachers.items() if each.fault}
        if not failed:
            return ""
        named = "the teacher"
        if len(self._teachers) > 1:
            named = f"the teacher of group {' and of group '.join(map(str, failed))}"
        return f"{named} could not be made ready: {next(iter(failed.values()))}"

    @property
    def gave_up(self) -> bool:
        """Whether a teacher has failed, and no other is still being made ready."""
        return "failed" in self.teachers.values() and set(self.teachers.values()) <= {"failed", "bank filled"}

    @property
    def note(self) -> str:
        """What the study's trials wait for; empty if for nothing."""
        waiting = [state for state in self.teachers.values() if state in ("not trained", "trained")]
        if len(self._teachers) > 1 and waiting:
            return f"{len(waiting)} of {len(self._teachers)} teachers are being made ready"
        notes = {"not trained": "the teacher is being made ready", "trained": "the teacher's bank is being filled"}
        return notes[waiting[0]] if waiting else ""

    def next_preparation(self) -> QueuedTrial | None:
        """Hand out the next helper trial of a teacher; what fills banks comes first, as trials then can start."""
        for place, (until, _) in enumerate(self._resting):
            if until <= self._now():
                return self._resting.pop(place)[1]
        trained_first = sorted(self._teachers.values(), key=lambda each: each.state != "trained")
        return next((trial for each in trained_first if (trial := each.next()) is not None), None)

    def next_standing_by(self) -> QueuedTrial | None:
        """Hand out a trial for an actor that would have no work until a teacher is trained."""
        return self._standing_by.pop(0) if self._standing_by and not self._any_trained else None

    def ended(self, trial_id: str, fault: str) -> None:
        """Note that a helper trial has ended, and why if it failed; one that stands by changes nothing."""
        for each in self._teachers.values():
            each.ended(self.job(trial_id), fault)

    def interrupted(self, trial_id: str, fault: str) -> bool:
        """Note that a fault that may pass has ended a helper trial; returns whether it is handed out again."""
        job = self.job(trial_id)
        trial = next((each.unfinished[job] for each in self._teachers.values() if job in each.unfinished), None)
        if trial is None:
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
        """Whether a trial stands by and is to end: a teacher is trained or has failed, so its actor gets work."""
        return trial_id.startswith(_STAND_BY) and self._any_trained

    @property
    def _any_trained(self) -> bool:
        return any(state != "not trained" for state in self.teachers.values())
