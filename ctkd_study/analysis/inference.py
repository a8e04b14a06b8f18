"""The arithmetic of a verdict: intervals, tests and plans for values replicated over seeds.

Everything is about the mean of a few independent, roughly normal values: accuracies of a strategy, or differences of
two strategies paired by seed.
"""

import dataclasses
import functools
import math
import statistics
from collections.abc import Sequence
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray
from scipy import special

from ctkd_study.analysis.spending import anytime_half_width

Verdict = Literal["better", "not_worse", "slightly_worse", "worse", "undecided"]

FEWEST_SEEDS = 3
"""Below this many values there is no interval, and no verdict."""
MOST_MORE_SEEDS = 200
_MORE = np.arange(1, MOST_MORE_SEEDS + 1)
ERROR = 0.025
"""One-sided, of all confirmed arms together, or of one interval that is not part of a family."""
CONFIDENCE = 1 - 2 * ERROR
_SURE = 0.80
"""The chance of a decision that a plan must give."""
_STUDIES = 2000
"""Simulated continuations of a study; the chance of a decision is known to 0.9 points."""
_NO_SPREAD = 1e-9
"""Percent points: below this, values differ by floating point alone."""


@dataclasses.dataclass(frozen=True)
class Interval:
    """Where the mean difference of a pair lies, in percent points."""

    about: str
    """What would be drawn anew, or be the same, if the study were repeated: ``on this test set``."""
    low: float
    high: float
    error: float
    """The chance that the truth lies below ``low``, and that it lies above ``high``: each, not both together."""
    standard_error: float | None = None
    """Of the mean; None where the interval is not a t interval."""
    freedom: float | None = None
    """Degrees of freedom of the t distribution."""

    @property
    def confidence(self) -> float:
        """Of the two-sided interval: 0.95 where one arm is confirmed."""
        return 1 - 2 * self.error


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
    mean = statistics.fmean(values)
    deviation = math.sqrt(math.fsum((value - mean) ** 2 for value in values) / (len(values) - 1))
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


def t_interval(about: str, mean: float, standard_error: float, freedom: float, error: float) -> Interval:
    """The t interval of a mean.

    Args:
        about: what it is about.
        mean, standard_error: percent points.
        freedom: degrees of freedom, above 0.
        error: one-sided.
    """
    half = -float(special.stdtrit(freedom, error)) * standard_error
    return Interval(about, mean - half, mean + half, error, standard_error, freedom)


def widest(found: Sequence[Interval]) -> Interval | None:
    """The interval that the verdict is read off, of equally wide ones the last; None where there is none."""
    return max(reversed(found), key=lambda interval: interval.high - interval.low, default=None)


def p_not_worse(mean: float, interval: Interval, margin: float) -> float | None:
    """One-sided t test of the hypothesis that the strategy is worse by the margin or more.

    It is below the interval's error exactly where the interval lies above -margin, and above 1 - error where it lies
    below.

    Args:
        mean: of the differences.
        interval: what the verdict is read off.
        margin: percent points, above 0.

    Returns:
        None where nothing spreads, or the interval is not a t interval.
    """
    if interval.freedom is None or not interval.standard_error:
        return None
    return float(special.stdtr(interval.freedom, -(mean + margin) / interval.standard_error))


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
    """The verdict that an interval of strategy minus baseline gives, for a margin > 0.

    Every word but "undecided" says on which side of -margin the interval lies; "better" and "slightly_worse" also say
    on which side of 0. Both can be read off one interval without a further error (superiority after non-inferiority).
    """
    if low is None or high is None:
        return "undecided"
    if low > 0:
        return "better"
    if low > -margin:
        return "slightly_worse" if high < 0 else "not_worse"
    return "worse" if high < -margin else "undecided"


def more_seeds(
    differences: Sequence[float], margin: float, floor: float = 0.0, error: float = ERROR, beyond: float = 0.0
) -> int | None:
    """Return how many more seeds would decide with a chance of 80 %, by what the seeds so far show.

    See ``chances_of_decision``. A plan, not a promise: it assumes that further seeds behave like these.

    Args:
        differences: one per seed so far.
        margin: percent points, above 0.
        floor: the deviation to assume where all differences are equal.
        error: one-sided, of the interval at the end.
        beyond: standard error that further seeds do not reduce: that of the test examples.

    Returns:
        At least 1; None beyond 200, or where there are no two seeds yet.
    """
    if len(differences) < 2:
        return None
    chances = chances_of_decision(
        statistics.fmean(differences), spread(differences, floor), len(differences), margin, error, beyond
    )
    enough = np.flatnonzero(chances >= _SURE)
    return int(enough[0]) + 1 if len(enough) else None


def chances_of_decision(
    mean: float, deviation: float, seeds: int, margin: float, error: float = ERROR, beyond: float = 0.0
) -> NDArray[np.float64]:
    """The posterior predictive chance of a decision, of whatever kind, after 1 to 200 more seeds, shape (200,).

    The prior is flat in the mean and in the logarithm of the deviation. Given the seeds so far, the variance is (S-1)s²
    divided by a chi-square value with S-1 degrees of freedom, the truth is normal around the present mean, and the
    new seeds are normal around the truth. Every call takes the same draws.

    Args:
        mean, deviation: of the differences so far, percent points.
        seeds: how many they are, at least 2.
        margin: percent points.
        error: one-sided, of the interval at the end.
        beyond: see ``more_seeds``.
    """
    total, free = seeds + _MORE, seeds - 1
    chi, shift, squares_of_new = _continuations(seeds)
    variance = free * deviation**2 / chi
    # Squares of the mean's distance to the margin, and of half the interval; in place, because the arrays are large.
    distance = np.sqrt(variance) * shift
    distance += mean + margin
    distance *= distance
    half = variance * squares_of_new
    half += free * deviation**2
    half /= (total - 1) * total
    half += beyond**2
    half *= special.stdtrit(total - 1, error) ** 2
    chances: NDArray[np.float64] = (distance > half).mean(axis=0)
    return np.where(total < FEWEST_SEEDS, 0.0, chances)


@functools.lru_cache(maxsize=16)
def _continuations(seeds: int) -> tuple[NDArray[np.float64], NDArray[np.float64], NDArray[np.float64]]:
    """What 1 to 200 more seeds add, in deviations of the differences; drawn once for all pairs of a study.

    Returns:
        A chi-square value of the seeds so far, shape (2000, 1), the shift of the mean of all seeds, and what the sum of
        squares around it grows by, shape (2000, 200) each.
    """
    generator = np.random.default_rng(0)
    chi = generator.chisquare(seeds - 1, (_STUDIES, 1))
    shift = generator.standard_normal((_STUDIES, 1))
    inside = np.zeros((_STUDIES, len(_MORE)))
    np.cumsum(generator.standard_normal((_STUDIES, len(_MORE) - 1)) ** 2, axis=1, out=inside[:, 1:])
    # New seeds have the mean m + σz·√(N/(S·k)), so all seeds have m + σz·√(k/(N·S)); the squares add up likewise.
    return chi, shift * np.sqrt(_MORE / ((seeds + _MORE) * seeds)), inside + shift**2


def _critical(count: float, confidence: float = CONFIDENCE) -> Any:
    return special.stdtrit(count - 1, (1 + confidence) / 2)
