"""Passes Tune's events on to a launch. Callbacks run in Tune's event loop, so each must be quick."""

import re
from collections.abc import Iterable
from typing import Any

from ray.tune import Callback
from ray.tune.experiment import Trial

from ctkd_study.cluster.desk import Desk
from ctkd_study.cluster.helper_trials import HelperTrials
from ctkd_study.cluster.node_health import NodeHealth
from ctkd_study.cluster.trial_feed import NotPickled

#: What Tune adds to a result, and nobody reads.
_TUNES_OWN = frozenset({"config", "hist_stats", "node_ip", "experiment_tag", "date", "timestamp"})


class TuneEvents(NotPickled, Callback):
    """Tells the driver what Tune reports.

    Args:
        desk: is told of the study's trials.
        helpers: is told of the ends of helper trials.
        health: is told where steps were done, and where trials were interrupted.
    """

    def __init__(self, desk: Desk, helpers: HelperTrials, health: NodeHealth) -> None:
        self.desk, self.helpers, self._health = desk, helpers, health
        self._hung: set[str] = set()
        self.desk.note(helpers.note)

    def hung(self, running: Iterable[Trial]) -> list[Trial]:
        """Return which of Tune's running trials hang."""
        found = self.desk.hung()
        hanging = [each for each in running if self._name(each) in found]
        self._hung.update(each.trial_id for each in hanging)
        return hanging

    def on_trial_start(self, iteration: int, trials: Any, trial: Any, **info: Any) -> None:
        if trial.trial_id not in self.helpers:
            self.desk.begun(study_id(trial))
        elif self.helpers.prepares(trial.trial_id):
            self.desk.helper(self._name(trial))

    def on_trial_result(self, iteration: int, trials: Any, trial: Any, result: dict[str, Any], **info: Any) -> None:
        worked = result.get("status") != "interrupted"
        (self._health.worked if worked else self._health.failed)(str(result.get("node_id")))
        if trial.trial_id in self.helpers:
            if "signs" in result:
                self.desk.helper(self._name(trial), result["signs"], result["longest"])
            self._helper_reported(trial.trial_id, result.get("status"), result.get("reason") or "no reason given")
        else:
            self.desk.reported(study_id(trial), {name: result[name] for name in result if name not in _TUNES_OWN})

    def on_trial_complete(self, iteration: int, trials: Any, trial: Any, **info: Any) -> None:
        if trial.trial_id not in self.helpers:
            result = trial.last_result or {}
            interrupted = result.get("status") == "interrupted"
            self.desk.ended(study_id(trial), str(result.get("reason")) if interrupted else "")

    def on_trial_error(self, iteration: int, trials: Any, trial: Any, **info: Any) -> None:
        if node := (trial.last_result or {}).get("node_id"):  # one that died before its first result says nothing
            self._health.failed(node)
        hung = trial.trial_id in self._hung
        fault = "it hung, and its worker was killed" if hung else reason_of(str(trial.get_error() or ""))
        if trial.trial_id in self.helpers:
            self._helper_reported(trial.trial_id, "interrupted", fault)
        else:
            self.desk.ended(study_id(trial), fault)

    def _name(self, trial: Trial) -> str:
        """The id of a helper trial's first try, or the study's id of a trial."""
        return self.helpers.job(trial.trial_id) if trial.trial_id in self.helpers else study_id(trial)

    def _helper_reported(self, trial_id: str, status: str | None, reason: str) -> None:
        if status != "running":
            self.desk.helper_ended(self.helpers.job(trial_id))
        if status == "interrupted":
            again = self.helpers.interrupted(trial_id, reason)
            self.desk.trouble(self.helpers.job(trial_id), reason if again else "")
        elif status in ("finished", "failed"):
            self.helpers.ended(trial_id, reason if status == "failed" else "")
            self.desk.trouble(self.helpers.job(trial_id), "")
        self.desk.note(self.helpers.note)


def study_id(trial: Any) -> str:
    """The study's id of one of Tune's trials: a trial that is tried again is another to Tune."""
    return str(trial.config["run"]["trial"])


def reason_of(traceback: str) -> str:
    """Return the line of a traceback that names the error: the last that begins with an exception's name."""
    lines = [line.strip() for line in traceback.splitlines() if line.strip()]
    errors = [line for line in lines if re.match(r"[\w.]*(Error|Exception|Died\w*)\b", line)]
    return (errors or lines or ["the worker died"])[-1]
