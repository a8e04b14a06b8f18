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

    A step's result is the epoch's row (names and units: docs/record.md) with ``status``: running, saving, finished,
    stopped, failed or interrupted, and with ``reason``. Where ``run.folder`` names a folder, the trial is recorded
    there, goes on from what it finds there, and needs none of Ray's checkpoints; without it, Ray keeps them.

    Two other configurations, ``{"prepare": ...}`` and ``{"stand_by": True}``, do helper jobs (``jobs`` describes
    them). They run as trials so that their actors are reused: an actor that waits for cores held by a task outside
    Tune is overtaken by reused actors for as long as trials are short.
    """

    def setup(self, config: dict[str, Any]) -> None:
        """Choose the job; a student is set up by its first step, because Tune tries again only what has begun.

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
        """Train one epoch.

        Raises:
            RuntimeError: the process can't be trusted any more (a GPU's error, no memory); Ray then ends it.
        """
        report = self._job.step()
        if report.ends_process:
            raise RuntimeError(report.values["reason"])
        return {**report.values, **_where(), SHOULD_CHECKPOINT: report.wants_checkpoint, DONE: report.ended}

    def train_buffered(self, *limits: Any, **named_limits: Any) -> list[dict[str, Any]]:
        """Train epochs for half a second and report them together; without a record, one at a time.

        Reporting blocks the worker: about 5 % of a 90 ms epoch. Tune calls this where ``TUNE_RESULT_BUFFER_LENGTH`` is
        above 1; schedulers that pause trials do not work with it. Of results that precede one for which Ray saves a
        checkpoint, Tune 2.60 asks for an epoch too many; so they are not reported together.

        Args:
            limits: Tune's limits of time and number of results, ignored: Ray 2.60 passes each in the other's place.
            named_limits: ignored for the same reason.
        """
        results: list[dict[str, Any]] = []
        until = time.monotonic() + (jobs.REPORT_SECONDS if self._job.is_recorded else 0.0)
        while not results or (time.monotonic() < until and len(results) < _MOST and not results[-1][DONE]):
            results.append(self.train())  # type: ignore[no-untyped-call]
        return results

    def stop_trial(self, trial_id: str, reason: str) -> None:
        """End a recorded trial before its last epoch: its next step records it as stopped, as far as it has come."""
        self._job.stop(trial_id, reason)

    def save_checkpoint(self, checkpoint_dir: str) -> None:
        """Write a checkpoint for Ray to keep."""
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
        self._job = jobs.choose(config, self._materials)


def _where() -> dict[str, str]:
    """The node of this worker: where trials keep failing on one, others are chosen."""
    return {"node_id": ray.get_runtime_context().get_node_id()} if ray.is_initialized() else {}


def _hide_gpus_of_others() -> None:
    """Hide all GPUs from an actor that was given none. Ray does not, and ``device: auto`` would take one."""
    in_actor = ray.is_initialized() and ray.get_runtime_context().get_actor_id() is not None
    if in_actor and not ray.get_gpu_ids():
        os.environ["CUDA_VISIBLE_DEVICES"] = ""
