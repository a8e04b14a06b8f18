"""Tune's callbacks -> a launch's progress. They run in Tune's event loop, so each takes microseconds."""

import re
from collections.abc import Callable, Collection
from typing import Any

from ray.tune import Callback

from ctkd_study.cluster.feed import TeacherState
from ctkd_study.launch import LaunchProgress, TrialQueue

#: Id of the trial that makes the teacher ready, and what those of parts of its bank and of actors that stand by
#: meanwhile begin with; their folders hold nothing of use.
TEACHER, BANK, STAND_BY = ".teacher", ".bank-", ".stand-by-"


class TuneEvents(Callback):
    """Counts what Tune reports.

    Args:
        progress: is told of epochs, saves, recoveries and ends.
        saved: is called with the id of a trial that has a new complete checkpoint.
        queue: is told of trials that ended or crashed.
        preparations: ids of the trials that make the teacher ready: the training, then parts of its bank.
    """

    def __init__(
        self, progress: LaunchProgress, saved: Callable[[str], None], queue: TrialQueue, preparations: Collection[str]
    ) -> None:
        self.progress, self.saved, self.queue = progress, saved, queue
        self._preparing = set(preparations)
        self.teacher: TeacherState = "waiting" if preparations else "ready"
        self.teacher_fault = ""
        progress.note = "the teacher is being made ready" if preparations else ""

    def __reduce__(self) -> Any:
        # Tune pickles its configuration for its own restore, which is not used here; locks and threads do not pickle.
        return Callback, ()

    def on_trial_result(
        self, iteration: int, trials: list[Any], trial: Any, result: dict[str, Any], **info: Any
    ) -> None:
        status = result.get("status")
        if _prepares(trial.trial_id):
            self._prepared(trial.trial_id, "" if status == "finished" else result.get("reason", "no reason given"))
            return
        self.progress.row(trial.trial_id, result)
        if status in ("finished", "failed"):
            self.progress.ended(trial.trial_id, status)

    def on_checkpoint(self, iteration: int, trials: list[Any], trial: Any, checkpoint: Any, **info: Any) -> None:
        if not _prepares(trial.trial_id):
            self.progress.saved(trial.trial_id)
            self.saved(trial.trial_id)

    def on_trial_recover(self, iteration: int, trials: list[Any], trial: Any, **info: Any) -> None:
        if not _prepares(trial.trial_id):
            self.progress.recovered(trial.trial_id)

    def on_trial_error(self, iteration: int, trials: list[Any], trial: Any, **info: Any) -> None:
        fault = reason(str(trial.get_error() or "the worker died"))
        if _prepares(trial.trial_id):
            self._prepared(trial.trial_id, fault)
            return
        self.progress.recovered(trial.trial_id)
        self.progress.ended(trial.trial_id, "failed")
        self.queue.crashed(trial.trial_id, fault)
        self.saved(trial.trial_id)

    def on_trial_complete(self, iteration: int, trials: list[Any], trial: Any, **info: Any) -> None:
        if not _prepares(trial.trial_id):
            self.queue.ended(trial.trial_id)

    def released(self, trial_id: str) -> bool:
        """Whether an actor that stands by is to get work: the teacher is there."""
        return trial_id.startswith(STAND_BY) and self.teacher != "waiting"

    def _prepared(self, trial_id: str, fault: str) -> None:
        if trial_id not in self._preparing:
            return  # it stands by
        self._preparing.discard(trial_id)
        if fault or self.teacher == "failed":
            self.teacher, self.teacher_fault = "failed", self.teacher_fault or fault
        else:
            self.teacher = "trained" if self._preparing else "ready"
        self.progress.note = "the teacher's bank is being filled" if self.teacher == "trained" else ""


def _prepares(trial_id: str) -> bool:
    return trial_id == TEACHER or trial_id.startswith((BANK, STAND_BY))


def reason(text: str) -> str:
    """The line of a traceback that says what happened."""
    lines = [line.strip() for line in text.splitlines() if line.strip()]
    telling = [line for line in lines if re.match(r"[\w.]*(Error|Exception|Died\w*)\b", line)]
    return (telling or lines or ["the worker died"])[-1]
