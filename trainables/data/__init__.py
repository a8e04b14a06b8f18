"""Data sets, one file each; ``DATASETS`` knows them by name."""

from trainables.data.base import (
    DATASETS,
    Arrays,
    DataOptions,
    Sizes,
    Split,
    normalise,
    sizes_of,
    split,
    student_examples,
)

__all__ = [
    "DATASETS",
    "Arrays",
    "DataOptions",
    "Sizes",
    "Split",
    "normalise",
    "sizes_of",
    "split",
    "student_examples",
]
