"""The Ray Tune Trainable: does a job of ``jobs`` step by step. The only file here that knows Ray.

Usable in anyone's own ``ray.tune.Tuner``, without ``ctkd_study``::

    tune.Tuner(CTKDTrainable, param_space={..., "temperature": {"kind": "fixed", "value": tune.grid_search([2, 4, 8])}})
"""

import os
import time
from pathlib import Path
from typing import Any

import ray
from ray import tune
from ray.tune.result import DONE, SHOULD_CHECKPOINT

from trainables import jobs

_MOST = 1000  # results in one report


class CTKDTrainable(tune.Trainable):
    """Trains one student, one epoch a step; its ``config`` is a ``TrialConfig`` as a mapping.

    A step's result is the epoch's row (names and units: docs/record.md) with ``status``. A number that is not finite
    ends the trial as failed, with ``reason``, without an exception.

    Two other configurations, ``{"prepare": ...}`` and ``{"stand_by": True}``, do helper jobs (``jobs`` describes
    them). They run as trials so that their actors are reused: an actor that waits for cores held by a task outside
    Tune is overtaken by reused actors for as long as trials are short.
    """

    _held: dict[str, Any] | None = None
    """A result that the next report brings, alone."""

    def setup(self, config: dict[str, Any]) -> None:
        """Set threads, precision and seeds of the process, and builds everything the trial needs.

        Raises:
            ValueError: the configuration is wrong; names every fault.
        """
        self._materials = jobs.KeptMaterials()
        self._begin(config)

    def reset_config(self, new_config: dict[str, Any]) -> bool:
        """Take another trial's configuration in a reused actor; the result equals a fresh actor's."""
        self._begin(new_config)
        return True

    def step(self) -> dict[str, Any]:
        """Train one epoch."""
        report = self._job.step()
        return {**report.values, SHOULD_CHECKPOINT: report.wants_checkpoint, DONE: report.ended}

    def train_buffered(self, *limits: Any, **named_limits: Any) -> list[dict[str, Any]]:
        """Train epochs for half a second and report them together; an epoch that saves or ends is reported alone.

        Reporting blocks the worker: about 5 % of a 90 ms epoch. Tune calls this where ``TUNE_RESULT_BUFFER_LENGTH`` is
        above 1; schedulers that pause trials do not work with it. Ray's own method is no use here: where results
        precede the one that saves in a report, Tune asks for an epoch too many.

        Args:
            limits: Tune's limits of time and number of results, ignored: Ray 2.60 passes each in the other's place.
            named_limits: ignored for the same reason.
        """
        if self._held is not None:
            held, self._held = self._held, None
            return [held]
        results: list[dict[str, Any]] = []
        until = time.monotonic() + jobs.REPORT_SECONDS
        while not results or (time.monotonic() < until and len(results) < _MOST):
            result: dict[str, Any] = self.train()  # type: ignore[no-untyped-call]
            alone = result[DONE] or result.get(SHOULD_CHECKPOINT)
            if results and alone:
                self._held = result
                break
            results.append(result)
            if alone:
                break
        return results

    def save_checkpoint(self, checkpoint_dir: str) -> None:
        """Write a checkpoint, its manifest last."""
        self._job.save(Path(checkpoint_dir))

    def load_checkpoint(self, checkpoint: dict[Any, Any] | None) -> None:
        """Go on from a checkpoint folder of the same trial.

        Raises:
            ValueError: the checkpoint is damaged, or another trial's.
        """
        self._job.load(Path(str(checkpoint)))

    @classmethod
    def default_resource_request(cls, config: dict[str, Any]) -> tune.PlacementGroupFactory:
        """One core per thread."""
        threads = dict(config.get("numerics") or {}).get("threads", 1)
        return tune.PlacementGroupFactory([{"CPU": float(threads)}])

    def _begin(self, config: dict[str, Any]) -> None:
        _hide_gpus_of_others()
        self._held = None
        self._job = jobs.choose(config, self._materials)


def _hide_gpus_of_others() -> None:
    """Hide all GPUs from an actor that was given none. Ray does not, and ``device: auto`` would take one."""
    in_actor = ray.is_initialized() and ray.get_runtime_context().get_actor_id() is not None
    if in_actor and not ray.get_gpu_ids():
        os.environ["CUDA_VISIBLE_DEVICES"] = ""
