"""The teacher's outputs: computed once and kept by (example, view), or computed at every step.

A bank lies in ``.banks/<teacher>-<data>/`` of the storage: ``logits.npy`` (float32, shape (N, C), by example id;
examples that no trial sees are NaN) and ``bank.json``, written last, with fingerprints, cost, and the file's size
and SHA-256. It is memory-mapped, so that all trials on a machine share one copy. Today it holds data sets of one
view, whose outputs are a table.
"""

# N examples, C classes, B batch

import dataclasses
import hashlib
import io
import json
import time
from abc import ABC, abstractmethod
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from trainables.data import Arrays, normalise
from trainables.flops import forward_flops
from trainables.models import Features, Network
from trainables.storage import Storage

LOGITS, META = "logits.npy", "bank.json"
_BATCH = 256  # larger batches are slower on a CPU, not faster


class TeacherSource(ABC):
    """Where a trial's teacher outputs come from."""

    tflop_per_image: float = 0.0
    """Arithmetic that reading one image's outputs costs here, in TFLOP."""

    @abstractmethod
    def start(self, ids: Tensor, views: Tensor) -> None:
        """Announces the examples of the next steps, in order, as ids and views of shape (n,), on the CPU."""

    @abstractmethod
    def batch(self, begin: int, end: int, images: Tensor) -> Features:
        """The outputs for the announced examples ``begin`` to ``end``, whose images, shape (B, K, S, S), are given."""


class Online(TeacherSource):
    """The teacher looks at every batch."""

    def __init__(self, teacher: Network, channels: int, size: int) -> None:
        self.teacher = teacher
        self.tflop_per_image = forward_flops(teacher, channels, size) / 1e12

    def start(self, ids: Tensor, views: Tensor) -> None:
        pass

    def batch(self, begin: int, end: int, images: Tensor) -> Features:
        with torch.no_grad():
            return self.teacher.features(images)


class LogitTable(TeacherSource):
    """Logits read from a table by example id; for data sets of one view."""

    def __init__(self, logits: NDArray[np.float32], device: torch.device) -> None:
        # The table is mapped read-only; torch only ever reads it.
        self.table, self.device = logits, device
        self.rows = torch.empty(0)

    def start(self, ids: Tensor, views: Tensor) -> None:
        self.rows = torch.from_numpy(self.table[ids.numpy()]).to(self.device, non_blocking=True)

    def batch(self, begin: int, end: int, images: Tensor) -> Features:
        return Features(self.rows[begin:end], (), self.rows.new_empty(0))


@dataclasses.dataclass(frozen=True)
class BankCost:
    """What a bank cost, once: teacher's work, outside the headline."""

    seconds: float
    tflop: float
    bytes: int


def bank_name(teacher_fingerprint: str, data_fingerprint: str) -> str:
    """The name of a bank's folder."""
    return f"{teacher_fingerprint}-{data_fingerprint}"


def find_bank(banks: Storage, teacher_fingerprint: str, data_fingerprint: str) -> BankCost | None:
    """The bank's cost, if there is a complete one."""
    folder = banks.within(bank_name(teacher_fingerprint, data_fingerprint))
    try:
        meta = json.loads(folder.read(META))
    except (FileNotFoundError, ValueError):
        return None
    return BankCost(**meta["cost"]) if folder.sizes().get(LOGITS) == meta["files"][LOGITS]["size"] else None


def make_bank(
    banks: Storage, teacher_fingerprint: str, data_fingerprint: str, teacher: Network, arrays: Arrays
) -> BankCost:
    """Computes the teacher's logits for every training example and stores them.

    Args:
        banks: the storage's folder of banks.
        teacher_fingerprint: of the teacher.
        data_fingerprint: of the arrays.
        teacher: in evaluation mode, on the CPU or a GPU.
        arrays: the data set.
    """
    began = time.perf_counter()
    device = next(teacher.parameters()).device
    with torch.inference_mode():
        chunks = [
            teacher(normalise(images.to(device), arrays.mean, arrays.std)).float().cpu()
            for images in torch.split(arrays.train_images, _BATCH)
        ]
    logits = torch.cat(chunks).numpy()
    seconds = time.perf_counter() - began
    buffer = io.BytesIO()
    np.save(buffer, logits, allow_pickle=False)
    content = buffer.getvalue()
    tflop = forward_flops(teacher, arrays.channels, arrays.size) * len(logits) / 1e12
    cost = BankCost(seconds, tflop, len(content))
    folder = banks.within(bank_name(teacher_fingerprint, data_fingerprint))
    folder.write(LOGITS, content)
    meta = {
        "teacher": teacher_fingerprint,
        "data": data_fingerprint,
        "dtype": "float32",
        "shape": list(logits.shape),
        "cost": dataclasses.asdict(cost),
        "files": {LOGITS: {"size": len(content), "sha256": hashlib.sha256(content).hexdigest()}},
    }
    folder.write(META, json.dumps(meta, indent=1).encode())
    return cost


def open_bank(banks: Storage, teacher_fingerprint: str, data_fingerprint: str) -> NDArray[np.float32]:
    """The bank's logits, shape (N, C): memory-mapped where the storage is local.

    Raises:
        FileNotFoundError: there is no such bank.
        ValueError: its file is not what its manifest says.
    """
    folder = banks.within(bank_name(teacher_fingerprint, data_fingerprint))
    stamp = json.loads(folder.read(META))["files"][LOGITS]
    content = folder.read(LOGITS)
    if len(content) != stamp["size"] or hashlib.sha256(content).hexdigest() != stamp["sha256"]:
        raise ValueError(
            f"{folder.path(LOGITS)} has changed since it was written; remove {folder.root} to have it made again"
        )
    source = Path(folder.path(LOGITS)) if folder.is_local else io.BytesIO(content)
    logits: NDArray[np.float32] = np.load(source, mmap_mode="r" if folder.is_local else None, allow_pickle=False)
    return logits
