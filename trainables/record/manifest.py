"""What a checkpoint says of its trial: the types of ``manifest.json``, and of an epoch's row."""

from typing import Any, Literal

import pydantic

from trainables.checksums import FileStamp

SCHEMA = 3

Row = dict[str, float | int | None]
"""The numbers of one epoch, by name (docs/record.md)."""

Status = Literal["running", "finished", "stopped", "failed"]
"""Stopped: by a scheduler, before its last epoch."""


class _Stored(pydantic.BaseModel):
    """Ignores unknown keys, which a newer version may have written."""

    model_config = pydantic.ConfigDict(frozen=True, extra="ignore")


class Start(_Stored):
    """One start or resumption of a trial's training."""

    attempt: int
    """Number of the launch."""
    incarnation: int = 1
    """How many times the launch has started the trial, this time included."""
    epoch: int
    """Epochs that were done before it."""
    time_ms: int
    host: str
    pid: int


class Summary(_Stored):
    """A trial's numbers at its selected epoch, and its totals so far. Accuracies and calibration errors are percent."""

    selected_epoch: int | None = None
    val_loss: float | None = None
    val_top1: float | None = None
    val_top5: float | None = None
    val_ece: float | None = None
    test_loss: float | None = None
    test_top1: float | None = None
    test_top5: float | None = None
    test_ece: float | None = None
    epoch_seconds: float = 0.0
    device_seconds: float = 0.0
    eval_seconds: float = 0.0
    teacher_seconds: float = 0.0
    tflop: float = 0.0
    eval_tflop: float = 0.0
    teacher_tflop: float = 0.0


class Manifest(_Stored):
    """What a checkpoint holds, and the stamps of its files."""

    version: int = SCHEMA
    study: str
    uid: str
    trial: str
    arm: str
    setting: str
    seed: int
    suggestion: int | None = None
    """Its number in the search of its seed, from 1; None in a grid."""
    search: dict[str, Any] | None = None
    """What decided the suggestion, besides the earlier trials; None in a grid."""
    scheduler: dict[str, Any] | None = None
    """What may stop it before its end; None where nothing does."""
    fingerprint: str
    config: dict[str, Any]
    """``TrialConfig.identity()``: everything that decides the numbers."""
    data: str | None = None
    """SHA-256 of the data that it is trained on: images, labels and split."""
    teacher: str | None = None
    """SHA-256 of the file of the teacher's weights that it reads; None if it reads none."""
    attempt: int
    epoch: int
    """Epochs done."""
    epochs: int
    status: Status
    reason: str | None = None
    """Why it failed, or was stopped."""
    traceback: str | None = None
    """Of the exception that failed it."""
    starts: list[Start] = []
    summary: Summary = Summary()
    test_examples: int | None = None
    """The number of test examples."""
    chance: float | None = None
    """Percent of the test examples that are of the most frequent class: what one answer for all of them gets."""
    machine: dict[str, Any] = {}
    """Host, processor, device, threads, and versions of Python and packages."""
    remarks: tuple[str, ...] = ()
    """Caveats for readers of the numbers: options that the machine lacks, or a change of machine."""
    files: dict[str, FileStamp] = {}
