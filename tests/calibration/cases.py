"""What is simulated, and what each case promises: the one table of ``make calibrate`` and of its short form."""

import dataclasses
from collections.abc import Mapping, Sequence
from types import MappingProxyType

from scipy import stats

from ctkd_study.spec import Vary
from tests.calibration.simulation import COLLAPSING, Design, Outcome, Tally, Truth

CONFIDENCE = 0.999
ERROR: Mapping[Outcome, tuple[float, float]] = MappingProxyType({"too_good": (0, 0.025), "too_bad": (0, 0.025)})
EXACT: Mapping[Outcome, tuple[float, float]] = MappingProxyType({"too_good": (0.025,) * 2, "too_bad": (0.025,) * 2})
NOTHING: Mapping[Outcome, tuple[float, float]] = MappingProxyType({})


@dataclasses.dataclass(frozen=True)
class Case:
    """Studies of one kind."""

    truth: Truth
    design: Design
    promise: Mapping[Outcome, tuple[float, float]] = dataclasses.field(default_factory=lambda: ERROR)
    """The rates that are promised, each as the least and the most."""
    breaks: bool = False
    """Whether the error is known not to hold; the promise is then how large it is."""
    short: int = 0
    """How many studies the default test run simulates."""


EVERY, STEPS = tuple(range(5, 21)), (5, 10, 15, 20)
FIVE = Vary(teacher=5)
GRID = Truth(settings=5)
COLLAPSE = Truth(difference=-1.5, deviation=COLLAPSING, kind="collapsing")
EXAMPLES = Truth(difference=0.0, deviation=0.1, by_example=1.0)
IN_GROUPS = Truth(deviation=0.7, group=0.7)


def _skewed(side: str) -> Truth:
    return Truth(kind=f"skewed to the {side}")


def _too_good(least: float, most: float) -> Mapping[Outcome, tuple[float, float]]:
    return {"too_good": (least, most)}


def _too_bad(least: float, most: float) -> Mapping[Outcome, tuple[float, float]]:
    return {"too_bad": (least, most)}


