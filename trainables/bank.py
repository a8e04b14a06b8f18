"""The teacher bank: the teacher's outputs by (example, view), computed once and read by every trial of every study.

A bank is a folder of immutable segments::

    .banks/<teacher>-<data>/segment-<uuid>/
        keys.npy       int64, shape (R,), ascending: example x views + view
        logits.npy     float32 or uint16, shape (R, C)
        pooled.npy     the same, shape (R, D); only where a distiller asked for it
        *.scale.npy    float32, shape (R, 2): of a uint16 row, what 0 stands for, and the step from one to the next
        segment.json   written last: what made it, its cost, and each file's size and SHA-256

A bank grows by segments that hold what is missing; a segment that is damaged or not complete is passed over, and what
it held counts as missing. So a crash costs one segment, several processes may fill a bank at once, and object storage,
which has no locks and no renames, will do. Files are memory-mapped: trials on a machine share one copy in its page
cache.
"""

# R rows of a segment, C classes, D width of the pooled vector, B batch

import contextlib
import dataclasses
import hashlib
import io
import json
import logging
import uuid
from abc import ABC, abstractmethod
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, Literal

import filelock
import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from trainables import streams
from trainables.data import Arrays, DataOptions
from trainables.data.files import cache_folder
from trainables.flops import forward_flops
from trainables.hashing import digest, file_sha256
from trainables.models import Features, Network
from trainables.storage import Storage

log = logging.getLogger(__name__)

#: Keys of pairs (example, view), shape (pairs,), int64.
Keys = NDArray[np.int64]
#: Logits and pooled vectors (None where the bank holds none), float32, rows in the order of the keys.
Rows = tuple[NDArray[np.float32], NDArray[np.float32] | None]

#: How numbers are kept: as they are, or as one of 65,536 equal steps from the smallest of a row to its largest. The
#: steps are some thirty times finer than those of half precision at a logit of ten (docs/performance.md).
Precision = Literal["float32", "fixed16"]
PRECISIONS: Mapping[str, Precision] = {"bank32": "float32", "bank16": "fixed16"}

_KEYS, _LOGITS, _POOLED, _META = "keys", "logits", "pooled", "segment.json"
_STEPS = 65_535
_VERSION = 1


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
        # Not inference mode: what it makes can't be saved for a backward pass, as some losses do.
        with torch.no_grad():
            return self.teacher.features(images)


class Banked(TeacherSource):
    """Outputs read from a bank: one look-up per chunk of steps, then slices."""

    def __init__(self, bank: "OpenBank", device: torch.device) -> None:
        self.bank, self.device = bank, device
        self._logits = self._pooled = torch.empty(0)

    def start(self, ids: Tensor, views: Tensor) -> None:
        logits, pooled = self.bank.rows(keys_of(ids.numpy(), views.numpy(), self.bank.views))
        self._logits = self._moved(logits)
        self._pooled = self._moved(pooled) if pooled is not None else self._logits.new_empty(0)

    def batch(self, begin: int, end: int, images: Tensor) -> Features:
        return Features(self._logits[begin:end], (), self._pooled[begin:end])

    def _moved(self, rows: NDArray[np.float32]) -> Tensor:
        tensor = torch.from_numpy(rows)
        # Without pinning, a copy to a GPU would wait for the GPU.
        return (
            (tensor.pin_memory() if self.device.type == "cuda" else tensor).to(self.device, non_blocking=True).float()
        )


# -- which pairs -----------------------------------------------------------------------------------------------------


def keys_of(ids: NDArray[np.int64], views: NDArray[np.int64], count: int) -> Keys:
    """The keys of pairs (example, view), where an example has ``count`` views."""
    return ids * count + views


def needed(epochs: Mapping[int, int], members: NDArray[np.int64], examples: int, views: int) -> Keys:
    """The keys that trials will draw, ascending, each once.

    Args:
        epochs: how many epochs are trained with each seed.
        members: ids of the examples that are trained on, ascending.
        examples: of the data set.
        views: of an example.
    """
    seen = np.zeros((len(members), views), dtype=np.bool_)
    places = np.arange(len(members))
    for seed, count in epochs.items():
        for epoch in range(1, (min(count, 1) if views == 1 else count) + 1):
            seen[places, streams.views(seed, epoch, examples, views)[members]] = True
    place, view = np.nonzero(seen)
    return keys_of(members[place], view, views)


def share_of(epochs: Mapping[int, int], views: int) -> float:
    """How many different views of an example the epochs will draw, on average; needs no data.

    Of V views, D draws see V (1 - (1 - 1/V)^D).
    """
    return float(views * -np.expm1(sum(epochs.values()) * np.log1p(-1 / views))) if views > 1 else 1.0


