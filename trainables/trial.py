"""One trial in memory: its epochs so far, what a checkpoint of it holds, and how it goes on from one."""

import dataclasses
import functools
import platform
import socket
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from importlib.metadata import version
from pathlib import Path
from typing import Any

import torch

from trainables import numerics
from trainables.config import TrialConfig
from trainables.epoch_selection import Selected
from trainables.inputs import Inputs
from trainables.materials import Materials
from trainables.record import Checkpoint, Contents, Manifest, Row, Start, Status, Summary
from trainables.trainer import NotFinite, Trainer

#: Loads data and teacher for a trial on a device.
MaterialSource = Callable[[TrialConfig, torch.device], Materials]


class Trial:
    """A trial in progress.

    Args:
        config: the trial.
        materials: loads data and teacher for a configuration and a device.
        starts: when and where it was started, the last time included.

    Raises:
        ChangedInputs: data or teacher are not those of the study's other trials.
    """

    def __init__(self, config: TrialConfig, materials: MaterialSource, starts: Sequence[Start] = ()) -> None:
        self.config, self.starts = config, list(starts)
        self.device = numerics.apply(config.numerics, config.seed)
        found = materials(config, self.device)
        Inputs(config.run.data, config.run.weights).require(found.inputs, "the study's other trials were trained")
        self.trainer = Trainer(config, found, self.device)
        self.rows: list[Row] = []
        self.reason: str | None = None
        """Why it failed, or was stopped."""
        self._is_stopped = False
        self.remarks = self.trainer.fallbacks
        """Caveats for readers of the numbers."""
        self._lost: float | None = None
        self._saved_at, self._saved_epoch = time.monotonic(), 0
        self.is_saved = False
        """Whether a checkpoint holds all that there is."""

    @property
    def status(self) -> Status:
        if self.reason is not None:
            return "stopped" if self._is_stopped else "failed"
        return "finished" if self.trainer.epoch >= self.config.recipe.epochs else "running"

    def step(self) -> Row | None:
        """Train one epoch and return its row; None if a number is not finite, which fails the trial."""
        began, self.is_saved = time.perf_counter(), False
        try:
            row = self.trainer.train_epoch()
        except NotFinite as fault:
            self._lost = time.perf_counter() - began
            self.reason = str(fault)
            return None
        self.rows.append(row)
        return row

    def stop(self, reason: str) -> None:
        """End the trial here; nothing changes where it has ended."""
        if self.status == "running":
            self._is_stopped, self.reason, self.is_saved = True, reason, False

    def wants_checkpoint(self) -> bool:
        """Whether the checkpoint interval has passed; always true at the end of the trial."""
        due = self.config.run.checkpoint
        if self.status != "running":
            return True
        by_time = due.seconds is not None and time.monotonic() - self._saved_at >= due.seconds
        return by_time or (due.epochs is not None and self.trainer.epoch - self._saved_epoch >= due.epochs)

    def saved(self) -> None:
        """Note that a checkpoint was written, from which the interval to the next one counts."""
        self._saved_at, self._saved_epoch, self.is_saved = time.monotonic(), self.trainer.epoch, True

    def manifest(self) -> Manifest:
        """Describe the trial as it stands."""
        selected = self.trainer.selected
        labels = self.trainer.materials.arrays.test_labels
        manifest = describe(
            self.config,
            self.rows,
            selected.row if selected else None,
            status=self.status,
            reason=self.reason,
            starts=self.starts,
            test_examples=len(labels),
            chance=100 * float(labels.bincount().max()) / len(labels),
            machine=machine(self.device),
            remarks=self.remarks,
            **dataclasses.asdict(self.trainer.materials.inputs),
        )
        if self._lost is not None:
            manifest = manifest.model_copy(update={"summary": self._with_lost(manifest.summary, self._lost)})
        return manifest

    def contents(self) -> Contents:
        """Return what a checkpoint holds besides its manifest."""
        selected = self.trainer.selected
        state: dict[str, Any] = {} if self.status == "failed" else self.trainer.state()
        weights, correct = (selected.weights, selected.correct) if selected else (None, None)
        return Contents(self.rows, state, weights, correct)

    def restore(self, checkpoint: Checkpoint) -> None:
        """Resume from a checkpoint of this trial, as if it had never been interrupted.

        Raises:
            ValueError: the checkpoint belongs to another trial.
            ChangedInputs: it was trained on other data, or with another teacher, than there is now.
        """
        manifest = checkpoint.manifest
        if manifest.fingerprint != self.config.fingerprint():
            raise ValueError(
                f"a trial goes on only from its own checkpoint: {checkpoint.storage.path(checkpoint.name)} has "
                f"fingerprint {manifest.fingerprint}, the trial has {self.config.fingerprint()}"
            )
        began_with = Inputs(manifest.data, manifest.teacher)
        began_with.require(self.trainer.materials.inputs, "this trial was trained")
        rows = checkpoint.rows()
        by_epoch = {row["epoch"]: row for row in rows}
        selected = None
        if manifest.summary.selected_epoch is not None:
            correct = checkpoint.test_correct(len(self.trainer.materials.arrays.test_labels))
            selected = Selected(by_epoch[manifest.summary.selected_epoch], checkpoint.best(), correct)
        self.trainer.restore(checkpoint.state(), selected)
        self.rows = rows
        moved = _moved(manifest.machine, machine(self.device))
        self.remarks = tuple(dict.fromkeys((*manifest.remarks, *self.remarks, *moved)))
        self._saved_epoch = len(rows)

    def _with_lost(self, summary: Summary, lost: float) -> Summary:
        """Add the cost of the epoch that failed, which has no row; ``lost`` is its seconds."""
        trainer = self.trainer
        return summary.model_copy(
            update={
                "epoch_seconds": summary.epoch_seconds + lost,
                "device_seconds": summary.device_seconds + lost * trainer.device_share,
                "tflop": trainer.tflop,
                "eval_tflop": trainer.eval_tflop,
                "teacher_tflop": trainer.teacher_tflop,
            }
        )


