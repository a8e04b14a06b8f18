"""Stops trials that lag behind, by Ray Tune's schedulers: one for each arm and seed, as a practitioner would use it.

Which trials lag depends on the order in which they report, so on the load of the machines. A launch that resumes a
study begins with empty schedulers.
"""

import dataclasses
from collections.abc import Mapping
from typing import Any

from ray.tune.schedulers import AsyncHyperBandScheduler, MedianStoppingRule, TrialScheduler

_METRIC, _TIME = "val_top1", "epoch"
_BRACKETS = {"asha": 1, "hyperband": 3}


@dataclasses.dataclass(frozen=True)
class _Known:
    """A trial as a scheduler knows it: by the study's id, which it keeps when it is tried again."""

    trial_id: str


class _NothingWaits:
    """What Tune's controller says to the median rule, so that it pauses no trial: that would need Ray's checkpoints."""

    def get_live_trials(self) -> list[Any]:
        return []


class Schedulers:
    """The schedulers of a launch's arms and seeds."""

    def __init__(self) -> None:
        self._schedulers: dict[tuple[str, int], Any] = {}
        self._added: set[str] = set()
        self._stopped: set[str] = set()

    def reported(self, config: Mapping[str, Any], result: Mapping[str, Any]) -> str | None:
        """Take the result of a step; returns why the trial is to be stopped, if it is, once.

        Args:
            config: the trial's, as plain values.
            result: the row of an epoch, with its ``status``.
        """
        run = config.get("run") or {}
        options = run.get("scheduler")
        if options is None or run["trial"] in self._stopped or _METRIC not in result or _TIME not in result:
            return None
        known, scheduler = _Known(run["trial"]), self._of(run["arm"], config, options)
        if known.trial_id not in self._added:
            self._added.add(known.trial_id)
            scheduler.on_trial_add(None, known)
        decision = scheduler.on_trial_result(_NothingWaits(), known, dict(result))
        if decision != TrialScheduler.STOP or result.get("status") != "running":
            return None
        self._stopped.add(known.trial_id)
        return f"stopped by {options['by']} at epoch {result[_TIME]}"

    def _of(self, arm: str, config: Mapping[str, Any], options: Mapping[str, Any]) -> Any:
        key = (arm, config["seed"])
        if key not in self._schedulers:
            self._schedulers[key] = _made(options, config["recipe"]["epochs"])
        return self._schedulers[key]


def _made(options: Mapping[str, Any], epochs: int) -> Any:
    grace = min(options["grace"], epochs)
    if options["by"] == "median":
        return MedianStoppingRule(_TIME, metric=_METRIC, mode="max", grace_period=grace)
    return AsyncHyperBandScheduler(
        _TIME,
        metric=_METRIC,
        mode="max",
        max_t=epochs,
        grace_period=grace,
        reduction_factor=options["factor"],
        brackets=_BRACKETS[options["by"]],
    )
