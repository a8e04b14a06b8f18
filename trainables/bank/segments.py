"""Segments of a bank: rows of numbers in their stored precision, and what they cost."""

# R rows of a segment, C classes, D width of the pooled vector

import dataclasses
import operator
from collections.abc import Mapping
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from trainables.bank.keys import Keys

#: Logits and pooled vectors (None if the bank holds none), float32, rows in the order of the keys.
Rows = tuple[NDArray[np.float32], NDArray[np.float32] | None]

#: Stored precision: float32, or 16 bits, i.e. one of 65,536 equal steps from a row's smallest number to its largest.
#: At a logit of ten, such steps are about thirty times finer than those of float16 (docs/performance.md).
Precision = Literal["float32", "fixed16"]
PRECISIONS: Mapping[str, Precision] = {"bank32": "float32", "bank16": "fixed16"}

_STEPS = 65_535


def row_bytes(precision: Precision, *widths: int) -> int:
    """Return the bytes that a pair takes: its key, and a row of each of these widths."""
    return 8 + sum(4 * width if precision == "float32" else 2 * width + 8 for width in widths)


@dataclasses.dataclass(frozen=True)
class BankCost:
    """The cost of a bank or segment: the teacher's work, done once, and not part of a trial's headline cost."""

    pairs: int = 0
    seconds: float = 0.0
    """Of wall time."""
    device_seconds: float = 0.0
    tflop: float = 0.0
    bytes: int = 0

    def __add__(self, other: "BankCost") -> "BankCost":
        return BankCost(*map(operator.add, dataclasses.astuple(self), dataclasses.astuple(other)))


@dataclasses.dataclass(frozen=True)
class Table:
    """Rows of numbers in their stored precision."""

    values: NDArray[Any]
    scale: NDArray[np.float32] | None
    """The number that 0 stands for, and the step, of each row, shape (rows, 2); None for float32."""

    @classmethod
    def of(cls, rows: NDArray[Any], precision: Precision) -> "Table":
        """Convert rows to a precision."""
        if precision == "float32":
            return cls(rows.astype(np.float32), None)
        exact = rows.astype(np.float64)
        low, high = exact.min(axis=1, keepdims=True), exact.max(axis=1, keepdims=True)
        step = np.where(high > low, (high - low) / _STEPS, 1.0)
        scale: NDArray[np.float32] = np.concatenate([low, step], axis=1).astype(np.float32)
        return cls(np.rint((exact - low) / step).astype(np.uint16), scale)

    @classmethod
    def zeros(cls, rows: int, width: int, precision: Precision) -> "Table":
        """Return rows of zeros; they take no memory until they are read."""
        if precision == "float32":
            return cls(np.zeros((rows, width), np.float32), None)
        return cls(np.zeros((rows, width), np.uint16), np.zeros((rows, 2), np.float32))

    @property
    def width(self) -> int:
        return int(self.values.shape[1])

    def read(self, places: Keys) -> NDArray[np.float32]:
        """Return some rows as float32, shape (places, width)."""
        rows: NDArray[np.float32] = self.values[places].astype(np.float32)
        if self.scale is not None:
            scale = self.scale[places]
            rows *= scale[:, 1:]
            rows += scale[:, :1]
        return rows


@dataclasses.dataclass(frozen=True)
class Segment:
    """A complete segment, memory-mapped from this machine's disk."""

    keys: Keys
    logits: Table
    pooled: Table | None

    @property
    def first(self) -> int:
        return int(self.keys[0])

    @property
    def last(self) -> int:
        return int(self.keys[-1])