_AT_SELECTED = tuple(f"{part}_{name}" for part in ("val", "test") for name in ("loss", "top1", "top5", "ece"))
_SUMMED = ("epoch_seconds", "device_seconds", "eval_seconds", "teacher_seconds")
_CUMULATIVE = ("tflop", "eval_tflop", "teacher_tflop")


def describe(config: TrialConfig, rows: Sequence[Row], selected: Row | None, **rest: Any) -> Manifest:
    """Return the manifest of a trial, from its configuration and its rows so far.

    Args:
        config: the trial.
        rows: its epochs so far.
        selected: the row of the epoch that validation selects.
        rest: other fields of the manifest: status, reason, starts, machine and so on.
    """
    values: dict[str, Any] = {name: sum(row.get(name) or 0.0 for row in rows) for name in _SUMMED}
    values |= {name: rows[-1].get(name) or 0.0 for name in _CUMULATIVE} if rows else {}
    if selected is not None:
        values |= {"selected_epoch": selected["epoch"], **{name: selected.get(name) for name in _AT_SELECTED}}
    run = config.run
    return Manifest(
        study=run.study,
        uid=run.uid,
        trial=run.trial,
        arm=run.arm,
        setting=run.setting,
        seed=config.seed,
        suggestion=run.suggestion,
        search=run.search,
        scheduler=run.scheduler,
        fingerprint=config.fingerprint(),
        config=config.identity(),
        attempt=run.attempt,
        epoch=len(rows),
        epochs=config.recipe.epochs,
        summary=Summary(**values),
        **rest,
    )


def machine(device: torch.device) -> dict[str, Any]:
    """Describe this machine, for the record and to detect a resume on another kind of machine."""
    return {
        "host": socket.gethostname(),
        "processor": platform.machine(),
        "model": _processor(),
        "device": torch.cuda.get_device_name(device) if device.type == "cuda" else "cpu",
        "threads": torch.get_num_threads(),
        "python": sys.version.split()[0],
        **_versions(),
    }


@functools.cache
def _versions() -> dict[str, str]:
    return {name: version(name) for name in ("torch", "numpy", "ray")}


def _moved(before: Mapping[str, Any], now: Mapping[str, Any]) -> tuple[str, ...]:
    """Name what changed in the machine, in a remark; results may differ in their last bits."""
    kinds = ("processor", "model", "device", "threads", "torch")
    changed = [f"{before[kind]} to {now[kind]}" for kind in kinds if kind in before and before[kind] != now[kind]]
    return (f"trained on more than one kind of machine ({', '.join(changed)})",) if changed else ()


@functools.cache
def _processor() -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
    except OSError:
        return platform.processor()
    return next(
        (line.partition(":")[2].strip() for line in lines if line.startswith("model name")), platform.processor()
    )
