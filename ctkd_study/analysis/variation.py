"""How far a mean difference varies: over seeds, over groups of seeds with their own teacher and split, over examples.

A seed draws the student and its training, a group draws a teacher and a split, and the test set draws examples. An
interval says nothing about what was drawn once: one over seeds is about this teacher, this split, this test set. Here
are the standard errors that also count the draw of groups, and of examples.
"""

# R replicates: seeds, or groups of seeds; N test examples

import math
from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray

from ctkd_study.analysis import inference


class Estimate(NamedTuple):
    """A mean with its uncertainty. Percent points where its values are."""

    mean: float
    standard_error: float
    freedom: float
    """Degrees of freedom of the t distribution."""


def over_replicates(values: Sequence[float], floor: float = 0.0) -> Estimate:
    """Return the mean of independent values.

    Args:
        values: at least two, e.g. differences by seed, or means of groups.
        floor: the deviation to assume where all are equal.
    """
    standard_error = inference.spread(values, floor) / math.sqrt(len(values))
    return Estimate(math.fsum(values) / len(values), standard_error, len(values) - 1)


def group_means(values: Sequence[float], groups: Sequence[int]) -> list[float]:
    """Return the mean of each group's values, in the order of the groups' numbers."""
    return [
        float(np.mean([v for v, g in zip(values, groups, strict=True) if g == group])) for group in sorted({*groups})
    ]


def components(values: Sequence[float], groups: Sequence[int]) -> tuple[float, float] | None:
    """Return the variance between seeds of a group, and that between groups, from a one-way analysis of variance.

    The variance between groups is 0 where the means of groups spread no more than their seeds explain.

    Args:
        values: one per seed.
        groups: the group of each.

    Returns:
        None where there are no two groups, or no group has two seeds.
    """
    sizes = np.unique(groups, return_counts=True)[1]
    count, number = len(values), len(sizes)
    if number < 2 or count == number:
        return None
    means, total = np.array(group_means(values, groups)), float(np.mean(values))
    between = float((sizes * np.square(means - total)).sum())
    within = max(float(np.square(np.asarray(values) - total).sum()) - between, 0.0) / (count - number)
    size = (count - float(np.square(sizes).sum()) / count) / (number - 1)
    return within, max(between / (number - 1) - within, 0.0) / size


def crossed(differences: ArrayLike, floor: float = 0.0) -> Estimate:
    """Return the mean of differences that cross replicates with test examples, for new draws of both.

    In the two-way layout without repetition, the variance of the mean is s²_replicates / R + s²_examples / N -
    s²_residual / (R N), with the variances of row means and column means, and the residual mean square: the residual
    part of a cell counts in both, and once is enough. It is at least s²_replicates / R, that of the replicates alone.
    Degrees of freedom by Satterthwaite (Biometrics Bulletin 2, 1946).

    Args:
        differences: of two strategies, at one test example each, shape (R, N), at least two of either.
        floor: the deviation of the replicates to assume where all their means are equal.
    """
    table = np.asarray(differences)
    rows, columns = table.shape
    by_row, by_column, mean = table.mean(axis=1), table.mean(axis=0), float(table.mean())
    residual = _residual(table, by_row, by_column, mean)
    parts = np.array(
        [
            inference.spread(by_row.tolist(), floor) ** 2 / rows,
            float(by_column.var(ddof=1)) / columns,
            -residual / (rows * columns),
        ]
    )
    if parts[1] + parts[2] <= 0:
        return Estimate(mean, math.sqrt(parts[0]), rows - 1)
    free = np.array([rows - 1, columns - 1, (rows - 1) * (columns - 1)])
    variance = float(parts.sum())
    return Estimate(mean, math.sqrt(variance), variance**2 / float((parts**2 / free).sum()))


def _residual(table: NDArray[Any], by_row: NDArray[np.float64], by_column: NDArray[np.float64], mean: float) -> float:
    """Return the mean square of what row and column means leave over; without a second table in memory."""
    rows, columns = table.shape
    squares = (float(np.square(row, dtype=np.float64).sum()) for row in table)
    total = math.fsum(squares) - table.size * mean**2
    explained: float = columns * float(np.square(by_row - mean).sum()) + rows * float(np.square(by_column - mean).sum())
    return max(total - explained, 0.0) / float((rows - 1) * (columns - 1))
