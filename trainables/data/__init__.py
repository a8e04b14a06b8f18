"""Data sets, one file each; ``DATASETS`` knows them by name."""

from trainables.data.base import DATASETS, Arrays, DataOptions, Split, normalise, split

__all__ = ["DATASETS", "Arrays", "DataOptions", "Split", "normalise", "split"]
