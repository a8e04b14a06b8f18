"""The intervals of a mean difference, each by what it is about: what would be drawn anew if the study were repeated."""

# S seeds, G groups of seeds, N test examples

import math
from collections.abc import Mapping, Sequence

import numpy as np
from numpy.typing import NDArray

from ctkd_study.analysis import inference
from ctkd_study.analysis.inference import FEWEST_SEEDS, Interval
from ctkd_study.analysis.variation import Estimate, crossed, group_means, over_replicates
from ctkd_study.spec import Vary

SAME_EXAMPLES, NEW_EXAMPLES = "on this test set", "on new examples"


def replicates(by_seed: Mapping[int, float], vary: Vary) -> list[float]:
    """Return the independent values of a study: those of its seeds; where groups differ, the means of the groups.

    Seeds of a group share a teacher and a split, so they are not independent.
    """
    if vary.groups == 1:
        return list(by_seed.values())
    return group_means(list(by_seed.values()), [vary.group(seed) for seed in by_seed])


def intervals(
    by_seed: Mapping[int, float],
    right: Mapping[int, NDArray[np.int8]],
    vary: Vary,
    error: float = inference.ERROR,
    floor: float = 0.0,
) -> tuple[Interval, ...]:
    """Return the intervals of a mean difference; none below three independent values.

    One is about other seeds on the same test set, and, where they vary, about other teachers and splits. If it is known
    which examples were right, another is about new test examples, too. Each is at least as wide as the one before.

    Args:
        by_seed: differences, percent points.
        right: by seed, the difference at each test example: -1, 0 or 1, shape (N,). Used if it is known at every seed.
        vary: in which groups of seeds teacher and split are others.
        error: one-sided, of each interval.
        floor: the deviation to assume where all differences are equal.
    """
    values = replicates(by_seed, vary)
    if len(values) < FEWEST_SEEDS:
        return ()
    same = _interval(vary, SAME_EXAMPLES, over_replicates(values, floor), error)
    if not right.keys() >= by_seed.keys():
        return (same,)
    table = _by_group({seed: right[seed] for seed in by_seed}, vary)
    mean, standard_error, freedom = crossed(table, floor / 100)
    new = _interval(vary, NEW_EXAMPLES, Estimate(100 * mean, 100 * standard_error, freedom), error)
    if new.high - new.low < same.high - same.low:
        # Few replicates: more degrees of freedom outweigh a standard error that is hardly larger.
        new = _interval(vary, NEW_EXAMPLES, over_replicates(values, floor), error)
    return same, new


def beyond_replicates(found: Sequence[Interval]) -> float:
    """Return the standard error that more seeds or groups do not reduce: that of the test examples."""
    errors = [each.standard_error or 0.0 for each in found]
    return math.sqrt(errors[-1] ** 2 - errors[0] ** 2) if found else 0.0


def about(vary: Vary, examples: str = SAME_EXAMPLES) -> str:
    """Say what an interval is about, e.g. ``with new teachers and splits on this test set``.

    Args:
        vary: in which groups of seeds teacher and split are others.
        examples: whether the test examples would be the same.
    """
    if vary.groups == 1:
        return examples
    # A split takes examples from the teacher, which is then trained anew.
    return f"with new teachers and splits {examples}" if vary.split > 1 else f"with new teachers {examples}"


def _interval(vary: Vary, examples: str, found: Estimate, error: float) -> Interval:
    return inference.t_interval(about(vary, examples), found.mean, found.standard_error, found.freedom, error)


def _by_group(right: Mapping[int, NDArray[np.int8]], vary: Vary) -> NDArray[np.int8] | NDArray[np.float64]:
    """Return the differences of each independent value at each example, shape (S, N) or (G, N)."""
    if vary.groups == 1:
        return np.stack(list(right.values()))
    by_group: dict[int, list[NDArray[np.int8]]] = {}
    for seed, each in right.items():
        by_group.setdefault(vary.group(seed), []).append(each)
    return np.stack([np.mean(by_group[group], axis=0, dtype=np.float64) for group in sorted(by_group)])
