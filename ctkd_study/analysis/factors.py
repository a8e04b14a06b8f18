"""An ablation's finished trials as options and accuracies, and the balanced design that they form, if they do.

A design is balanced if its settings are a whole product of its options' values, and every setting has finished at every
seed. Grids are; searched settings, which differ by seed, are not.
"""

import dataclasses
import math
from collections.abc import Mapping, Sequence

import numpy as np
from numpy.typing import NDArray

from ctkd_study.errors import dotted
from ctkd_study.spec import PlannedTrial, leaves, text
from trainables.record import Manifest


@dataclasses.dataclass(frozen=True)
class FinishedTrial:
    """A finished trial as its options and accuracies. Percent, at the epoch that validation selects."""

    seed: int
    options: Mapping[str, str]
    """The options in which the trials differ: value by dotted key, as people write it."""
    test_top1: float
    val_top1: float | None = None
    """None in the paper's protocol."""
    test_examples: int | None = None
    """The number of test examples, where it is known."""


@dataclasses.dataclass(frozen=True)
class Design:
    """A balanced design: every combination of the options' values, at every seed."""

    seeds: tuple[int, ...]
    options: Mapping[str, tuple[str, ...]]
    """Values by option, in the order of the trials; at least two each. Empty if there is only one setting."""
    test: NDArray[np.float64]
    """Test accuracies, shape (seeds, values of the first option, values of the second, ...)."""
    validation: NDArray[np.float64] | None
    """Validation accuracies, in the same shape; None in the paper's protocol."""
    dropped: tuple[int, ...] = ()
    """Seeds that are left out, because a setting that finished elsewhere did not finish there."""
    test_examples: int | None = None

    @property
    def settings(self) -> int:
        """The number of combinations."""
        return math.prod(self.test.shape[1:])

    @classmethod
    def of(cls, found: Sequence[FinishedTrial]) -> "Design | None":
        """Return the design of some trials; None if it is not balanced, or has fewer than two seeds."""
        options = {
            key: values
            for key in (found[0].options if found else ())
            if len(values := tuple(dict.fromkeys(trial.options[key] for trial in found))) > 1
        }
        by_place = {(trial.seed, tuple(trial.options[key] for key in options)): trial for trial in found}
        settings = {combination for _, combination in by_place}
        shape = tuple(map(len, options.values()))
        if len(by_place) != len(found) or len(settings) != math.prod(shape):
            return None
        every = tuple(dict.fromkeys(trial.seed for trial in found))
        seeds = tuple(seed for seed in every if all((seed, combination) in by_place for combination in settings))
        if len(seeds) < 2:
            return None
        test, validation = np.empty((len(seeds), *shape)), np.empty((len(seeds), *shape))
        for place in np.ndindex(*test.shape):
            values = tuple(options[key][at] for key, at in zip(options, place[1:], strict=True))
            trial = by_place[seeds[place[0]], values]
            test[place] = trial.test_top1
            validation[place] = math.nan if trial.val_top1 is None else trial.val_top1
        dropped = tuple(seed for seed in every if seed not in seeds)
        whole = None if np.isnan(validation).any() else validation
        return cls(seeds, options, test, whole, dropped, found[0].test_examples)


def finished_trials(trials: Sequence[PlannedTrial], manifests: Mapping[str, Manifest]) -> list[FinishedTrial]:
    """Return the finished ones among some trials, with the options in which the trials differ.

    An option that only some of the trials have, such as one of a single kind of schedule, is left out.

    Args:
        trials: of the arms to look at.
        manifests: the records, by trial id.
    """
    options_of = {  # by trial id
        trial.id: {dotted(path): text(value) for path, value in leaves(trial.setting.config.plain())}
        for trial in trials
    }
    every = list(options_of.values())
    shared = [key for key in (every[0] if every else ()) if all(key in options for options in every)]
    varied = [key for key in shared if len({options[key] for options in every}) > 1]
    found = []
    for trial in trials:
        manifest = manifests.get(trial.id)
        if manifest is None or manifest.status != "finished" or (test := manifest.summary.test_top1) is None:
            continue
        options = {key: options_of[trial.id][key] for key in varied}
        found.append(FinishedTrial(trial.seed, options, test, manifest.summary.val_top1, manifest.test_examples))
    return found
