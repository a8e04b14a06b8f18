"""The arithmetic of a verdict: intervals, tests and sample sizes for values replicated over seeds.

Everything is about the mean of a few independent, roughly normal values: accuracies of a strategy, or differences of
two strategies paired by seed. Sources: Student's t; power by the noncentral t distribution (Julious, Sample Sizes for
Clinical Trials, 2010, chapter on non-inferiority); the bound of a standard deviation by chi-square.
"""

import math
import statistics
from collections.abc import Sequence
from typing import Any, Literal

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy import stats

from ctkd_study.analysis.spending import anytime_half_width

Verdict = Literal["better", "not_worse", "worse", "undecided"]

FEWEST_SEEDS = 3
"""Below this many values there is no interval, and no verdict."""
MOST_MORE_SEEDS = 200
CONFIDENCE = 0.95
_POWER, _SPREAD_BOUND = 0.80, 0.80
_NO_SPREAD = 1e-9
"""Percent points: below this, values differ by floating point alone."""
_CERTAIN = 50.0
"""A noncentrality at which power is 1 to machine precision, for any number of seeds; beyond, scipy gives NaN."""


def rounding(examples: int | None) -> float:
    """Standard deviation, in percent points, of the rounding of an accuracy to whole examples.

    Args:
        examples: the size of the data set; None where it is not known, which gives 0.
    """
    return 100 / examples / math.sqrt(12) if examples else 0.0


def spread(values: Sequence[float], floor: float = 0.0) -> float:
    """Standard deviation of at least two values; ``floor`` where all of them are equal.

    Equal accuracies do not show that seeds make no difference, only that it is smaller than what the test set resolves.
    """
    deviation = statistics.stdev(values)
    return floor if deviation < _NO_SPREAD else deviation


def mean_interval(
    values: Sequence[float], floor: float = 0.0, confidence: float = CONFIDENCE
) -> tuple[float, float, float] | None:
    """Mean, and the two ends of its two-sided t interval; None below three values.

    Args:
        values: independent, roughly normal.
        floor: the deviation to assume where all values are equal.
        confidence: of the interval, two-sided.
    """
    if len(values) < FEWEST_SEEDS:
        return None
    mean = statistics.fmean(values)
    half = float(_critical(len(values), confidence)) * spread(values, floor) / math.sqrt(len(values))
    return mean, mean - half, mean + half


def p_value(differences: Sequence[float], floor: float = 0.0) -> float | None:
    """Two-sided paired t test of a mean difference of 0; None below three values, and where nothing spreads.

    Args:
        differences: one per seed.
        floor: the deviation to assume where all of them are equal.
    """
    if len(differences) < FEWEST_SEEDS or (deviation := spread(differences, floor)) == 0:
        return None
    statistic = statistics.fmean(differences) / (deviation / math.sqrt(len(differences)))
    return float(2 * stats.t.sf(abs(statistic), len(differences) - 1))


def anytime_interval(
    differences: Sequence[float], floor: float = 0.0, confidence: float = CONFIDENCE
) -> tuple[float, float] | None:
    """The two ends of an interval that holds at all numbers of seeds together; None while it has no ends.

    Args:
        differences: one per seed so far.
        floor: the deviation to assume where all of them are equal.
        confidence: of all these intervals together, two-sided.
    """
    if len(differences) < FEWEST_SEEDS:
        return None
    half = anytime_half_width(len(differences), spread(differences, floor), (1 - confidence) / 2)
    mean = statistics.fmean(differences)
    return (mean - half, mean + half) if math.isfinite(half) else None


def decide(low: float | None, high: float | None, margin: float) -> Verdict:
    """The verdict that an interval of strategy minus baseline gives, for a margin > 0."""
    if low is None or high is None:
        return "undecided"
    if low > 0:
        return "better"
    if low > -margin:
        return "not_worse"
    return "worse" if high < -margin else "undecided"


def more_seeds(differences: Sequence[float], margin: float, floor: float = 0.0) -> int | None:
    """Return how many more seeds would show "not worse" with 80 % power if the two strategies were equal.

    A plan, not a promise: power is that of one look at all seeds, old and new. The spread is taken at its upper 80 %
    bound, because a few seeds may underestimate it; so the plan has its power, or more, in four of five studies.

    Args:
        differences: one per seed so far.
        margin: percent points, above 0.
        floor: the deviation to assume where all differences are equal.

    Returns:
        At least 1; None beyond 200, or where there are no two seeds yet.
    """
    count = len(differences)
    if count < 2:
        return None
    bound = spread_bound(spread(differences, floor), count)
    totals = np.arange(count + 1, count + MOST_MORE_SEEDS + 1)
    enough = np.flatnonzero(power(totals, bound, margin) >= _POWER)
    return int(totals[enough[0]]) - count if len(enough) else None


def spread_bound(deviation: float, count: int) -> float:
    """Upper 80 % confidence bound of a standard deviation that ``count`` normal values estimate."""
    return deviation * math.sqrt((count - 1) / float(stats.chi2.ppf(1 - _SPREAD_BOUND, count - 1)))


def power(seeds: ArrayLike, deviation: float, margin: float) -> NDArray[np.float64]:
    """The chance of "not worse" (or "better") when the two are equal and their differences have this deviation.

    Args:
        seeds: one number of seeds or several, each at least 2.
        deviation: of the differences, percent points.
        margin: percent points.
    """
    count = np.asarray(seeds, dtype=np.float64)
    if deviation == 0:
        return np.ones_like(count)
    noncentrality = np.minimum(margin * np.sqrt(count) / deviation, _CERTAIN)
    return np.asarray(stats.nct.sf(_critical(count), count - 1, noncentrality), dtype=np.float64)


def _critical(count: float | NDArray[np.float64], confidence: float = CONFIDENCE) -> Any:
    return stats.t.ppf((1 + confidence) / 2, count - 1)