def row_bytes(precision: Precision, *widths: int) -> int:
    """What a pair takes in a bank: its key, and rows of so many numbers."""
    return 8 + sum(4 * width if precision == "float32" else 2 * width + 8 for width in widths)


# -- segments --------------------------------------------------------------------------------------------------------


@dataclasses.dataclass(frozen=True)
class BankCost:
    """What a bank, or a segment of one, cost: once, the teacher's work, outside the headline."""

    pairs: int = 0
    seconds: float = 0.0
    """Of wall time."""
    device_seconds: float = 0.0
    tflop: float = 0.0
    bytes: int = 0

    def __add__(self, other: "BankCost") -> "BankCost":
        return BankCost(*(a + b for a, b in zip(dataclasses.astuple(self), dataclasses.astuple(other), strict=True)))


@dataclasses.dataclass(frozen=True)
class Table:
    """Rows of numbers as they are kept."""

    values: NDArray[Any]
    scale: NDArray[np.float32] | None
    """None where the values are the numbers."""

    @classmethod
    def of(cls, rows: NDArray[Any], precision: Precision) -> "Table":
        """The rows in a precision."""
        if precision == "float32":
            return cls(rows.astype(np.float32), None)
        exact = rows.astype(np.float64)
        low, high = exact.min(axis=1, keepdims=True), exact.max(axis=1, keepdims=True)
        step = np.where(high > low, (high - low) / _STEPS, 1.0)
        scale: NDArray[np.float32] = np.concatenate([low, step], axis=1).astype(np.float32)
        return cls(np.rint((exact - low) / step).astype(np.uint16), scale)

    @classmethod
    def zeros(cls, rows: int, width: int, precision: Precision) -> "Table":
        """Rows of zeros, which take no memory before they are read."""
        if precision == "float32":
            return cls(np.zeros((rows, width), np.float32), None)
        return cls(np.zeros((rows, width), np.uint16), np.zeros((rows, 2), np.float32))

    @property
    def width(self) -> int:
        return int(self.values.shape[1])

    def read(self, places: Keys) -> NDArray[np.float32]:
        """Some of the rows, as numbers."""
        rows: NDArray[np.float32] = self.values[places].astype(np.float32)
        if self.scale is not None:
            scale = self.scale[places]
            rows *= scale[:, 1:]
            rows += scale[:, :1]
        return rows


@dataclasses.dataclass(frozen=True)
class Segment:
    """A complete segment on this machine."""

    keys: Keys
    logits: Table
    pooled: Table | None

    @property
    def first(self) -> int:
        return int(self.keys[0])

    @property
    def last(self) -> int:
        return int(self.keys[-1])


class OpenBank:
    """The segments of a bank that were complete when it was opened.

    Args:
        segments: all of one precision.
        views: of an example.
    """

    def __init__(self, segments: Sequence[Segment], views: int) -> None:
        self.segments, self.views = tuple(segments), views

    def missing(self, keys: Keys) -> Keys:
        """Those of the keys, ascending, that it lacks."""
        found = np.zeros(len(keys), dtype=np.bool_)
        for _, _, span, hit in self._found(keys):
            found[span] |= hit
        return keys[~found]

    def rows(self, keys: Keys) -> Rows:
        """The outputs for keys in any order.

        Raises:
            KeyError: it lacks some.
        """
        order = np.argsort(keys)
        ordered, lacks = keys[order], np.ones(len(keys), dtype=np.bool_)
        logits: NDArray[np.float32] | None = None
        pooled: NDArray[np.float32] | None = None
        for segment, places, span, hit in self._found(ordered):
            if logits is None:
                logits = np.empty((len(keys), segment.logits.width), np.float32)
                if segment.pooled is not None:
                    pooled = np.empty((len(keys), segment.pooled.width), np.float32)
            target, source = order[span][hit], places[hit]
            logits[target] = segment.logits.read(source)
            if pooled is not None and segment.pooled is not None:
                pooled[target] = segment.pooled.read(source)
            lacks[span] &= ~hit
        if logits is None or lacks.any():
            example, view = divmod(int(ordered[np.argmax(lacks)]) if len(keys) else 0, self.views)
            raise KeyError(
                f"the bank must hold all {len(keys)} pairs of example and view, but it lacks {int(lacks.sum())}, "
                f"e.g. example {example}, view {view}"
            )
        return logits, pooled

    def _found(self, ordered: Keys) -> Iterator[tuple[Segment, Keys, slice, NDArray[np.bool_]]]:
        """For each segment: places in it of a slice of the ordered keys, the slice, and which of these it has."""
        for segment in self.segments:
            low, high = np.searchsorted(ordered, (segment.first, segment.last + 1))
            if low < high:
                span = slice(int(low), int(high))
                places = np.searchsorted(segment.keys, ordered[span])
                yield segment, places, span, segment.keys[places] == ordered[span]


