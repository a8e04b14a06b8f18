"""The runs of a trial: each start on a worker has a folder of its own, and the newest run is the record.

::

    <trial>/run-000002-001/         launch 2, incarnation 1: the launch's first start of this trial
        start.json                  made by an atomic create; who runs it, and the checkpoint that it goes on from
        checkpoint_000003/          its third save
        fault.json                  the exception that ended it, if one did

A run is fenced by those that begin after it. Each names the checkpoint that it goes on from, so what an older run
writes afterwards is not part of the record; and a run that finds a newer one ends itself (``Superseded``).
"""

import dataclasses
import logging
import math
import os
import re
import socket
import time
import uuid
from collections.abc import Callable, Iterator, Mapping
from typing import Any

from trainables import checksums
from trainables.record.checkpoints import Checkpoint, Contents, packed, verify
from trainables.record.manifest import Manifest, Start
from trainables.storage import NotAFile, Storage

log = logging.getLogger(__name__)

_START, _FAULT = "start.json", "fault.json"
_ORIGIN, _TOKEN = "goes_on_from", "token"  # the token tells two runs apart that begin at once
_RUN, _SAVE = re.compile(r"run-(\d{6,})-(\d{3,})"), re.compile(r"checkpoint_(\d{6,})")
_KEPT = 2  # checkpoints: should the newest be damaged, there is one before it


class Superseded(Exception):
    """A newer run of the same trial has begun: this one must write nothing more."""


@dataclasses.dataclass(frozen=True, order=True)
class RunId:
    """Which run of a trial it is; later runs are greater."""

    launch: int
    incarnation: int

    def __str__(self) -> str:
        return f"run-{self.launch:06d}-{self.incarnation:03d}"

    @classmethod
    def of(cls, name: str) -> "RunId | None":
        """Return the run whose folder has this name; None if it is no run's."""
        found = _RUN.fullmatch(name)
        return cls(int(found[1]), int(found[2])) if found else None


@dataclasses.dataclass(frozen=True)
class Scan:
    """What there is in a trial's folder."""

    newest: Checkpoint | None = None
    """The newest complete checkpoint: the trial's record."""
    damaged: tuple[str, ...] = ()
    """The incomplete or damaged checkpoints newer than it, each with the reason."""
    saves: Mapping[RunId, tuple[int, ...]] = dataclasses.field(default_factory=dict)
    """The numbers of the checkpoints of each run, complete or not."""

    @property
    def last_run(self) -> RunId | None:
        """The newest run."""
        return max(self.saves, default=None)


def scan(
    trial: Storage,
    check_hashes: bool = True,
    level: int = logging.WARNING,
    wanted: Callable[[Manifest], bool] = lambda manifest: True,
) -> Scan:
    """Find a trial's record.

    Args:
        trial: the trial's folder.
        check_hashes: whether to compare hashes, for which every file is read; sizes are always compared.
        level: the log level for a checkpoint that is ignored.
        wanted: which checkpoints count; the others are passed over in silence.

    Raises:
        NotAFile: the folder is a link.
        OSError: something is there that cannot be read now.
    """
    if trial.is_link:
        raise NotAFile(f"{trial.location} is a link; a trial's folder must not be one")
    files: dict[str, dict[str, int]] = {}
    saves: dict[RunId, set[int]] = {}
    for path, size in trial.tree().items():
        folder, _, file = path.rpartition("/")
        files.setdefault(folder, {})[file] = size
        name, _, save = folder.partition("/")
        if (run := RunId.of(name)) is not None:
            numbers = saves.setdefault(run, set())
            if found := _SAVE.fullmatch(save):
                numbers.add(int(found[1]))
    listed = {run: tuple(sorted(saves[run])) for run in sorted(saves)}
    damaged: list[str] = []
    for name in _newest_first(trial, listed):
        checkpoint = verify(trial, name, files.get(name, {}), check_hashes)
        if isinstance(checkpoint, str):
            damaged.append(f"{name}: {checkpoint}")
            log.log(level, "%s is passed over: %s", trial.path(name), checkpoint)
        elif wanted(checkpoint.manifest):
            return Scan(checkpoint, tuple(damaged), listed)
    return Scan(None, tuple(damaged), listed)


