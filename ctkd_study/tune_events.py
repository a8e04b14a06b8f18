"""Tune's callbacks -> a launch's progress. They run in Tune's event loop, so each takes microseconds."""

import re
from collections.abc import Callable
from typing import Any

from ray.tune import Callback

from ctkd_study.progress import Progress
from ctkd_study.search import TeacherState

#: Id of the trial that makes the teacher ready; its folder holds nothing of use.
PREPARATION = ".teacher"


class TuneEvents(Callback):
    """Counts what Tune reports.

    Args:
        progress: is told of epochs, saves, recoveries and ends.
        saved: is called with the id of a trial that has a new complete checkpoint.
        teacher: ``waiting`` if a trial of this launch makes it ready, else ``ready``.
    """

    def __init__(self, progress: Progress, saved: Callable[[str], None], teacher: TeacherState) -> None:
        self.progress, self.saved, self.teacher = progress, saved, teacher
        self.teacher_fault = ""
        self.crashed: dict[str, str] = {}
        """Why trials crashed beyond their retries, by id."""
        progress.note = "the teacher is being made ready" if teacher == "waiting" else ""

    def __reduce__(self) -> Any:
        # Tune pickles its configuration for its own restore, which is not used here; locks and threads do not pickle.
        return Callback, ()

    def on_trial_result(
        self, iteration: int, trials: list[Any], trial: Any, result: dict[str, Any], **info: Any
    ) -> None:
        status = result.get("status")
        if trial.trial_id == PREPARATION:
            self._teacher_ended("ready" if status == "finished" else "failed", result.get("reason", ""))
            return
        self.progress.row(trial.trial_id, result)
        if status in ("finished", "failed"):
            self.progress.ended(trial.trial_id, status)

    def on_checkpoint(self, iteration: int, trials: list[Any], trial: Any, checkpoint: Any, **info: Any) -> None:
        if trial.trial_id != PREPARATION:
            self.progress.saved(trial.trial_id)
            self.saved(trial.trial_id)

    def on_trial_recover(self, iteration: int, trials: list[Any], trial: Any, **info: Any) -> None:
        if trial.trial_id != PREPARATION:
            self.progress.recovered(trial.trial_id)

    def on_trial_error(self, iteration: int, trials: list[Any], trial: Any, **info: Any) -> None:
        fault = reason(str(trial.get_error() or "the worker died"))
        if trial.trial_id == PREPARATION:
            self._teacher_ended("failed", fault)
            return
        self.progress.recovered(trial.trial_id)
        self.progress.ended(trial.trial_id, "failed")
        self.crashed[trial.trial_id] = fault

    def _teacher_ended(self, state: TeacherState, fault: str) -> None:
        self.teacher, self.teacher_fault, self.progress.note = state, fault, ""


def reason(text: str) -> str:
    """The line of a traceback that says what happened."""
    lines = [line.strip() for line in text.splitlines() if line.strip()]
    telling = [line for line in lines if re.match(r"[\w.]*(Error|Exception|Died\w*)\b", line)]
    return (telling or lines or ["the worker died"])[-1]
