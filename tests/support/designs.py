"""Ablations with known accuracies: two options of three values each, crossed, at some seeds."""

import itertools
from collections.abc import Callable

from ctkd_study.analysis.factors import FinishedTrial


def product(accuracy: Callable[[str, str, int], float], seeds: int = 4) -> list[FinishedTrial]:
    """Return the trials of options ``end`` (1, 2, 3) and ``kind`` (a, b, c), validated one point below their test."""
    return [
        FinishedTrial(seed, {"end": end, "kind": kind}, top1 := accuracy(end, kind, seed), top1 - 1)
        for seed, end, kind in itertools.product(range(seeds), ("1", "2", "3"), ("a", "b", "c"))
    ]
