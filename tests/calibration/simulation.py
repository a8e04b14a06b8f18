"""Simulated studies with a known truth, through the code that decides real ones: from trials' results to the verdict.

A study is a grid, which selects by validation at each seed, and confirmed arms. ``tally`` counts what is said of many.
"""

import dataclasses
import functools
import math
from collections import Counter
from collections.abc import Callable, Mapping
from types import MappingProxyType
from typing import Literal

import numpy as np
from numpy.typing import NDArray
from scipy import special

from ctkd_study.analysis import Comparison, Question, Rule, compare, evaluate, follow
from ctkd_study.records import TrialResult
from ctkd_study.spec import Arm, Vary
from tests.support.tabulated import arm, failed, question, trial

Array = NDArray[np.float64]
Draw = Callable[[np.random.Generator, int], Array]
Outcome = Literal["too_good", "too_bad", "better", "not_worse", "slightly_worse", "worse", "decided", "planned", "kept"]

_COLLAPSE, _OFTEN = 15.0, 0.1
COLLAPSING = math.sqrt(0.7**2 + _COLLAPSE**2 * _OFTEN * (1 - _OFTEN))
"""Deviation of seeds of which one in ten falls by 15 points, the others having one of 0.7."""

#: Distributions of a difference over seeds, of mean 0 and deviation 1.
DRAWS: Mapping[str, Draw] = MappingProxyType(
    {
        "normal": lambda draw, size: draw.standard_normal(size),
        "t5": lambda draw, size: draw.standard_t(5, size) / math.sqrt(5 / 3),
        "skewed to the left": lambda draw, size: (4 - draw.chisquare(4, size)) / math.sqrt(8),
        "skewed to the right": lambda draw, size: (draw.chisquare(4, size) - 4) / math.sqrt(8),
        "collapsing": lambda draw, size: (
            (0.7 * draw.standard_normal(size) + _COLLAPSE * (_OFTEN - (draw.random(size) < _OFTEN))) / COLLAPSING
        ),
    }
)
_GRID = (-1.0, -0.3, 0.0, -0.2, -1.2)
"""Mean accuracies of a grid's settings, points above the best."""
_MOST = 208
"""Seeds: eight, and two hundred more that a plan may ask for."""


@dataclasses.dataclass(frozen=True)
class Truth:
    """How the trials of a study are drawn. Percent points."""

    difference: float = -1.0
    """The true one of each arm to what the grid selects."""
    anywhere: float = 0.0
    """If above 0, every study's true difference lies anywhere within so much around it."""
    deviation: float = 0.7
    """Of the differences over seeds."""
    kind: str = "normal"
    """Of ``DRAWS``. Arms share the grid's part of the noise if it is normal, else they share none."""
    settings: int = 1
    """Of the grid; with several, validation accuracies have an own noise of one point."""
    validation: int | None = None
    """Number of validation examples, to which accuracies are rounded."""
    test: int | None = None
    """The same of the test set."""
    fails: float = 0.0
    """Part of an arm's seeds at which it fails, whatever its accuracy."""
    group: float = 0.0
    """Deviation of the differences between groups of seeds."""
    by_example: float | None = None
    """If given, right and wrong examples are drawn of two equal arms, which find examples harder or easier with this
    deviation, in logits; ``deviation`` and ``group`` are in logits, too, and of each arm."""
    examples: int = 400


@dataclasses.dataclass(frozen=True)
class Design:
    """How a study is looked at."""

    seeds: int = 8
    looks: tuple[int, ...] = ()
    """Numbers of seeds, if there are several."""
    arms: int = 1
    margin: float = 1.0
    vary: Vary = dataclasses.field(default_factory=Vary)
    groups_drawn: int = 1
    """In how many groups the seeds truly are; ``vary`` is what the analysis takes them for."""
    confirmed: bool = True
    """Whether the arms share the error; else each has one of its own."""
    knows_examples: bool = True
    """Whether the records say which test examples were right."""
    naive: bool = False
    """Look at each number of seeds as if it were the only one. Nothing in the platform does that."""
    follows_plan: bool = False
    """Run ``more_seeds`` where a study is undecided, and look again."""


