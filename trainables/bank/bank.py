"""A bank in a storage: a folder of segments that is opened, read and extended."""

import contextlib
import dataclasses
import io
import logging
import uuid
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import filelock
import numpy as np
from numpy.typing import NDArray

from trainables import checksums
from trainables.bank.keys import Keys
from trainables.bank.segments import BankCost, Precision, Rows, Segment, Table
from trainables.checksums import FileStamp
from trainables.config import code_of_parts
from trainables.data import Arrays, DataOptions
from trainables.data.files import cache_folder
from trainables.hashing import digest, file_sha256
from trainables.models import ModelOptions
from trainables.storage import NotAFile, Storage

log = logging.getLogger(__name__)

_KEYS, _LOGITS, _POOLED, _META = "keys", "logits", "pooled", "segment.json"
_VERSION = 1
MARK = 16
"""How many digits of the weights' SHA-256 a bank's name begins with."""


class OpenBank:
    """The segments of a bank that were complete when it was opened.

    Args:
        segments: all in one precision.
        views: how many views an example has.
    """

    def __init__(self, segments: Sequence[Segment], views: int) -> None:
        self.segments, self.views = tuple(segments), views

    def missing(self, keys: Keys) -> Keys:
        """Return the keys that the bank lacks; ``keys`` must ascend."""
        found = np.zeros(len(keys), dtype=np.bool_)
        for _, _, span, hit in self._found(keys):
            found[span] |= hit
        return keys[~found]

    def rows(self, keys: Keys) -> Rows:
        """Return the outputs for keys in any order.

        Raises:
            KeyError: the bank lacks some of them.
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
        """Look up ascending keys in each segment.

        Yields:
            The segment, the places in it of a slice of the keys, the slice, and which of these keys it holds.
        """
        for segment in self.segments:
            low, high = np.searchsorted(ordered, (segment.first, segment.last + 1))
            if low < high:
                span = slice(int(low), int(high))
                places = np.searchsorted(segment.keys, ordered[span])
                yield segment, places, span, segment.keys[places] == ordered[span]


@dataclasses.dataclass(frozen=True)
class Bank:
    """The bank of one teacher and one data set, in one precision."""

    folder: Storage
    views: int
    precision: Precision
    pooled: bool
    """Whether pooled vectors are wanted, too; then segments without them are ignored."""

    @classmethod
    def at(
        cls,
        banks: Storage,
        weights: str,
        network: ModelOptions,
        data: DataOptions,
        arrays: Arrays,
        precision: Precision,
        pooled: bool,
    ) -> "Bank":
        """Return the bank of a teacher and of the pixels and views of a data set, all told apart by content.

        Args:
            banks: where banks lie.
            weights: SHA-256 of the teacher's weights.
            network: the options of the teacher.
            data: the options of the data set.
            arrays: the data set, on the CPU.
            precision: of the stored outputs.
            pooled: whether pooled vectors are wanted, too.
        """
        code = code_of_parts(network, "network") | code_of_parts(data.views, "views")
        mark = digest(
            {
                "network": network.plain(),
                "pixels": arrays.fingerprint(),
                "views": data.views.plain(),
                **({"code": code} if code else {}),
            }
        )
        return cls(banks.within(f"{weights[:MARK]}-{mark}"), data.views.count, precision, pooled)

    @property
    def name(self) -> str:
        """The name of its folder."""
        return self.folder.root.rpartition("/")[2]

    def open(self) -> OpenBank:
        """Open the complete segments. Those in object storage are first copied to this machine, once."""
        return OpenBank([segment for name in self.folder.names() if (segment := self._segment(name))], self.views)

    def write(self, keys: Keys, rows: Rows, cost: BankCost) -> BankCost:
        """Add a segment.

        Args:
            keys: ascending.
            rows: logits and pooled vectors, in the order of the keys; stored in the bank's precision.
            cost: of computing them.

        Returns:
            The cost with the segment's bytes.

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
        cost = dataclasses.replace(cost, bytes=sum(len(content) for content in contents.values()))
        meta = {
            "version": _VERSION,
            "views": self.views,
            "precision": self.precision,
            "cost": dataclasses.asdict(cost),
            "files": {file: each.model_dump() for file, each in checksums.stamp(contents).items()},
        }
        files = {f"{file}.npy": content for file, content in contents.items()}
        self.folder.write_folder(name, {**files, _META: checksums.sealed(meta)})
        return cost

    def _segment(self, name: str) -> Segment | None:
        try:
            meta = checksums.unsealed(self.folder.read(f"{name}/{_META}"))
        except (FileNotFoundError, NotADirectoryError):
            return None  # it is being written, or a crash interrupted that; or this is no segment
        except (ValueError, NotAFile):
            log.warning("%s is damaged and passed over", self.folder.path(name))
            return None
        tables = (_LOGITS, *((_POOLED,) if self.pooled else ()))
        if meta["precision"] != self.precision or not meta["files"].keys() >= set(tables):
            return None
        scales = [f"{table}.scale" for table in tables] if self.precision == "fixed16" else []
        files = {f"{file}.npy": FileStamp(**meta["files"][file]) for file in (_KEYS, *tables, *scales)}
        here = Path(self.folder.path(name)) if self.folder.is_local else _copied(self.folder, name, files)
        sizes = Storage.at(str(here)).sizes()
        if fault := checksums.fault(sizes, files, lambda file: file_sha256(str(here / file))):
            log.warning("%s is damaged and passed over: %s", here, fault)
            return None
        arrays = {file.removesuffix(".npy"): np.load(here / file, mmap_mode="r", allow_pickle=False) for file in files}
        found = {table: Table(arrays[table], arrays.get(f"{table}.scale")) for table in tables}
        return Segment(arrays[_KEYS], found[_LOGITS], found.get(_POOLED))


def paid(folder: Storage) -> BankCost:
    """Return the cost of all complete segments in a bank's folder, as their manifests state it."""
    total = BankCost()
    for name in folder.names():
        with contextlib.suppress(FileNotFoundError, NotADirectoryError, NotAFile, ValueError):
            total = total + BankCost(**checksums.unsealed(folder.read(f"{name}/{_META}"))["cost"])
    return total


def _copied(folder: Storage, name: str, files: Mapping[str, FileStamp]) -> Path:
    """Return a segment's folder on this machine; the first process that asks fetches the files."""
    here = cache_folder().parent / "banks" / folder.root.rpartition("/")[2] / name
    here.mkdir(parents=True, exist_ok=True)
    with filelock.FileLock(f"{here}.lock"):
        for file, stamp in files.items():
            if not (here / file).exists() or (here / file).stat().st_size != stamp.size:
                Storage.at(str(here)).write(file, folder.read(f"{name}/{file}"))
    return here


def _npy(table: NDArray[Any]) -> bytes:
    buffer = io.BytesIO()
    np.save(buffer, table, allow_pickle=False)
    return buffer.getvalue()
