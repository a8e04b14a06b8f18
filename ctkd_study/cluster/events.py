"""Passes Tune's events on to a launch. Callbacks run in Tune's event loop, so each must be quick."""

import re
from typing import Any

from ray.tune import Callback

from ctkd_study.cluster.helper_trials import HelperTrials
from ctkd_study.cluster.trial_feed import NotPickled
from ctkd_study.launch import LaunchContext, TrialQueue


class TuneEvents(NotPickled, Callback):
    """Counts what Tune reports.

    Args:
        context: its progress and ``saved`` are told of the study's trials.
        queue: is told of the study's trials that ended or crashed.
        helpers: is told of the ends of helper trials.
    """

    def __init__(self, context: LaunchContext, queue: TrialQueue, helpers: HelperTrials) -> None:
        self.progress, self.saved, self.queue, self.helpers = context.progress, context.saved, queue, helpers
        self.progress.note = helpers.note

    def on_trial_result(self, iteration: int, trials: Any, trial: Any, result: dict[str, Any], **info: Any) -> None:
        status = result.get("status")
        if trial.trial_id in self.helpers:
            reason = result.get("reason") or "no reason given"
            self._helper_ended(trial.trial_id, reason if status == "failed" else "")
            return
        self.progress.row(trial.trial_id, result)
        if status in ("finished", "failed"):
            self.progress.ended(trial.trial_id, status)

    def on_checkpoint(self, iteration: int, trials: Any, trial: Any, checkpoint: Any, **info: Any) -> None:
        if trial.trial_id not in self.helpers:
            self.progress.saved(trial.trial_id)
            self.saved(trial.trial_id)

    def on_trial_recover(self, iteration: int, trials: Any, trial: Any, **info: Any) -> None:
        if trial.trial_id not in self.helpers:
            self.progress.recovered(trial.trial_id)

    def on_trial_complete(self, iteration: int, trials: Any, trial: Any, **info: Any) -> None:
        if trial.trial_id not in self.helpers:
            self.queue.ended(trial.trial_id)

    def on_trial_error(self, iteration: int, trials: Any, trial: Any, **info: Any) -> None:
        fault = reason_of(str(trial.get_error() or ""))
        if trial.trial_id in self.helpers:
            self._helper_ended(trial.trial_id, fault)
            return
        self.progress.recovered(trial.trial_id)
        self.progress.ended(trial.trial_id, "failed")
        self.queue.crashed(trial.trial_id, fault)
        self.saved(trial.trial_id)

    def _helper_ended(self, trial_id: str, fault: str) -> None:
        self.helpers.ended(trial_id, fault)
        if self.progress.note != self.helpers.note:  # to set it starts a new estimate of the pace
            self.progress.note = self.helpers.note


def reason_of(traceback: str) -> str:
    """Return the line of a traceback that names the error: the last that begins with an exception's name."""
    lines = [line.strip() for line in traceback.splitlines() if line.strip()]
    errors = [line for line in lines if re.match(r"[\w.]*(Error|Exception|Died\w*)\b", line)]
    return (errors or lines or ["the worker died"])[-1]
