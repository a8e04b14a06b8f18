"""The next suggestion of a search, by Optuna's samplers: a function of what the search has seen.

A sampler is made anew for each suggestion. It is seeded by the address of the suggestion and told the earlier trials,
so that a search that was interrupted, or that is given more settings, goes on as if it had never ended.
"""

import dataclasses
import functools
import hashlib
import math
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from importlib.util import find_spec
from typing import TYPE_CHECKING, Any, Literal

from ctkd_study.errors import KeyPath, StudyError, dotted
from trainables import streams

if TYPE_CHECKING:  # it takes most of a second to import, and only searches need it
    from optuna.distributions import BaseDistribution
    from optuna.samplers import BaseSampler

DistributionKind = Literal["uniform", "loguniform", "choice"]
SamplerName = Literal["tpe", "random", "cmaes", "gp"]

_DIGITS = 6
_ASKED, _MOST_DRAWN = 10, 1000


@dataclasses.dataclass(frozen=True)
class Dimension:
    """A scalar that is searched."""

    path: KeyPath
    """In the arm's block."""
    kind: DistributionKind
    values: tuple[Any, ...]
    """All values of a choice, both ends of a range; two whole numbers are the ends of a range of whole numbers."""

    @property
    def is_whole(self) -> bool:
        """Whether it is a range of whole numbers."""
        return self.kind != "choice" and all(isinstance(value, int) for value in self.values)

    @property
    def points(self) -> float:
        """How many values there are."""
        if self.kind == "choice":
            return len(self.values)
        return self.values[1] - self.values[0] + 1 if self.is_whole else math.inf

    def distribution(self) -> "BaseDistribution":
        """Return it as Optuna has it."""
        from optuna.distributions import CategoricalDistribution, FloatDistribution, IntDistribution

        if self.kind == "choice":
            return CategoricalDistribution(self.values)
        low, high = self.values
        return (IntDistribution if self.is_whole else FloatDistribution)(low, high, log=self.kind == "loguniform")

    def rounded(self, value: Any) -> Any:
        """Return a suggested value with six significant digits, so that people can read it."""
        if not isinstance(value, float) or self.kind == "choice":
            return value
        low, high = self.values
        return min(max(float(f"{value:.{_DIGITS}g}"), low), high)


@dataclasses.dataclass(frozen=True)
class Seen:
    """An ended trial of a search."""

    values: tuple[Any, ...]
    """In the order of the dimensions."""
    top1: float | None
    """Validation accuracy in percent; None where the trial failed."""


def missing_package(by: SamplerName) -> str | None:
    """Return the package that a sampler needs and that is not installed."""
    return "cmaes" if by == "cmaes" and find_spec("cmaes") is None else None


@functools.lru_cache(maxsize=4096)
def suggest(
    by: SamplerName, startup: int, space: tuple[Dimension, ...], seen: tuple[Seen, ...], arm: str, seed: int
) -> tuple[Any, ...]:
    """Return the values of a search's next trial; they differ from those of all its earlier ones.

    Args:
        by: the sampler.
        startup: how many trials are drawn at random before a sampler uses what was seen.
        space: what is searched; it has more points than there are earlier trials.
        seen: the earlier trials, in their order.
        arm: name of the arm, part of the address of the randomness.
        seed: of the trials.

    Raises:
        StudyError: no new values were found.
    """
    earlier = {trial.values for trial in seen}
    for repeat in range(_MOST_DRAWN):
        name = f"{arm}/{len(seen) + 1}/{repeat}"
        address = int.from_bytes(hashlib.sha256(name.encode()).digest()[:8])
        drawn = int(streams.generator(streams.Purpose.SEARCH, seed, address).integers(2**31))
        # A sampler that insists on what it knows already is replaced by chance.
        values = _asked(by if repeat < _ASKED else "random", startup, space, seen, drawn)
        if values not in earlier:
            return values
    raise StudyError(f"arm {arm}: the search found no setting that it had not tried after {len(seen)} of seed {seed}")


def _asked(
    by: SamplerName, startup: int, space: tuple[Dimension, ...], seen: tuple[Seen, ...], seed: int
) -> tuple[Any, ...]:
    with _quiet():
        from optuna import create_study
        from optuna.trial import TrialState, create_trial

        names = [dotted(dimension.path) for dimension in space]
        distributions = dict(zip(names, (dimension.distribution() for dimension in space), strict=True))
        study = create_study(direction="maximize", sampler=_sampler(by, startup, seed))
        for earlier in seen:
            params = dict(zip(names, earlier.values, strict=True))
            state = TrialState.FAIL if earlier.top1 is None else TrialState.COMPLETE
            if by == "cmaes":  # it keeps its state in the trials that it was asked for
                study.enqueue_trial(params)
                study.tell(study.ask(distributions), earlier.top1, state)
            else:
                study.add_trial(
                    create_trial(state=state, params=params, distributions=distributions, value=earlier.top1)
                )
        params = study.ask(distributions).params
    return tuple(dimension.rounded(params[name]) for dimension, name in zip(space, names, strict=True))


def _sampler(by: SamplerName, startup: int, seed: int) -> "BaseSampler":
    from optuna.samplers import CmaEsSampler, GPSampler, RandomSampler, TPESampler

    if by == "tpe":
        return TPESampler(seed=seed, n_startup_trials=startup)
    if by == "gp":
        return GPSampler(seed=seed, n_startup_trials=startup)
    if by == "cmaes":
        return CmaEsSampler(seed=seed, n_startup_trials=startup)
    return RandomSampler(seed=seed)


@contextmanager
def _quiet() -> Iterator[None]:
    """Keep Optuna from telling users what it does."""
    from optuna import logging

    verbosity = logging.get_verbosity()
    logging.set_verbosity(logging.ERROR)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        logging.set_verbosity(verbosity)
