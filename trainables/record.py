"""Writes and reads a trial's folder; no other module does.

``<trial>/checkpoint_NNNNNN/`` holds ``history.jsonl`` (the row of every epoch so far), ``state.pt`` (the state that
training resumes from), ``best.pt`` (the student's weights at the selected epoch), ``test_correct.bits`` (which test
examples it classified correctly, one bit each, ``numpy.packbits``) and ``manifest.json``, which is written last and
holds the size and SHA-256 of the others. A checkpoint that does not match its manifest is ignored, and the one before
it is used. Teachers are recorded in the same form.
"""

import dataclasses
import io
import json
import logging
import re
from typing import Any, Literal

import numpy as np
import pydantic
import torch
from numpy.typing import NDArray

from trainables import checksums
from trainables.checksums import FileStamp
from trainables.storage import Storage

log = logging.getLogger(__name__)

SCHEMA = 1
MANIFEST, HISTORY, STATE, BEST, CORRECT = "manifest.json", "history.jsonl", "state.pt", "best.pt", "test_correct.bits"
CHECKPOINTS_PER_ATTEMPT = 10_000

Row = dict[str, float | int | None]
"""The numbers of one epoch, by name (docs/record.md)."""

Status = Literal["running", "finished", "failed"]


class _Stored(pydantic.BaseModel):
    """Ignores unknown keys, which a newer version may have written."""

    model_config = pydantic.ConfigDict(frozen=True, extra="ignore")


class Start(_Stored):
    """One start or resumption of a trial's training."""

    attempt: int
    """Number of the launch."""
    epoch: int
    """Epochs that were done before it."""
    time_ms: int
    host: str
    pid: int


class Summary(_Stored):
    """A trial's numbers at its selected epoch, and its totals so far. Accuracies are percent."""

    selected_epoch: int | None = None
    val_loss: float | None = None
    val_top1: float | None = None
    val_top5: float | None = None
    test_loss: float | None = None
    test_top1: float | None = None
    test_top5: float | None = None
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
    fingerprint: str
    config: dict[str, Any]
    """``TrialConfig.identity()``: everything that decides the numbers."""
    attempt: int
    epoch: int
    """Epochs done."""
    epochs: int
    status: Status
    reason: str | None = None
    starts: list[Start] = []
    summary: Summary = Summary()
    test_examples: int | None = None
    """The number of test examples."""
    machine: dict[str, Any] = {}
    """Host, processor, device, threads, and versions of Python and packages."""
    remarks: tuple[str, ...] = ()
    """Caveats for readers of the numbers: options that the machine lacks, or a change of machine."""
    files: dict[str, FileStamp] = {}


@dataclasses.dataclass(frozen=True)
class Checkpoint:
    """A complete checkpoint."""

    storage: Storage
    name: str
    """The name of its folder, ``checkpoint_NNNNNN``."""
    manifest: Manifest

    @property
    def index(self) -> int:
        return int(self.name.rpartition("_")[2])

    def rows(self) -> list[Row]:
        """Return the row of every epoch so far, in order."""
        return [json.loads(line) for line in self.storage.read(f"{self.name}/{HISTORY}").splitlines()]

    def state(self) -> dict[str, Any]:
        """Return the state that training resumes from, on the CPU."""
        return self._tensors(STATE)

    def best(self) -> dict[str, Any]:
        """Return the student's state dict at the selected epoch, on the CPU."""
        return self._tensors(BEST)

    def test_correct(self, count: int) -> NDArray[np.bool_]:
        """Return which of the ``count`` test examples are right at the selected epoch, shape (count,)."""
        bits = np.frombuffer(self.storage.read(f"{self.name}/{CORRECT}"), dtype=np.uint8)
        return np.unpackbits(bits, count=count).astype(np.bool_)

    def _tensors(self, file: str) -> dict[str, Any]:
        content = self.storage.read(f"{self.name}/{file}")
        loaded: dict[str, Any] = torch.load(io.BytesIO(content), map_location="cpu", weights_only=True)
        return loaded


@dataclasses.dataclass(frozen=True)
class Scan:
    """The checkpoints in a trial's folder."""

    newest: Checkpoint | None
    """The newest complete checkpoint."""
    next_index: int
    """An index higher than that of any checkpoint, complete or not."""
    damaged: tuple[str, ...]
    """The incomplete or damaged checkpoints newer than ``newest``, each with the reason."""


