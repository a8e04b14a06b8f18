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
import threading
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any, ClassVar

import pydantic
import torch

from trainables import faults, materials, preparation, record, teacher
from trainables.config import TrialConfig
from trainables.data import KeptData
from trainables.materials import Materials
from trainables.record import Row
from trainables.recorded import RecordedTrial
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
    """``status``, ``reason`` where the job has ended; for a student the epoch's row, and whether it was ``saved``."""
    ended: bool = False
    wants_checkpoint: bool = False
    """Whether Ray should keep a checkpoint now."""
    ends_process: bool = False
    """Whether no other job should run in this process."""


class Job(abc.ABC):
    """Something that is done step by step."""

    is_recorded: ClassVar[bool] = False
    """Whether it keeps a record of its own, so that Ray needs no checkpoints of it."""

    @abc.abstractmethod
    def step(self) -> Report:
        """Do one step."""

    def stop(self, trial_id: str, reason: str) -> None:  # noqa: B027 - most jobs have no such end
        """End this trial before its end, if it is the one that is trained and recorded here."""

    @abc.abstractmethod
    def save(self, folder: Path) -> None:
        """Write a checkpoint into an existing local folder."""

    @abc.abstractmethod
    def load(self, folder: Path) -> None:
        """Go on from a checkpoint in a local folder.

        Raises:
            ValueError: the checkpoint is damaged, or belongs to another job.
        """


class JobWithoutCheckpoints(Job):
    """A job that needs none of Ray's checkpoints."""

    def save(self, folder: Path) -> None:
        (folder / PREPARE).touch()  # Tune may expect a file

    def load(self, folder: Path) -> None:
        pass


class TrainRecorded(JobWithoutCheckpoints):
    """Trains one student, one epoch a step, and records it; the record is all that a later start needs.

    Args:
        config: the trial.
        source: gives data and teacher.
        folder: where it is recorded.
    """

    is_recorded: ClassVar[bool] = True

    def __init__(self, config: TrialConfig, source: MaterialSource, folder: Storage) -> None:
        self._trial, self._id = RecordedTrial(config, source, folder), config.run.trial

    def stop(self, trial_id: str, reason: str) -> None:
        if trial_id == self._id:
            self._trial.stop(reason)

    def step(self) -> Report:
        done = self._trial.step()
        known = {name: value for name, value in (done.row or {}).items() if value is not None}
        values = {**known, "status": done.status, "reason": done.reason, "saved": done.saved}
        return Report(values, done.ended, ends_process=done.ends_process)


class TrainUnrecorded(Job):
    """Trains one student, one epoch a step, in a Tuner of the user's own, which keeps the checkpoints.

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
        storage, place = Storage.at(str(folder)), record.Scan()
        record.Run.begin(storage, place).save(self._trial.manifest(), self._trial.contents())
        self._trial.saved()

    def load(self, folder: Path) -> None:
        found = record.scan(Storage.at(str(folder)))
        if found.newest is None:
            raise ValueError(f"{folder} holds no whole checkpoint of a trial: {'; '.join(found.damaged) or 'empty'}")
        self._trial.restore(found.newest)


class Prepare(JobWithoutCheckpoints):
    """Trains the teachers of some trials, and fills one part of their banks.

    It works in a thread of its own, so that its steps can say every half second how far it is: who does not get on is
    taken for hung.

    Args:
        configs: the trials.
        shard: number of the part of the banks, from 0 on.
        shards: number of parts.
    """

    def __init__(self, configs: list[TrialConfig], shard: int, shards: int) -> None:
        self._configs, self._shard, self._shards = configs, shard, shards
        self._steps, self._signs, self._longest = 0, 0, 0.0
        self._fault: Exception | None = None
        self._thread = threading.Thread(target=self._work, name=PREPARE, daemon=True)

    def step(self) -> Report:
        """Wait for half a second; ``signs`` counts what is done, ``longest`` is the longest epoch in seconds."""
        self._steps += 1
        if self._steps == 2:  # the first step says where this process is: else it could not be killed if it stops now
            self._thread.start()
        if self._steps > 1:
            self._thread.join(REPORT_SECONDS)
        if self._steps == 1 or self._thread.is_alive():
            return Report({"status": "running", "signs": self._signs, "longest": self._longest})
        if (fault := self._fault) is not None:
            values = {
                "status": "interrupted" if faults.may_pass(fault) else "failed",
                "reason": faults.described(fault),
            }
            return Report(values, ended=True, ends_process=faults.ends_process(fault))
        return Report({"status": "finished", "reason": ""}, ended=True)

    def _work(self) -> None:
        try:
            for config in {teacher.fingerprint(config): config for config in self._configs}.values():
                preparation.ensure_trained(config, self._count, on_sign=self._count)
            preparation.ensure_banked(self._configs, self._shard, self._shards, on_sign=self._count)
        except Exception as fault:  # a plug-in may raise anything
            self._fault = fault

    def _count(self, row: Row | None = None) -> None:
        """Note a sign of progress; of an epoch, the row."""
        self._signs += 1
        if row is not None:
            seconds = sum(float(row.get(name) or 0.0) for name in ("epoch_seconds", "eval_seconds"))
            self._longest = max(self._longest, seconds)


class StandBy(JobWithoutCheckpoints):
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
        self._read = KeptData()

    def __call__(self, config: TrialConfig, device: torch.device) -> Materials:
        of_teacher = teacher.fingerprint(config) if config.uses_teacher else None
        parts = ("data", *(("teacher_source", "distiller.needs") if config.uses_teacher else ()))
        key = alike(config, *parts, teacher=of_teacher, device=str(device))
        if self._kept is None or self._key != key or not materials.serves(self._kept, config):
            data = self._read(config.data)
            preparation.ensure(config, data=data)
            self._key, self._kept = key, materials.load_materials(config, device, data)
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
    trial = parse(config)
    if trial.run.folder is None:
        return TrainUnrecorded(trial, source)
    return TrainRecorded(trial, source, Storage.at(trial.run.folder))


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
