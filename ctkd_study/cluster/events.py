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
        queue: is told of the study's trials that ended or were interrupted.
        helpers: is told of the ends of helper trials.
    """

    def __init__(self, context: LaunchContext, queue: TrialQueue, helpers: HelperTrials) -> None:
        self.progress, self.saved, self.queue, self.helpers = context.progress, context.saved, queue, helpers
        self.progress.note = helpers.note

    def on_trial_result(self, iteration: int, trials: Any, trial: Any, result: dict[str, Any], **info: Any) -> None:
        status, reason = result.get("status"), result.get("reason") or ""
        if trial.trial_id in self.helpers:
            self._helper_reported(trial.trial_id, status, reason or "no reason given")
            return
        name = _ours(trial)
        if "epoch_seconds" in result:
            self.progress.row(name, result)
        if result.get("saved"):
            self.progress.saved(name)
            self.saved(name)
        elif reason and status in ("running", "saving"):
            self.progress.trouble(name, reason)
        if status in ("finished", "failed"):
            self.progress.ended(name, status)

    def on_trial_complete(self, iteration: int, trials: Any, trial: Any, **info: Any) -> None:
        if trial.trial_id not in self.helpers:
            result = trial.last_result or {}
            interrupted = result.get("status") == "interrupted"
            self._ended(_ours(trial), str(result.get("reason")) if interrupted else "")

    def on_trial_error(self, iteration: int, trials: Any, trial: Any, **info: Any) -> None:
        fault = reason_of(str(trial.get_error() or ""))
        if trial.trial_id in self.helpers:
            self._helper_reported(trial.trial_id, "interrupted", fault)
        else:
            self._ended(_ours(trial), fault)

    def _ended(self, name: str, fault: str) -> None:
        status = self.queue.ended(name, fault)
        if status in ("finished", "failed"):
            self.progress.ended(name, status)
        else:
            self.progress.interrupted(name, self.queue.unfinished.get(name, fault))
        self.saved(name)

    def _helper_reported(self, trial_id: str, status: str | None, reason: str) -> None:
        if status == "interrupted":
            again = self.helpers.interrupted(trial_id, reason)
            self.progress.trouble(self.helpers.job(trial_id), reason if again else "")
        elif status in ("finished", "failed"):
            self.helpers.ended(trial_id, reason if status == "failed" else "")
            self.progress.trouble(self.helpers.job(trial_id), "")
        if self.progress.note != self.helpers.note:  # to set it starts a new estimate of the pace
            self.progress.note = self.helpers.note


def _ours(trial: Any) -> str:
    """The study's id of one of Tune's trials: a trial that is tried again is another to Tune."""
    return str(trial.config["run"]["trial"])


def reason_of(traceback: str) -> str:
    """Return the line of a traceback that names the error: the last that begins with an exception's name."""
    lines = [line.strip() for line in traceback.splitlines() if line.strip()]
    errors = [line for line in lines if re.match(r"[\w.]*(Error|Exception|Died\w*)\b", line)]
    return (errors or lines or ["the worker died"])[-1]