def write_checkpoint(
    folder: Storage,
    manifest: Manifest,
    rows: list[Row],
    state: dict[str, Any],
    best: dict[str, Any] | None,
    correct: NDArray[np.bool_] | None,
) -> Manifest:
    """Write a checkpoint into a folder of its own, the manifest last.

    Args:
        folder: the checkpoint's folder.
        manifest: without stamps.
        rows: every epoch's row so far.
        state: what training resumes from.
        best: the student's weights at the selected epoch; None where none is selected.
        correct: which test examples are right there, shape (test examples,); None where none is selected.

    Returns:
        The manifest with the stamps of the files.

    Raises:
        ValueError: a number in a row is not finite.
    """
    contents = {
        HISTORY: "".join(json.dumps(row, allow_nan=False) + "\n" for row in rows).encode(),
        STATE: _packed(state),
    }
    if best is not None:
        contents[BEST] = _packed(best)
    if correct is not None:
        contents[CORRECT] = np.packbits(correct).tobytes()
    manifest = manifest.model_copy(update={"files": checksums.stamp(contents)})
    checksums.write(folder, contents, MANIFEST, manifest.model_dump_json(indent=1).encode())
    return manifest


def write_into(trial: Storage, index: int, *what: Any) -> Manifest:
    """Write a checkpoint with a number into a trial's folder; ``what`` is as in ``write_checkpoint``."""
    return write_checkpoint(trial.within(checkpoint_name(index)), *what)


def checkpoint_name(index: int) -> str:
    """Return the name of a checkpoint's folder."""
    return f"checkpoint_{index:06d}"


def scan(trial: Storage, check_hashes: bool = True, level: int = logging.WARNING) -> Scan:
    """Find the newest complete checkpoint in a trial's folder.

    Args:
        trial: the trial's folder.
        check_hashes: whether to compare hashes, for which every file is read; sizes are always compared.
        level: the log level for a checkpoint that is ignored; a trial that is being saved has one for a moment.
    """
    names = sorted(name for name in trial.names() if re.fullmatch(r"checkpoint_\d{6,}", name))
    # Numbers grow with time: within a launch, and from one launch to the next.
    names.sort(key=lambda name: int(name.rpartition("_")[2]))
    next_index = int(names[-1].rpartition("_")[2]) + 1 if names else 0
    damaged: list[str] = []
    for name in reversed(names):
        manifest, fault = _verify(trial, name, check_hashes)
        if manifest is not None:
            return Scan(Checkpoint(trial, name, manifest), next_index, tuple(damaged))
        damaged.append(f"{name}: {fault}")
        log.log(level, "%s is passed over: %s", trial.path(name), fault)
    return Scan(None, next_index, tuple(damaged))


def prune(trial: Storage, keep: int = 2) -> None:
    """Remove the checkpoints older than the ``keep``-th newest complete one."""
    complete = 0
    names = [name for name in trial.names() if re.fullmatch(r"checkpoint_\d{6,}", name)]
    for name in sorted(names, key=lambda name: -int(name.rpartition("_")[2])):
        if complete >= keep:
            trial.remove_folder(name)
        elif _verify(trial, name, check_hashes=False)[0] is not None:
            complete += 1


def _verify(trial: Storage, name: str, check_hashes: bool) -> tuple[Manifest | None, str]:
    try:
        manifest = Manifest.model_validate_json(trial.read(f"{name}/{MANIFEST}"))
    except FileNotFoundError:
        return None, "no manifest: the save was cut short"
    except pydantic.ValidationError:
        return None, "the manifest cannot be read"
    if manifest.version > SCHEMA:
        return None, f"schema {manifest.version} is newer than this version's {SCHEMA}"
    checkpoint = trial.within(name)
    fault = checksums.fault(
        checkpoint, manifest.files, (lambda file: checksums.sha256(checkpoint.read(file))) if check_hashes else None
    )
    if fault is not None:
        return None, fault
    return manifest, ""


def _packed(tensors: dict[str, Any]) -> bytes:
    buffer = io.BytesIO()
    torch.save(tensors, buffer)
    return buffer.getvalue()
