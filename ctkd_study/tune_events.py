"""Tune's callbacks -> a launch's progress. They run in Tune's event loop, so each takes microseconds."""

import re
from collections.abc import Callable
from typing import Any

from ray.tune import Callback

from ctkd_study.progress import Progress


class TuneEvents(Callback):
    """Counts what Tune reports.

    Args:
        progress: is told of epochs, saves, recoveries and ends.
        saved: is called with the id of a trial that has a new complete checkpoint.
    """

    def __init__(self, progress: Progress, saved: Callable[[str], None]) -> None:
        self.progress, self.saved = progress, saved
        self.crashed: dict[str, str] = {}
        """Why trials crashed beyond their retries, by id."""

    def __reduce__(self) -> Any:
        # Tune pickles its configuration for its own restore, which is not used here; locks and threads do not pickle.
        return Callback, ()

    def on_trial_result(
        self, iteration: int, trials: list[Any], trial: Any, result: dict[str, Any], **info: Any
    ) -> None:
        self.progress.row(trial.trial_id, result)
        if result.get("status") in ("finished", "failed"):
            self.progress.ended(trial.trial_id, result["status"])

    def on_checkpoint(self, iteration: int, trials: list[Any], trial: Any, checkpoint: Any, **info: Any) -> None:
        self.progress.saved(trial.trial_id)
        self.saved(trial.trial_id)

    def on_trial_recover(self, iteration: int, trials: list[Any], trial: Any, **info: Any) -> None:
        self.progress.recovered(trial.trial_id)

    def on_trial_error(self, iteration: int, trials: list[Any], trial: Any, **info: Any) -> None:
        self.progress.recovered(trial.trial_id)
        self.progress.ended(trial.trial_id, "failed")
        self.crashed[trial.trial_id] = reason(str(trial.get_error() or "the worker died"))


def reason(text: str) -> str:
    """The line of a traceback that says what happened."""
    lines = [line.strip() for line in text.splitlines() if line.strip()]
    telling = [line for line in lines if re.match(r"[\w.]*(Error|Exception|Died\w*)\b", line)]
    return (telling or lines or ["the worker died"])[-1]