SECTIONS: Mapping[str, Mapping[str, Case]] = {
    "One look, true difference -margin": {
        "3 seeds": Case(Truth(), Design(3), EXACT),
        "5 seeds": Case(Truth(), Design(5), EXACT),
        "8 seeds, grid of 5 selects": Case(GRID, Design(8), short=150),
        "8 seeds, grid of 5 selects by 200 validation examples, 200 test examples": Case(
            Truth(settings=5, validation=200, test=200), Design(8)
        ),
        "10 seeds, arm fails at 5 % of them": Case(Truth(fails=0.05), Design(10)),
    },
    "Several arms, true difference -margin, errors of any": {
        "3 arms, 8 seeds, grid of 5 selects": Case(GRID, Design(8, arms=3), short=100),
        "10 arms, 8 seeds": Case(Truth(), Design(8, arms=10)),
        "3 arms, each with an error of its own (exploratory)": Case(
            Truth(), Design(8, arms=3, confirmed=False), _too_good(0.05, 0.09), breaks=True
        ),
    },
    "Looks of `--until-decided`, true difference -margin": {
        "at 5, 6, …, 20 seeds": Case(Truth(), Design(looks=EVERY), EXACT, short=150),
        "at 5, 10, 15, 20 seeds, grid of 5 selects": Case(GRID, Design(looks=STEPS)),
        "at 5, 6, …, 20 seeds, 3 arms": Case(Truth(), Design(looks=EVERY, arms=3), short=60),
        "at 10, 15, 20 seeds in 5 groups": Case(
            IN_GROUPS, Design(looks=STEPS[1:], vary=FIVE, groups_drawn=5), short=100
        ),
        "at 5, 6, …, 20 seeds, each as if it were the only one": Case(
            Truth(), Design(looks=EVERY, naive=True), _too_good(0.06, 0.15), breaks=True, short=150
        ),
    },
    "Looks of `--until-decided`, other true differences": {
        "difference 0": Case(Truth(0.0), Design(looks=EVERY), {**ERROR, "decided": (0.99, 1.0)}, short=100),
        "difference 0, standard deviation 1.4": Case(
            Truth(0.0, deviation=1.4), Design(looks=EVERY), {**ERROR, "decided": (0.75, 0.80)}
        ),
        "difference -2.4, standard deviation 0.8": Case(
            Truth(-2.4, deviation=0.8), Design(looks=EVERY), {**ERROR, "worse": (0.99, 1.0)}
        ),
    },
    "8 seeds, and then as many as `more_seeds` says; standard deviation 1": {
        "differences anywhere from -4 to 4": Case(
            Truth(0.0, anywhere=4.0, deviation=1.0), Design(follows_plan=True), {"kept": (0.75, 0.85)}, short=250
        ),
        "difference 0": Case(Truth(0.0, deviation=1.0), Design(follows_plan=True), NOTHING),
        "difference -margin/2": Case(Truth(-0.5, deviation=1.0), Design(follows_plan=True), NOTHING),
        "difference -margin": Case(Truth(-1.0, deviation=1.0), Design(follows_plan=True), NOTHING),
    },
    "New test examples, teachers and splits": {
        "24 seeds, 400 examples": Case(EXAMPLES, Design(24), short=100),
        "24 seeds, 400 examples, not known which were right": Case(
            EXAMPLES, Design(24, knows_examples=False), _too_good(0.08, 0.25), breaks=True, short=100
        ),
        "8 seeds, 400 examples, seeds vary more": Case(dataclasses.replace(EXAMPLES, deviation=0.3), Design(8)),
        "10 seeds in 5 groups, 400 examples": Case(
            dataclasses.replace(EXAMPLES, deviation=0.3, group=0.3), Design(10, vary=FIVE, groups_drawn=5)
        ),
        "20 seeds in 5 groups": Case(IN_GROUPS, Design(20, vary=FIVE, groups_drawn=5), EXACT, short=100),
        "20 seeds in 5 groups, taken for independent": Case(
            IN_GROUPS, Design(20, groups_drawn=5), _too_good(0.06, 0.25), breaks=True
        ),
    },
    "Differences that are not normal, true difference -margin": {
        "heavy tails (t with 5 degrees of freedom), 8 seeds": Case(Truth(kind="t5"), Design(8)),
        "heavy tails, looks at 5, 6, …, 20 seeds": Case(Truth(kind="t5"), Design(looks=EVERY)),
        "skewed to the left (skewness 1.4), 8 seeds": Case(
            _skewed("left"), Design(8), _too_good(0.04, 0.10), breaks=True
        ),
        "skewed to the right, 8 seeds": Case(_skewed("right"), Design(8), _too_bad(0.04, 0.10), breaks=True),
        "skewed to the left, looks at 5, 6, …, 20 seeds": Case(
            _skewed("left"), Design(looks=EVERY), _too_good(0.05, 0.12), breaks=True
        ),
        "skewed to the right, looks at 5, 6, …, 20 seeds": Case(
            _skewed("right"), Design(looks=EVERY), _too_bad(0.05, 0.12), breaks=True
        ),
        "one seed in ten collapses by 15 points, 8 seeds, margin 1.5": Case(
            COLLAPSE, Design(8, margin=1.5), _too_good(0.35, 0.50), breaks=True, short=100
        ),
        "one seed in ten collapses, looks at 5, 6, …, 20 seeds": Case(
            COLLAPSE, Design(looks=EVERY, margin=1.5), _too_good(0.35, 0.65), breaks=True
        ),
    },
}
"""By section and title, as the page shows them. Margin 1, standard deviation 0.7 and equal arms, unless said."""

DIFFERENCES = (-2.0, -1.5, -1.0, -0.75, -0.5, -0.25, 0.0, 0.5, 1.0)
CURVES: Mapping[str, Mapping[str, Case]] = {
    name: {
        f"{difference:g}": Case(dataclasses.replace(GRID, difference=difference), design) for difference in DIFFERENCES
    }
    for name, design in {"8 seeds": Design(8), "looks at 5, 6, …, 20 seeds": Design(looks=EVERY)}.items()
}
"""The chance of each verdict by the true difference, for a figure."""


def span(count: int, studies: int) -> tuple[float, float]:
    """The rates that explain a count: the 99.9 % interval of a binomial rate (Clopper and Pearson)."""
    if not studies:
        return 0.0, 1.0
    tail = (1 - CONFIDENCE) / 2
    low = float(stats.beta.ppf(tail, count, studies - count + 1)) if count else 0.0
    high = float(stats.beta.isf(tail, count + 1, studies - count)) if count < studies else 1.0
    return low, high


def faults(case: Case, found: Tally) -> Sequence[str]:
    """Say which promises the counts contradict."""
    broken = []
    for outcome, (least, most) in case.promise.items():
        low, high = span(found.counts.get(outcome, 0), out_of(outcome, found))
        if high < least or low > most:
            said = f"promised {100 * least:g} to {100 * most:g} %"
            broken.append(f"{outcome}: {100 * low:.2f} to {100 * high:.2f} %, {said}")
    return broken


def out_of(outcome: Outcome, found: Tally) -> int:
    """Return of how many studies an outcome is counted."""
    return found.counts.get("planned", 0) if outcome == "kept" else found.studies
