"""The jobs of a Trainable: train a student, prepare teachers and their banks, or stand by. Knows no Ray.

A job is chosen by the keys of a trial's configuration:

- ``{"prepare": [configurations of trials]}`` trains the teachers of these trials and fills their banks, in one step;
  with ``"shard": (i, n)``, only the i-th of n parts of the banks, counted from 0.
- ``{"stand_by": True}`` does nothing until a scheduler stops it.
- any other configuration is a ``TrialConfig`` as a mapping: one student is trained, one epoch a step.
"""

import abc
import dataclasses
import importlib
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pydantic
import torch

from trainables import materials, preparation, record, teacher
from trainables.config import TrialConfig
from trainables.materials import Materials
from trainables.record import Checkpoint, Manifest
from trainables.shared_keys import alike
from trainables.storage import Storage
from trainables.trial import MaterialSource, Trial

PREPARE, SHARD, STAND_BY = "prepare", "shard", "stand_by"
#: Seconds between the reports of a job that has nothing to tell more often.
REPORT_SECONDS = 0.5


@dataclasses.dataclass(frozen=True)
class Report:
    """The result of a step."""

    values: Mapping[str, Any]
    """``status``, ``reason`` where the job has ended, and for a student the epoch's row."""
    ended: bool = False
    wants_checkpoint: bool = False


class Job(abc.ABC):
    """Something that is done step by step."""

    @abc.abstractmethod
    def step(self) -> Report:
        """Do one step."""

    @abc.abstractmethod
    def save(self, folder: Path) -> None:
        """Write a checkpoint into an existing local folder."""

    @abc.abstractmethod
    def load(self, folder: Path) -> None:
        """Go on from a checkpoint in a local folder.

        Raises:
            ValueError: the checkpoint is damaged, or belongs to another job.
        """


class TrainStudent(Job):
    """Trains one student, one epoch a step.

    Args:
        config: the trial.
        source: gives data and teacher.
    """

    def __init__(self, config: TrialConfig, source: MaterialSource) -> None:
        self._trial = Trial(config, source)

    def step(self) -> Report:
        trial = self._trial
        row = trial.step() or {"epoch": len(trial.rows)}
        known = {name: value for name, value in row.items() if value is not None}
        values = {**known, "status": trial.status, "reason": trial.reason or ""}
        return Report(values, trial.status != "running", trial.wants_checkpoint())

    def save(self, folder: Path) -> None:
        self._trial.save(folder)

    def load(self, folder: Path) -> None:
        manifest = Manifest.model_validate_json((folder / record.MANIFEST).read_text())
        self._trial.restore(Checkpoint(Storage.at(str(folder.parent)), folder.name, manifest))


class HelperJob(Job):
    """A job that keeps nothing in its checkpoints."""

    def save(self, folder: Path) -> None:
        (folder / PREPARE).touch()  # Tune may expect a file

    def load(self, folder: Path) -> None:
        pass


class Prepare(HelperJob):
    """Trains the teachers of some trials, and fills one part of their banks, in one step.

    Args:
        configs: the trials.
        shard: number of the part of the banks, from 0 on.
        shards: number of parts.
    """

    def __init__(self, configs: list[TrialConfig], shard: int, shards: int) -> None:
        self._configs, self._shard, self._shards = configs, shard, shards

    def step(self) -> Report:
        try:
            for config in {teacher.fingerprint(config): config for config in self._configs}.values():
                preparation.ensure_trained(config)
            preparation.ensure_banked(self._configs, self._shard, self._shards)
        except (OSError, ValueError, RuntimeError) as fault:
            # Reported, not raised: Tune would try again, and the fault would be the same.
            return Report({"status": "failed", "reason": str(fault)}, ended=True)
        return Report({"status": "finished", "reason": ""}, ended=True)


class StandBy(HelperJob):
    """Does nothing, so that an actor can start before there is work for it."""

    def __init__(self) -> None:
        importlib.import_module("torch._dynamo")  # takes two seconds, otherwise spent by the first optimiser

    def step(self) -> Report:
        time.sleep(REPORT_SECONDS)
        return Report({"status": "running"})


class KeptMaterials:
    """Loads a trial's data and teacher, and keeps them for the next trial in this process that reads the same."""

    def __init__(self) -> None:
        self._key = ""
        self._kept: Materials | None = None

    def __call__(self, config: TrialConfig, device: torch.device) -> Materials:
        of_teacher = teacher.fingerprint(config) if config.uses_teacher else None
        parts = ("data", *(("teacher_source", "distiller.needs") if config.uses_teacher else ()))
        key = alike(config, *parts, teacher=of_teacher, device=str(device))
        if self._kept is None or self._key != key or not materials.serves(self._kept, config):
            preparation.ensure(config)
            self._key, self._kept = key, materials.load_materials(config, device)
        return self._kept


def choose(config: Mapping[str, Any], source: MaterialSource) -> Job:
    """Return the job that a configuration asks for.

    Args:
        config: see the module's text.
        source: gives a student its data and teacher.

    Raises:
        ValueError: the configuration is wrong; names every fault, by key.
    """
    if config.get(STAND_BY):
        return StandBy()
    if config.get(PREPARE):
        return Prepare([parse(each) for each in config[PREPARE]], *config.get(SHARD, (0, 1)))
    return TrainStudent(parse(config), source)


def parse(config: Mapping[str, Any]) -> TrialConfig:
    """Validate a trial's configuration.

    Raises:
        ValueError: the configuration is wrong; names every fault, by key.
    """
    try:
        return TrialConfig.model_validate(dict(config))
    except pydantic.ValidationError as faults:
        lines = [f"{'.'.join(map(str, fault['loc'])) or 'config'}: {fault['msg']}" for fault in faults.errors()]
        raise ValueError("this configuration is not a trial's:\n" + "\n".join(lines)) from None
