"""Looks at a growing number of seeds: which arms are decided, and how many seeds each arm is to run.

All of it is a function of the trials that have ended, so an interruption changes nothing, and no look needs a file. A
look at n seeds is taken once every arm that still runs has ended its first n seeds; it sees these seeds and no others.
Its interval is a repeated confidence interval (``spending``): all intervals of a pair together hold with 97.5 % on each
side, shared among the confirmed arms.
"""

import dataclasses
import math
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Literal

import numpy as np
from numpy.typing import ArrayLike
from scipy import special

from ctkd_study.analysis import inference
from ctkd_study.analysis.metrics import TOP1, Metric
from ctkd_study.analysis.spending import critical_values, spent
from ctkd_study.analysis.strategies import Protocol, Replicate, replicate
from ctkd_study.analysis.variation import group_means
from ctkd_study.records import TrialResult
from ctkd_study.spec import Arm, Vary

FUTILE = 0.10
"""An arm gets no more seeds where a decision at the last look has a smaller chance."""
MOST_DROPPED = 0.10
"""Part of the seeds with nothing to select; with more, the others no longer describe a pair."""

State = Literal["open", "decided", "futile", "all seeds", "budget"]
"""Whether an arm needs more seeds; if not, why."""


@dataclasses.dataclass(frozen=True)
class Rule:
    """What is fixed before the first look."""

    looks: tuple[int, ...]
    """Numbers of seeds, rising; the last is the most."""
    baseline: str
    confirmed: tuple[str, ...]
    """The arms that are to be decided."""
    margin: float
    """In the unit of the metric."""
    metric: Metric = TOP1
    protocol: Protocol = "validation"
    vary: Vary = dataclasses.field(default_factory=Vary)
    """Where it makes groups of seeds, the values are the groups' means, at looks with whole rounds of groups."""
    device_seconds: float | None = None
    """What the trials may take, evaluation and the teacher's work in them included."""

    @property
    def error(self) -> float:
        """One-sided, of one confirmed arm."""
        return inference.ERROR / len(self.confirmed)

    @property
    def critical(self) -> tuple[float, ...]:
        """The bounds of |t|, one for each look."""
        if self.vary.groups > 1:
            return tuple(self.bound(place, self.vary.groups) for place in range(len(self.looks)))
        return critical_values(self.looks, self.looks[-1], self.error)

    def bound(self, place: int, values: int) -> float:
        """The bound of |t| of one look at some values, valid whatever the other looks were.

        All bounds together have at most the error that may be spent, because each has its own share of it. They are
        needed where values are not those that were there before and new ones: groups' means change with every seed.

        Args:
            place: of the look.
            values: how many it has.
        """
        earlier = spent(self.looks[place - 1], self.looks[-1], self.error) if place else 0.0
        share = spent(self.looks[place], self.looks[-1], self.error) - earlier
        return -float(special.stdtrit(values - 1, share)) if values > 1 else math.inf


@dataclasses.dataclass(frozen=True)
class Look:
    """An arm minus the baseline, as one look sees it. Percent points."""

    seeds: int
    """How many had been run."""
    difference: float | None
    low: float | None
    high: float | None
    """The repeated confidence interval; None where there are too few differences for one."""
    verdict: inference.Verdict


@dataclasses.dataclass(frozen=True)
class Decision:
    """How far the question about one arm is."""

    looks: tuple[Look, ...] = ()
    """Those that were taken; none after the one that decided."""
    state: State = "open"


@dataclasses.dataclass(frozen=True)
class Decisions:
    """Where a study stands whose seeds are added until it is decided."""

    rule: Rule
    by_arm: Mapping[str, Decision]
    """Of the confirmed arms."""
    reach: Mapping[str, int]
    """How many seeds each arm is to run, in all."""

    @property
    def seeds(self) -> int:
        """How many seeds the arm with the most is to run."""
        return max(self.reach.values())