@dataclasses.dataclass(frozen=True)
class Bank:
    """The bank of one teacher and one data set, in one precision, as it lies in a storage."""

    folder: Storage
    views: int
    precision: Precision
    pooled: bool
    """Whether pooled vectors are asked for, too; segments without them then do not count."""

    @classmethod
    def at(
        cls, banks: Storage, teacher: str, data: DataOptions, arrays: Arrays, precision: Precision, pooled: bool
    ) -> "Bank":
        """The bank in a folder of banks, by the teacher's fingerprint, and the pixels and views of the data."""
        mark = digest({"pixels": arrays.fingerprint(), "views": data.views.plain()})
        return cls(banks.within(f"{teacher}-{mark}"), data.views.count, precision, pooled)

    @property
    def name(self) -> str:
        """Of its folder."""
        return self.folder.root.rpartition("/")[2]

    def open(self) -> OpenBank:
        """Opens the complete segments; from object storage they are first copied to this machine, once."""
        return OpenBank([segment for name in self.folder.names() if (segment := self._segment(name))], self.views)

    def write(self, keys: Keys, rows: Rows, cost: BankCost) -> BankCost:
        """Adds a segment, and returns its cost with its bytes. The keys ascend; rows are kept in the bank's precision.

        Raises:
            ValueError: an output is not finite.
        """
        tables = {name: table for name, table in zip((_LOGITS, _POOLED), rows, strict=True) if table is not None}
        contents = {_KEYS: _npy(keys)}
        for file, table in tables.items():
            if not np.isfinite(table).all():
                raise ValueError("the teacher's outputs must be finite, but some are not")
            kept = Table.of(table, self.precision)
            contents[file] = _npy(kept.values)
            if kept.scale is not None:
                contents[f"{file}.scale"] = _npy(kept.scale)
        name = f"segment-{uuid.uuid4().hex}"
        for file, content in contents.items():
            self.folder.write(f"{name}/{file}.npy", content)
        stamps = {file: {"size": len(content), "sha256": _sha256(content)} for file, content in contents.items()}
        cost = dataclasses.replace(cost, bytes=sum(len(content) for content in contents.values()))
        meta = {
            "version": _VERSION,
            "views": self.views,
            "precision": self.precision,
            "cost": dataclasses.asdict(cost),
            "files": stamps,
        }
        self.folder.write(f"{name}/{_META}", json.dumps(meta, indent=1).encode())
        return cost

    def _segment(self, name: str) -> Segment | None:
        try:
            meta = json.loads(self.folder.read(f"{name}/{_META}"))
        except FileNotFoundError:
            return None  # being written, or what a crash left
        except ValueError:
            log.warning("%s is damaged and passed over", self.folder.path(name))
            return None
        tables = (_LOGITS, *((_POOLED,) if self.pooled else ()))
        if meta["precision"] != self.precision or not meta["files"].keys() >= set(tables):
            return None
        scales = [f"{table}.scale" for table in tables] if self.precision == "fixed16" else []
        files = {f"{file}.npy": meta["files"][file] for file in (_KEYS, *tables, *scales)}
        here = Path(self.folder.path(name)) if self.folder.is_local else _copied(self.folder, name, files)
        for file, stamp in files.items():
            path = here / file
            if not path.exists() or path.stat().st_size != stamp["size"] or file_sha256(str(path)) != stamp["sha256"]:
                log.warning("%s is damaged and passed over, with its segment", path)
                return None
        arrays = {file.removesuffix(".npy"): np.load(here / file, mmap_mode="r", allow_pickle=False) for file in files}
        found = {table: Table(arrays[table], arrays.get(f"{table}.scale")) for table in tables}
        return Segment(arrays[_KEYS], found[_LOGITS], found.get(_POOLED))


def paid(folder: Storage) -> BankCost:
    """The cost of all complete segments in a bank's folder, by what they say of themselves."""
    total = BankCost()
    for name in folder.names():
        with contextlib.suppress(FileNotFoundError, ValueError):
            total = total + BankCost(**json.loads(folder.read(f"{name}/{_META}"))["cost"])
    return total


def _copied(folder: Storage, name: str, files: Mapping[str, Mapping[str, Any]]) -> Path:
    """A segment's folder on this machine; its files are fetched by the first process that asks."""
    here = cache_folder().parent / "banks" / folder.root.rpartition("/")[2] / name
    here.mkdir(parents=True, exist_ok=True)
    with filelock.FileLock(f"{here}.lock"):
        for file, stamp in files.items():
            if not (here / file).exists() or (here / file).stat().st_size != stamp["size"]:
                Storage.at(str(here)).write(file, folder.read(f"{name}/{file}"))
    return here


def _npy(table: NDArray[Any]) -> bytes:
    buffer = io.BytesIO()
    np.save(buffer, table, allow_pickle=False)
    return buffer.getvalue()


def _sha256(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()
