"""The Ray Tune Trainable: a thin shell around ``Trial``, and the only file here that knows Ray.

Usable in anyone's own ``ray.tune.Tuner``, without ``ctkd_study``::

    tune.Tuner(CTKDTrainable, param_space={..., "temperature": {"kind": "fixed", "value": tune.grid_search([2, 4, 8])}})
"""

import importlib
import os
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pydantic
import ray
import torch
from ray import tune
from ray.tune.result import DONE, SHOULD_CHECKPOINT

from trainables import materials, preparation, record, teacher
from trainables.alike import alike
from trainables.config import TrialConfig
from trainables.materials import Materials
from trainables.record import Checkpoint, Manifest
from trainables.storage import Storage
from trainables.trial import Trial

PREPARE, SHARD, STAND_BY = "prepare", "shard", "stand_by"
_PATIENCE = 0.5  # seconds of epochs that are reported together, and of a step that waits


class CTKDTrainable(tune.Trainable):
    """Trains one student, one epoch a step; its ``config`` is a ``TrialConfig`` as a mapping.

    A step's result is the epoch's row (design: names and units in docs/record.md) with ``status``; a number that is
    not finite ends the trial as failed, with ``reason``, without an exception.

    A configuration ``{"prepare": [configurations of trials]}`` makes the teachers and banks of these trials ready
    instead, in one step; with ``"shard": (i, n)``, the i-th of n parts of their banks. It is a trial to Tune, so that
    the actor that did it goes on with others: an actor that must first wait for a core held by a task outside Tune is
    overtaken by reused ones, as long as trials are short.

    A configuration ``{"stand_by": True}`` does nothing until a scheduler stops it: an actor that starts while the
    teacher is being trained.
    """

    def setup(self, config: dict[str, Any]) -> None:
        """Builds everything anew; sets threads, precision and seeds of the process.

        Raises:
            ValueError: the configuration is wrong; every fault is named.
        """
        _hide_gpus_of_others()
        self._prepare = [parse(each) for each in config.get(PREPARE, ())]
        self._shard, self._shards = config.get(SHARD, (0, 1))
        self._held: dict[str, Any] | None = None
        self._stands_by = bool(config.get(STAND_BY))
        if self._stands_by:
            importlib.import_module("torch._dynamo")  # two seconds, which the first optimiser otherwise takes
        self._trial = None if self._prepare or self._stands_by else Trial(parse(config), self._materials)

    def reset_config(self, new_config: dict[str, Any]) -> bool:
        """Takes another trial's configuration in a reused actor; equal to a fresh one."""
        self.setup(new_config)
        return True

    def step(self) -> dict[str, Any]:
        """Trains one epoch."""
        trial = self._trial
        if self._stands_by:
            time.sleep(_PATIENCE)
            return {"status": "running"}
        if trial is None:
            return self._make_ready()
        row = trial.step() or {"epoch": len(trial.rows)}
        return {
            **{name: value for name, value in row.items() if value is not None},
            "status": trial.status,
            "reason": trial.reason or "",
            SHOULD_CHECKPOINT: trial.wants_checkpoint(),
            DONE: trial.status != "running",
        }

    def train_buffered(self, buffer_time_s: float = 1000, max_buffer_length: float = 0) -> list[dict[str, Any]]:
        """Trains epochs for half a second and reports them together; one that saves or ends is reported by itself.

        A worker that reports waits for the driver, which costs epochs of 90 ms a twentieth. Tune calls this where
        ``TUNE_RESULT_BUFFER_LENGTH`` is above 1, which does not suit schedulers that pause trials. Ray's own would not
        do: after a save that others precede in a report, Tune asks for an epoch too many; and as Ray 2.60 gives each
        argument in the other's place, every epoch would be reported by itself.

        Args:
            buffer_time_s: how many epochs to report at most, as Ray 2.60 has it.
            max_buffer_length: for how many seconds to train, as Ray 2.60 has it; not heeded.
        """
        if self._held is not None:
            held, self._held = self._held, None
            return [held]
        results: list[dict[str, Any]] = []
        until = time.monotonic() + _PATIENCE
        while not results or (time.monotonic() < until and len(results) < buffer_time_s):
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
        """Writes a checkpoint, its manifest last."""
        if self._trial is None:
            (Path(checkpoint_dir) / PREPARE).touch()  # the teacher has a record of its own; Tune may want a file
        else:
            self._trial.save(Path(checkpoint_dir))

    def load_checkpoint(self, checkpoint: dict[Any, Any] | None) -> None:
        """Goes on from a checkpoint folder of the same trial.

        Raises:
            ValueError: it is damaged, or another trial's.
        """
        folder = Path(str(checkpoint))
        if self._trial is None:
            return
        manifest = Manifest.model_validate_json((folder / record.MANIFEST).read_text())
        self._trial.restore(Checkpoint(Storage.at(str(folder.parent)), folder.name, manifest))

    def _make_ready(self) -> dict[str, Any]:
        status, reason = "finished", ""
        try:
            for config in {teacher.fingerprint(config): config for config in self._prepare}.values():
                preparation.ensure_trained(config)
            preparation.ensure_banked(self._prepare, self._shard, self._shards)
        except (OSError, ValueError, RuntimeError) as fault:
            # To try again would give the same fault.
            status, reason = "failed", str(fault)
        return {"status": status, "reason": reason, DONE: True}

    @classmethod
    def default_resource_request(cls, config: dict[str, Any]) -> tune.PlacementGroupFactory:
        """One core per thread."""
        threads = dict(config.get("numerics") or {}).get("threads", 1)
        return tune.PlacementGroupFactory([{"CPU": float(threads)}])

    def _materials(self, config: TrialConfig, device: torch.device) -> Materials:
        # Kept while trials of the same data and teacher follow each other in this actor.
        of_teacher = teacher.fingerprint(config) if config.uses_teacher else None
        parts = ("data", *(("teacher_source", "distiller.needs") if config.uses_teacher else ()))
        key = alike(config, *parts, teacher=of_teacher, device=str(device))
        kept: tuple[str, Materials] | None = getattr(self, "_kept", None)
        if kept is None or kept[0] != key or not materials.serves(kept[1], config):
            preparation.ensure(config)
            kept = self._kept = (key, materials.load_materials(config, device))
        return kept[1]


def _hide_gpus_of_others() -> None:
    """Leaves an actor without a GPU none to see, which Ray does not: ``device: auto`` would take one."""
    in_actor = ray.is_initialized() and ray.get_runtime_context().get_actor_id() is not None
    if in_actor and not ray.get_gpu_ids():
        os.environ["CUDA_VISIBLE_DEVICES"] = ""


def parse(config: Mapping[str, Any]) -> TrialConfig:
    """Validates a trial's configuration.

    Raises:
        ValueError: names every fault, by key.
    """
    try:
        return TrialConfig.model_validate(dict(config))
    except pydantic.ValidationError as faults:
        lines = [f"{'.'.join(map(str, fault['loc'])) or 'config'}: {fault['msg']}" for fault in faults.errors()]
        raise ValueError("this configuration is not a trial's:\n" + "\n".join(lines)) from None