@dataclasses.dataclass(frozen=True)
class Tally:
    """What became of some studies."""

    studies: int
    counts: Mapping[Outcome, int]
    """Studies in which any confirmed arm had the verdict; ``too_good`` and ``too_bad``: an interval above or below the
    truth, at any look; ``decided``: all arms; ``planned``: undecided, with ``more_seeds``; ``kept``: decided after."""
    seeds: float
    """Mean number of seeds of the grid."""


class _Naive(Rule):
    @property
    def critical(self) -> tuple[float, ...]:
        return tuple(-float(special.stdtrit(look - 1, self.error)) for look in self.looks)


def tally(truth: Truth, design: Design, studies: int) -> Tally:
    """Simulate studies; those of a smaller number are the first of those of a larger one."""
    draw = np.random.default_rng(20_261_125)
    counts: Counter[Outcome] = Counter()
    total = 0
    for _ in range(studies):
        study = _Study(truth, design, draw)
        said, seeds = study.said()
        counts.update(said)
        total += seeds
    return Tally(studies, counts, total / studies)


class _Study:
    def __init__(self, truth: Truth, design: Design, draw: np.random.Generator) -> None:
        self.truth, self.design = truth, design
        self.difference = truth.difference
        if truth.anywhere:
            self.difference += draw.uniform(-truth.anywhere, truth.anywhere)
        self.arms = _arms(truth.settings, design.arms)
        self.right: dict[str, NDArray[np.bool_]] = {}
        most = _MOST if design.follows_plan else max((design.seeds, *design.looks))
        self.results = (self._accuracies if truth.by_example is None else self._examples)(draw, most)

    def said(self) -> tuple[set[Outcome], int]:
        """Which outcomes the study has, and how many seeds its grid ran."""
        if self.design.looks:
            return self._at_looks()
        seeds = self.design.seeds
        found = self._compared(seeds)
        outcomes = self._outcomes(found)
        more = found.pairs[0].more_seeds
        if self.design.follows_plan and more:
            seeds += more
            outcomes = {"planned", *self._outcomes(self._compared(seeds))}
            if "decided" in outcomes:
                outcomes.add("kept")
        return outcomes, seeds

    def _compared(self, seeds: int) -> Comparison:
        results = [result for result in self.results if result.seed < seeds]
        return compare(
            self._question(seeds), evaluate(self.arms, range(seeds), results, "validation"), correct=self._correct
        )

    def _at_looks(self) -> tuple[set[Outcome], int]:
        design = self.design
        kind = _Naive if design.naive else Rule
        confirmed = tuple(each.name for each in self.arms[1:])
        rule = kind(design.looks, "grid", confirmed, design.margin, vary=design.vary)
        seeds = range(design.looks[-1])
        decisions = follow(rule, self.arms, seeds, self.results, self.truth.test)
        strategies = evaluate(self.arms, seeds, self.results, "validation", reach=decisions.reach)
        found = compare(self._question(len(seeds)), strategies, decisions)
        outcomes = self._outcomes(found)
        looks = [look for decision in decisions.by_arm.values() for look in decision.looks]
        if any(look.low is not None and look.low > self.difference for look in looks):
            outcomes.add("too_good")
        if any(look.high is not None and look.high < self.difference for look in looks):
            outcomes.add("too_bad")
        return outcomes, decisions.reach["grid"]

    def _outcomes(self, found: Comparison) -> set[Outcome]:
        outcomes: set[Outcome] = set()
        for pair in found.pairs:
            if pair.verdict != "undecided":
                outcomes.add(pair.verdict)
            if pair.low is not None and pair.low > self.difference:
                outcomes.add("too_good")
            if pair.high is not None and pair.high < self.difference:
                outcomes.add("too_bad")
        if all(pair.verdict != "undecided" for pair in found.pairs):
            outcomes.add("decided")
        return outcomes

    def _question(self, seeds: int) -> Question:
        design = self.design
        return question(
            margin=design.margin,
            seeds=tuple(range(seeds)),
            test=self.truth.test or (self.truth.examples if self.truth.by_example is not None else None),
            vary=design.vary,
            confirm=None if design.confirmed else (),
        )

    def _correct(self, trial: str) -> NDArray[np.bool_] | None:
        return self.right.get(trial) if self.design.knows_examples else None

    def _accuracies(self, draw: np.random.Generator, most: int) -> list[TrialResult]:
        truth = self.truth
        shared = truth.kind == "normal"
        test, val = _grid(truth, draw, most)
        mean, own = 50 + _selected(truth) + self.difference, truth.deviation / (math.sqrt(2) if shared else 1)
        results = [
            trial("grid", each.label, seed, val[place, seed], test[place, seed])
            for place, each in enumerate(self.arms[0].settings)
            for seed in range(most)
        ]
        for each in self.arms[1:]:
            values = mean + own * DRAWS[truth.kind](draw, most)
            if self.design.groups_drawn > 1:
                groups = truth.group * draw.standard_normal(self.design.groups_drawn)
                values += groups[np.arange(most) % self.design.groups_drawn]
            values = _rounded(values, truth.test)
            fails = draw.random(most) < truth.fails if truth.fails else np.zeros(most, dtype=bool)
            results += [
                failed(each.name, each.name, seed)
                if fails[seed]
                else trial(each.name, each.name, seed, 50, values[seed])
                for seed in range(most)
            ]
        return results

    def _examples(self, draw: np.random.Generator, most: int) -> list[TrialResult]:
        truth, number = self.truth, self.truth.examples
        difficulty = draw.normal(2.0, 2.0, number)
        results = []
        for each in self.arms:
            level = draw.normal(0, truth.deviation, (most, 1))
            level += draw.normal(0, truth.group, (self.design.groups_drawn, 1))[
                np.arange(most) % self.design.groups_drawn
            ]
            lean = draw.normal(0, truth.by_example or 0.0, number)
            right = difficulty + lean + level + draw.logistic(size=(most, number)) > 0
            for seed, accuracy in enumerate(100 * right.mean(axis=1)):
                results.append(trial(each.name, each.settings[0].label, seed, 50, accuracy))
                self.right[results[-1].id] = right[seed]
        return results


