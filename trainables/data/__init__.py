"""Data sets, one file each; ``DATASETS`` finds them by name.

A data set's options load its images and labels as tensors in memory; ``split`` divides its training examples.
"""

from trainables.data.base import (
    DATASETS,
    Arrays,
    DataOptions,
    KeptData,
    Loaded,
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
    "KeptData",
    "Loaded",
    "Sizes",
    "Split",
    "normalise",
    "sizes_of",
    "split",
    "student_examples",
]