def follow(
    rule: Rule, arms: Sequence[Arm], seeds: Sequence[int], results: Iterable[TrialResult], test: int | None = None
) -> Decisions:
    """Take all looks for which the trials have ended.

    Args:
        rule: what was fixed before.
        arms: all of the study.
        seeds: in the order in which they run, at least as many as the last look sees.
        results: of the trials that have a record.
        test: how many test examples there are; equal differences are taken to vary by their rounding.
    """
    floor = math.sqrt(2) * rule.metric.rounding(test)
    known = {result.id: result for result in results}
    costs: dict[tuple[str, int], float] = defaultdict(float)
    for result in known.values():
        costs[result.arm, result.seed] += result.all_device_seconds
    found: dict[str, list[Replicate]] = {arm.name: [] for arm in arms}
    reach = dict.fromkeys(found, rule.looks[0])
    decisions = {name: Decision() for name in rule.confirmed}
    for place, look in enumerate(rule.looks):
        running = [arm for arm in arms if reach[arm.name] == look]
        for arm in running:
            begun = found[arm.name]
            begun += [replicate(arm, seed, known, rule.protocol) for seed in seeds[len(begun) : look]]
        if not all(each.complete for arm in running for each in found[arm.name]):
            break
        for name in [name for name, decision in decisions.items() if decision.state == "open"]:
            pairs = zip(found[name], found[rule.baseline], strict=True)
            differences = {ours.seed: rule.metric.difference(ours, theirs) for ours, theirs in pairs}
            decisions[name] = _looked(rule, place, decisions[name], differences, floor)
        still = [name for name, decision in decisions.items() if decision.state == "open"]
        if not still:
            break
        following = rule.looks[place + 1]
        if rule.device_seconds is not None:
            paid = {name: sum(costs[name, seed] for seed in seeds[: reach[name]]) for name in found}
            a_seed = sum(paid[name] for name in (*still, rule.baseline)) / look
            if sum(paid.values()) + a_seed * (following - look) > rule.device_seconds:
                decisions |= {name: dataclasses.replace(decisions[name], state="budget") for name in still}
                break
        reach |= dict.fromkeys((*still, rule.baseline), following)
    return Decisions(rule, decisions, reach)


def _looked(
    rule: Rule, place: int, before: Decision, differences: Mapping[int, float | None], floor: float
) -> Decision:
    """The decision after one more look, at differences by seed."""
    kept = {seed: difference for seed, difference in differences.items() if difference is not None}
    dropped = len(differences) - len(kept)
    values = list(kept.values())
    if rule.vary.groups > 1:
        values = group_means(values, [rule.vary.group(seed) for seed in kept])
    # With a seed dropped, the values are of other numbers of seeds than the looks' bounds are for.
    critical = rule.bound(place, len(values)) if dropped else rule.critical[place]
    mean, low, high = float(np.mean(values)) if values else None, None, None
    if mean is not None and len(values) >= inference.FEWEST_SEEDS and math.isfinite(critical):
        half = critical * inference.spread(values, floor) / math.sqrt(len(values))
        low, high = mean - half, mean + half
    verdict = inference.decide(low, high, rule.margin)
    if dropped > MOST_DROPPED * len(differences):
        verdict = "undecided"
    look = Look(len(differences), mean, low, high, verdict)
    return Decision((*before.looks, look), _state(rule, place, verdict, values, dropped, floor))


def _state(
    rule: Rule, place: int, verdict: inference.Verdict, values: Sequence[float], dropped: int, floor: float
) -> State:
    if verdict != "undecided":
        return "decided"
    if place == len(rule.looks) - 1:
        return "all seeds"
    most = rule.looks[-1]
    if dropped > MOST_DROPPED * most:
        return "futile"
    if len(values) < inference.FEWEST_SEEDS or rule.vary.groups > 1:  # more seeds do not make groups spread less
        return "open"
    mean, deviation = float(np.mean(values)), inference.spread(values, floor)
    chance = chance_of_decision(mean, deviation, len(values), most - dropped, rule.critical[-1], rule.margin)
    return "futile" if chance < FUTILE else "open"


def chance_of_decision(
    mean: ArrayLike, deviation: ArrayLike, seeds: int, most: int, critical: float, margin: float
) -> Any:
    """The predictive chance that the interval after the last look is decided.

    The later mean is, given the seeds so far, t distributed around the present one (a normal mean and deviation with
    flat priors); the later deviation is taken to be the present one.

    Args:
        mean, deviation: of the differences so far, percent points; numbers or arrays.
        seeds, most: how many there are, and will be.
        critical: of the last look.
        margin: percent points.
    """
    mean, deviation = np.asarray(mean, dtype=np.float64), np.asarray(deviation, dtype=np.float64)
    scale = np.maximum(deviation, 1e-12) * math.sqrt(1 / seeds - 1 / most) if most > seeds else 1e-12
    half = critical * deviation / math.sqrt(most)
    above, below = (mean + margin - half) / scale, (mean + margin + half) / scale
    return special.stdtr(seeds - 1, above) + special.stdtr(seeds - 1, -below)
