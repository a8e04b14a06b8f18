"""Critical values of repeated t tests that share one error, and an interval that may be looked at at any time.

Repeated confidence intervals (Jennison and Turnbull, "Repeated confidence intervals for group sequential clinical
trials", 1984) with an error that is spent as seeds are added (Lan and DeMets, "Discrete sequential boundaries for
clinical trials", 1983): after n of at most N seeds, the share (n/N)² of it. Values are normal, their deviation unknown.
"""

import functools
import math
from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray
from scipy import interpolate, optimize, special

Array = NDArray[np.float64]

_NODES, _POINTS = 1500, 48
"""Of the grid over r, and of the quadrature over a new value; more of either change no critical value's fifth digit."""
_PRIOR = 1.0
"""Variance of the effect (mean over deviation) that the anytime interval is tuned to; it holds for any."""


def spent(seeds: int, most: int, error: float) -> float:
    """The one-sided error that may be spent when so many seeds of at most ``most`` are there."""
    return error * (seeds / most) ** 2


@functools.lru_cache(maxsize=64)
def critical_values(looks: tuple[int, ...], most: int, error: float) -> tuple[float, ...]:
    """The bounds of |t| at each look, so that all looks up to n together exceed one side with chance ``spent(n)``.

    The t statistic of n normal values of mean 0 does not depend on their deviation, and neither does the sequence of
    them. r = sum(x) / sqrt(sum(x²)) is a Markov chain: with v the share of a new value in the root of the sum of all
    squares, r becomes r·sqrt(1 - v²) + v, and v is independent of what was before. So the chance of each bound is one
    integral over v for each seed: no simulation, and no table.

    Args:
        looks: numbers of seeds, rising, each at least 3.
        most: the number of seeds at which the whole error is spent.
        error: one-sided.
    """
    values = []
    survival, bound, before = _first(looks[0]), math.sqrt(looks[0]), 0
    for seeds in range(looks[0], looks[-1] + 1):
        if seeds > looks[0]:
            survival = _after(survival, bound, seeds)
            bound = min(math.sqrt(1 + bound**2), math.sqrt(seeds))
        if seeds in looks:
            share = spent(seeds, most, error) - (spent(before, most, error) if before else 0.0)
            before = seeds
            bound = _bound(survival, share, bound)
            values.append(bound * math.sqrt((seeds - 1) / (seeds - bound**2)))
            survival = _tabulated(survival, bound, share)
        else:
            survival = _tabulated(survival, bound)
    return tuple(values)


Survival = Callable[[Array], Array]
"""The chance that r is above a value and no bound was crossed before; for values within the bound."""


def _first(seeds: int) -> Survival:
    return lambda r: np.asarray(special.stdtr(seeds - 1, -r * np.sqrt((seeds - 1) / np.maximum(seeds - r**2, 1e-300))))


def _bound(survival: Survival, share: float, most: float) -> float:
    """The value that r exceeds with a chance."""
    return float(optimize.brentq(lambda r: float(survival(np.array([r]))[0]) - share, 0.0, most, xtol=1e-10))


def _tabulated(survival: Survival, bound: float, stopped: float = 0.0) -> Survival:
    """The function within the bound as a spline, less what is stopped beyond it."""
    grid = -bound * np.cos(np.linspace(0, np.pi, _NODES))
    spline: Survival = interpolate.CubicSpline(grid, survival(grid) - stopped)
    return spline


def _after(survival: Survival, bound: float, seeds: int) -> Survival:
    """The survival function one seed later."""
    free = seeds - 1
    nodes, weights = np.polynomial.legendre.leggauss(_POINTS)
    scale = math.exp(special.gammaln(seeds / 2) - special.gammaln(free / 2)) / math.sqrt(math.pi)
    whole = float(survival(np.array([-bound]))[0])

    def after(r: Array) -> Array:
        half = bound * np.sqrt(np.maximum(1 + bound**2 - r**2, 0.0)) / (1 + bound**2)
        middle = r / (1 + bound**2)
        v = middle[:, None] + half[:, None] * nodes
        inner = np.clip((r[:, None] - v) / np.sqrt(1 - v**2), -bound, bound)
        density = scale * (1 - v**2) ** ((seeds - 3) / 2)
        inside = half * ((survival(inner.ravel()).reshape(v.shape) * density) @ weights)
        # Beyond the interval of v, r was below its lower bound, which all are above, or above its upper one.
        right, left = _beyond(middle + half, free) * (r < 1), _beyond(half - middle, free) * (r < -1)
        return np.asarray(inside + whole * (right + left))

    return after


def _beyond(v: Array, free: int) -> Array:
    """The chance that one coordinate of a uniform direction is above a value."""
    return np.asarray(special.stdtr(free, -v * np.sqrt(free / np.maximum(1 - v**2, 1e-300))))


def anytime_half_width(seeds: int, deviation: float, error: float) -> float:
    """Half of an interval that holds at all numbers of seeds together, however often and whenever somebody looks.

    The interval holds the means that a scale-invariant likelihood ratio, with a normal prior on the effect, does not
    reject: the ratio is a martingale of the t statistics, so it ever exceeds 1/error with at most that chance (Wang and
    Ramdas, arXiv 2310.03722, section 4; checked by simulation).

    Args:
        seeds: how many values there are now.
        deviation: their standard deviation.
        error: one-sided; both sides together have twice that.

    Returns:
        Infinity while there are too few seeds.
    """
    prior = 1 + seeds * _PRIOR
    ratio = (prior / (2 * error) ** 2) ** (1 / seeds)
    if seeds < 2 or ratio >= prior:
        return math.inf
    return deviation * math.sqrt((seeds - 1) * (ratio - 1) / (1 - ratio / prior) / seeds)
