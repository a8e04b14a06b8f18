"""Checkpoints: written whole, read only as far as their manifests prove them."""

import dataclasses
import io
import json
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import pydantic
import torch
from numpy.typing import NDArray

from trainables import checksums
from trainables.record.manifest import SCHEMA, Manifest, Row
from trainables.storage import Storage

MANIFEST, HISTORY, STATE, BEST, CORRECT = "manifest.json", "history.jsonl", "state.pt", "best.pt", "test_correct.bits"
_FILES = {HISTORY, STATE, BEST, CORRECT}


class Damaged(ValueError):
    """A file of a record is not what was written."""


@dataclasses.dataclass(frozen=True)
class Contents:
    """What a checkpoint holds besides its manifest."""

    rows: Sequence[Row]
    """Every epoch's row so far."""
    state: dict[str, Any]
    """What training resumes from."""
    best: dict[str, Any] | None = None
    """The student's weights at the selected epoch; None where none is selected."""
    correct: NDArray[np.bool_] | None = None
    """Which test examples are right there, shape (test examples,); None where none is selected."""


@dataclasses.dataclass(frozen=True)
class Checkpoint:
    """A complete checkpoint. What is read is compared with its manifest."""

    storage: Storage
    """The trial's folder."""
    name: str
    """The path of its folder in there, ``run-LLLLLL-III/checkpoint_NNNNNN``."""
    manifest: Manifest

    def rows(self) -> list[Row]:
        """Return the row of every epoch so far, in order."""
        rows = [json.loads(line) for line in self._read(HISTORY).splitlines()]
        if not all(isinstance(row, dict) and row.get("epoch") == epoch for epoch, row in enumerate(rows, start=1)):
            raise Damaged(f"{self.storage.path(self.name, HISTORY)} holds no rows of epochs 1, 2, ...")
        return rows

    def state(self) -> dict[str, Any]:
        """Return the state that training resumes from, on the CPU."""
        return self._tensors(STATE)

    def best(self) -> dict[str, Any]:
        """Return the student's state dict at the selected epoch, on the CPU."""
        return self._tensors(BEST)

    def test_correct(self, count: int) -> NDArray[np.bool_]:
        """Return which of the ``count`` test examples are right at the selected epoch, shape (count,)."""
        bits = np.frombuffer(self._read(CORRECT), dtype=np.uint8)
        return np.unpackbits(bits, count=count).astype(np.bool_)

    def _tensors(self, file: str) -> dict[str, Any]:
        loaded: dict[str, Any] = torch.load(io.BytesIO(self._read(file)), map_location="cpu", weights_only=True)
        return loaded

    def _read(self, file: str) -> bytes:
        """Return a file's content.

        Raises:
            Damaged: it is not listed, or has changed.
        """
        content, stamp = self.storage.read(f"{self.name}/{file}"), self.manifest.files.get(file)
        if stamp is None or checksums.sha256(content) != stamp.sha256:
            raise Damaged(f"{self.storage.path(self.name, file)} has changed since it was written")
        return content


def packed(manifest: Manifest, contents: Contents) -> dict[str, bytes]:
    """Return the files of a checkpoint, by name, the manifest last and with the stamps of the others.

    Raises:
        ValueError: a number in a row is not finite.
    """
    lines = (json.dumps(row, allow_nan=False) + "\n" for row in contents.rows)
    files = {HISTORY: "".join(lines).encode(), STATE: _packed(contents.state)}
    if contents.best is not None:
        files[BEST] = _packed(contents.best)
    if contents.correct is not None:
        files[CORRECT] = np.packbits(contents.correct).tobytes()
    stamped = manifest.model_copy(update={"files": checksums.stamp(files)})
    return {**files, MANIFEST: checksums.sealed(stamped.model_dump(mode="json"))}


def verify(trial: Storage, name: str, sizes: dict[str, int], check_hashes: bool) -> Checkpoint | str:
    """Return a checkpoint if it is whole, else what is wrong with it.

    Args:
        trial: the trial's folder.
        name: the path of the checkpoint's folder in there.
        sizes: of the files in it.
        check_hashes: whether to read its files and compare their hashes; sizes are always compared.
    """
    if MANIFEST not in sizes:
        return "no manifest: the save was cut short"
    try:
        content = checksums.unsealed(trial.read(f"{name}/{MANIFEST}"))
        if content.get("version") != SCHEMA:
            return f"its schema is {content.get('version')}, and this version reads {SCHEMA}"
        manifest = Manifest.model_validate(content)
    except FileNotFoundError:
        return "it was removed"
    except (ValueError, pydantic.ValidationError) as error:
        return f"the manifest cannot be read: {str(error).splitlines()[0]}"
    if not manifest.files.keys() <= _FILES:
        return f"the manifest lists {', '.join(sorted(manifest.files.keys() - _FILES))}, which no checkpoint holds"
    folder = trial.within(name)
    hashed: Callable[[str], str] | None = (lambda file: checksums.sha256(folder.read(file))) if check_hashes else None
    fault = checksums.fault(sizes, manifest.files, hashed)
    return Checkpoint(trial, name, manifest) if fault is None else fault


def _packed(tensors: dict[str, Any]) -> bytes:
    buffer = io.BytesIO()
    torch.save(tensors, buffer)
    return buffer.getvalue()
