"""The blocked analysis of variance of a balanced design: which options matter, and what their values do.

Each seed is a block, so a seed that is good for all settings cancels. Everything assumes that what an option does does
not depend on the seed. The effect size is ω² of the randomised block design; its error is the mean square of seed x
setting, with (seeds - 1) (settings - 1) degrees of freedom. Accuracies of the test set are described; the choice of a
value is validation's, because the best of several values by test accuracy looks better than it is.
"""

import dataclasses
import math

import numpy as np
from numpy.typing import NDArray
from scipy import stats

from ctkd_study.analysis import inference
from ctkd_study.analysis.factors import Design

SIGNIFICANT = 0.05
"""Options whose adjusted p is larger are not ranked."""
_DRAWS = 9_999
_NO_SPREAD = 1e-12
"""Squared percent points: below this, values differ by floating point alone."""
_CHUNK = 2_000_000
"""Values permuted at once, which bounds memory."""


@dataclasses.dataclass(frozen=True)
class Share:
    """An option's part in the variance of test accuracy."""

    option: str
    omega_squared: float
    """The estimated share of the variance, 0 to 1; 0 where the estimate is negative."""
    p_value: float
    """Of no effect, by permutation; adjusted for the number of options (Holm)."""
    smallest_p: float = 0.0
    """The smallest p that so few seeds and settings could give, if all of the options reached it."""

    @property
    def shown(self) -> bool:
        """Whether the option is shown to matter."""
        return self.p_value <= SIGNIFICANT


@dataclasses.dataclass(frozen=True)
class Shares:
    """The variance of test accuracy, split."""

    options: tuple[Share, ...]
    """In the design's order."""
    seed: float
    """ω² of the seed."""

    @property
    def rest(self) -> float:
        """The share of interactions and noise."""
        return max(1 - self.seed - sum(share.omega_squared for share in self.options), 0.0)


@dataclasses.dataclass(frozen=True)
class Effect:
    """What one value of an option does to the accuracy, averaged over the other options and the seeds."""

    option: str
    value: str
    difference: float
    """Test accuracy with this value minus that of all settings, percent points."""
    low: float
    high: float
    """Simultaneous 95 % interval: Bonferroni over all values of all options."""
    val_difference: float | None
    """As ``difference``, on validation; None in the paper's protocol."""
    chosen: bool
    """Whether validation chooses this value of its option: the largest ``val_difference``."""
    settings: int
    """How many settings have this value."""


def shares(design: Design) -> Shares:
    """Return each option's share of the variance, with its p."""
    values, error = design.test, _error(design)
    total = float(np.square(values - values.mean()).sum())

    def omega_squared(axis: int) -> float:
        levels = values.shape[axis]
        squares = values.size / levels * float(np.square(_deviations(values, axis)).sum())
        return max((squares - (levels - 1) * error) / (total + error), 0.0) if total > _NO_SPREAD else 0.0

    adjusted = _holm([permutation_p(values, axis) for axis in range(1, values.ndim)])
    found = []
    for axis, key in enumerate(design.options, start=1):
        # Each permutation of the values gives the same spread if it is that of all cells.
        orders, cells = math.factorial(values.shape[axis]), values.size // values.shape[axis]
        smallest = min(len(design.options) * float(orders) ** (1 - cells), 1.0)
        found.append(Share(key, omega_squared(axis), adjusted[axis - 1], smallest))
    return Shares(tuple(found), omega_squared(0))


def effects(design: Design) -> list[Effect]:
    """Return what each value of each option does, in the order of the trials."""
    count, size = sum(map(len, design.options.values())), design.test.size
    deviation = _error(design) ** 0.5
    freedom = (len(design.seeds) - 1) * (design.settings - 1)
    result = []
    for axis, (option, values) in enumerate(design.options.items(), start=1):
        moved = _deviations(design.test, axis)
        chosen_by = None if design.validation is None else _deviations(design.validation, axis)
        best = None if chosen_by is None else int(chosen_by.argmax())
        # Of a mean of size / levels values, minus the mean of all.
        error = deviation * ((len(values) - 1) / size) ** 0.5
        half = float(stats.t.ppf(1 - (1 - inference.CONFIDENCE) / 2 / count, freedom)) * error
        for place, value in enumerate(values):
            difference = float(moved[place])
            result.append(
                Effect(
                    option=option,
                    value=value,
                    difference=difference,
                    low=difference - half,
                    high=difference + half,
                    val_difference=None if chosen_by is None else float(chosen_by[place]),
                    chosen=place == best,
                    settings=design.settings // len(values),
                )
            )
    return result


def permutation_p(values: NDArray[np.float64], axis: int, draws: int = _DRAWS) -> float:
    """Return the p of "this option does nothing", by permuting its values within each seed and other combination.

    The permutations leave the effects of the other options and of the seeds in place, so the test is exact whatever
    these are (restricted permutation: Anderson and ter Braak, J. Stat. Comput. Simul. 73(2), 2003). With two seeds and
    few values, p cannot be small. The draws are seeded: the same data give the same p.

    Args:
        values: accuracies, shape (seeds, values of each option ...).
        axis: of the option.
        draws: how many permutations.
    """
    cells = np.moveaxis(values, axis, -1).reshape(-1, values.shape[axis])
    generator = np.random.default_rng(0)
    # Permutations that give the same must count, whatever the order of their sums.
    reached = np.square(_deviations(cells, 1)).sum() * (1 - 1e-9) - _NO_SPREAD
    as_large, at_once = 0, max(_CHUNK // cells.size, 1)
    for first in range(0, draws, at_once):
        many = np.broadcast_to(cells, (min(at_once, draws - first), *cells.shape))
        means = generator.permuted(many, axis=2).mean(axis=1)
        spread = np.square(means - means.mean(axis=1, keepdims=True)).sum(axis=1)
        as_large += int((spread >= reached).sum())
    return (1 + as_large) / (1 + draws)


def _deviations(values: NDArray[np.float64], axis: int) -> NDArray[np.float64]:
    """Return the mean of each place on an axis minus the mean of all."""
    means = np.moveaxis(values, axis, 0).reshape(values.shape[axis], -1).mean(axis=1)
    deviations: NDArray[np.float64] = means - means.mean()
    return deviations


def _error(design: Design) -> float:
    """Return the mean square of seed x setting, at least that of rounding an accuracy to whole examples.

    This is the variance of a trial that neither its seed nor its setting explains.
    """
    values = design.test.reshape(len(design.seeds), -1)
    residuals = values - values.mean(axis=0) - values.mean(axis=1, keepdims=True) + values.mean()
    freedom = max((values.shape[0] - 1) * (values.shape[1] - 1), 1)
    return max(float(np.square(residuals).sum()) / freedom, inference.rounding(design.test_examples) ** 2)


def _holm(p_values: list[float]) -> list[float]:
    """Return p values adjusted by Holm's step-down rule, in their order."""
    adjusted, largest = [0.0] * len(p_values), 0.0
    for rank, place in enumerate(np.argsort(p_values, kind="stable")):
        largest = max(largest, min((len(p_values) - rank) * p_values[place], 1.0))
        adjusted[place] = largest
    return adjusted