def _grid(truth: Truth, draw: np.random.Generator, most: int) -> tuple[Array, Array]:
    """Test and validation accuracies of the grid, shape (settings, seeds) each."""
    shape = truth.settings, most
    means = 50 + np.array(_GRID if truth.settings == len(_GRID) else [0.0])[:, None]
    noise = truth.deviation / math.sqrt(2) * draw.standard_normal(shape) if truth.kind == "normal" else np.zeros(shape)
    test = means + noise
    val = test + draw.standard_normal(shape) if truth.settings > 1 else test
    return _rounded(test, truth.test), _rounded(val, truth.validation)


@functools.lru_cache(maxsize=16)
def _selected(truth: Truth) -> float:
    """The mean test accuracy of what the grid selects, minus 50."""
    if truth.settings == 1:
        return 0.0
    draw = np.random.default_rng(1)
    test, val = _grid(dataclasses.replace(truth, test=None), draw, 1_000_000)
    best = (val + 1e-9 * draw.random(val.shape)).argmax(axis=0)  # ties are drawn
    return float(test[best, np.arange(val.shape[1])].mean()) - 50


def _rounded(values: Array, examples: int | None) -> Array:
    return values if examples is None else np.round(values * examples / 100) * 100 / examples


@functools.lru_cache(maxsize=16)
def _arms(settings: int, arms: int) -> tuple[Arm, ...]:
    """A grid, which is the baseline, and arms that are confirmed unless the study says otherwise."""
    grid = arm("grid", *(f"T={place + 1}" for place in range(settings)), fixed=True)
    return grid, *(arm(f"arm {place + 1}") for place in range(arms))