class Run:
    """A run of a trial, as its worker writes it: begun by ``begin``, alone in writing to its folder.

    Args:
        trial: the trial's folder.
        run: which run it is.
        start: what is recorded of its start.
        origin: the checkpoint that it goes on from.
        stale: paths of checkpoints to remove once it has saved.
        before: the fault that ended the run before it, if one did.
    """

    def __init__(
        self,
        trial: Storage,
        run: RunId,
        start: Start,
        origin: Checkpoint | None,
        stale: tuple[str, ...],
        before: Mapping[str, Any],
    ) -> None:
        self.trial, self.id, self.start, self.origin = trial, run, start, origin
        self._kept = [origin.name] if origin is not None else []
        self._stale, self._before, self._number = list(stale), before, 0

    @classmethod
    def begin(cls, trial: Storage, found: Scan, launch: int | None = None) -> "Run":
        """Begin a run that goes on from the newest checkpoint of a scan.

        Args:
            trial: the trial's folder.
            found: what is there.
            launch: its number; None joins the launch of the newest run.

        Raises:
            Superseded: a run of a later launch has begun, or another one at this moment.
        """
        last = found.last_run or RunId(launch or 1, 0)
        run = RunId(last.launch if launch is None else launch, 1)
        if run.launch == last.launch:
            run = RunId(last.launch, last.incarnation + 1)
        origin = found.newest
        start = Start(
            attempt=run.launch,
            incarnation=run.incarnation,
            epoch=origin.manifest.epoch if origin is not None else 0,
            time_ms=time.time_ns() // 1_000_000,
            host=socket.gethostname(),
            pid=os.getpid(),
        )
        content = {**start.model_dump(), _ORIGIN: origin.name if origin is not None else None, _TOKEN: uuid.uuid4().hex}
        if run < last or not trial.create(f"{run}/{_START}", checksums.sealed(content)):
            raise Superseded(f"{trial.path(str(run))} is not the newest run of its trial")
        paths = [_save_path(each, number) for each, numbers in found.saves.items() for number in numbers]
        stale = tuple(path for path in paths if origin is None or path != origin.name)
        before = _sealed(trial, f"{last}/{_FAULT}") or {}
        for each in found.saves:
            trial.sweep(str(each))
        return cls(trial, run, start, origin, stale, before)

    def save(self, manifest: Manifest, contents: Contents) -> Manifest:
        """Write a checkpoint; returns its manifest.

        Raises:
            Superseded: a newer run has begun.
            OSError: it could not be written; it may be tried again.
        """
        self._refuse_if_superseded()
        self._number += 1
        path = _save_path(self.id, self._number)
        self._stale.append(path)  # should it fail halfway
        self.trial.write_folder(path, packed(manifest, contents))
        self._stale.remove(path)
        self._refuse_if_superseded()  # else what it removes may be what its successor goes on from
        self._kept.append(path)
        self._stale += self._kept[:-_KEPT]
        del self._kept[:-_KEPT]
        self._tidy()
        return manifest

    def note_fault(self, epoch: int, words: str) -> bool:
        """Record the exception that ends the run; returns whether the run before ended in the same way.

        Args:
            epoch: in which it was raised.
            words: its type and message.
        """
        fault = {"epoch": epoch, "words": words}
        self.trial.write(f"{self.id}/{_FAULT}", checksums.sealed(fault))
        return fault == self._before

    def _refuse_if_superseded(self) -> None:
        newest = max(filter(None, map(RunId.of, self.trial.names())), default=self.id)
        if newest > self.id:
            raise Superseded(f"{self.trial.path(str(self.id))} was superseded by {newest}")

    def _tidy(self) -> None:
        for path in list(self._stale):
            try:
                self.trial.remove_folder(path)
            except OSError as fault:  # it is only in the way
                log.info("%s is not removed: %s", self.trial.path(path), fault)
            else:
                self._stale.remove(path)


def _newest_first(trial: Storage, saves: Mapping[RunId, tuple[int, ...]]) -> Iterator[str]:
    """Yield the checkpoints of the newest run, then those up to the one that it went on from, and so on."""
    up_to, most = None, math.inf
    for run in sorted(saves, reverse=True):
        if up_to is not None and run > up_to:
            continue  # it saved nothing that a later run went on from
        yield from (_save_path(run, number) for number in reversed(saves[run]) if number <= most)
        start = _sealed(trial, f"{run}/{_START}")
        up_to, most = None, math.inf
        if start is not None:  # of a damaged start, nothing is known, and all that is older counts
            folder, _, save = str(start.get(_ORIGIN)).partition("/")
            up_to, found = RunId.of(folder), _SAVE.fullmatch(save)
            if up_to is None or found is None:
                return  # it began anew
            most = int(found[1])


def _sealed(trial: Storage, path: str) -> dict[str, Any] | None:
    try:
        return checksums.unsealed(trial.read(path))
    except FileNotFoundError:
        return None
    except (ValueError, NotAFile) as fault:
        log.warning("%s is passed over: %s", trial.path(path), fault)
        return None


def _save_path(run: RunId, number: int) -> str:
    return f"{run}/checkpoint_{number:06d}"
