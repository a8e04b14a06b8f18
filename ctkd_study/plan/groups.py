"""How many groups of seeds with their own teacher and split, and how many seeds in each, serve a study best."""

import dataclasses
import math
import statistics
from collections.abc import Mapping

from ctkd_study.analysis import METRICS, components, default_baseline, evaluate
from ctkd_study.records import TrialResult
from ctkd_study.spec import FEWEST_GROUPS, StudySpec
from trainables.record import Manifest


@dataclasses.dataclass(frozen=True)
class GroupAdvice:
    """The groups that give the narrowest interval for what the study costs."""

    groups: int
    seeds_per_group: int
    group_seconds: float
    """Device-seconds of one more group: its teacher and bank."""
    seed_seconds: float
    """Device-seconds of one more seed of all arms."""
    between_groups: float | None
    """Standard deviation of the differences to the baseline between groups, beyond that of seeds; percent points."""
    between_seeds: float | None
    """The same between seeds of a group; None, both, where it was assumed that they are equal."""

    def __str__(self) -> str:
        spread = "it is assumed that differences vary as much between groups as between seeds"
        number = self.groups
        if self.between_groups is not None and self.between_seeds is not None:
            spread = (
                f"differences so far vary by {self.between_seeds:.2g} points between seeds of a group, and by "
                f"{self.between_groups:.2g} between groups"
            )
        return (
            f"A teacher with its bank costs {self.group_seconds:.3g} device-seconds, a seed of all arms "
            f"{self.seed_seconds:.3g}, and {spread}: about {number} groups of {self.seeds_per_group} seeds tell most "
            f"about new teachers and splits for the cost (vary: {{teacher: {number}, split: {number}}}, seeds: "
            f"{number * self.seeds_per_group})."
        )


def advise(
    spec: StudySpec, records: Mapping[str, Manifest], group_seconds: float, seed_seconds: float
) -> GroupAdvice | None:
    """Return the groups to choose.

    With m seeds in each of G groups, the variance of a mean difference is (σ²_group + σ²_seed / m) / G, at the cost of
    G (c_group + m c_seed); for a given cost it is smallest at m = √(c_group σ²_seed / (c_seed σ²_group)).

    Args:
        spec: the study.
        records: the newest records of its trials, by id; they tell the variances.
        group_seconds: device-seconds of one more group.
        seed_seconds: device-seconds of one more seed of all arms, above 0.
    """
    if seed_seconds <= 0 or spec.protocol == "paper":
        return None
    found = _variances(spec, records)
    within, between = found or (1.0, 1.0)
    budget = spec.vary.groups * group_seconds + len(spec.all_seeds) * seed_seconds
    most = max(len(spec.all_seeds) // FEWEST_GROUPS, 1)
    best = math.sqrt(group_seconds / seed_seconds * within / between) if between > 0 else math.inf
    seeds = most if math.isinf(best) else max(round(best), 1)
    groups = max(int(budget / (group_seconds + seeds * seed_seconds) + 1e-9), FEWEST_GROUPS)
    between_groups, between_seeds = (math.sqrt(between), math.sqrt(within)) if found is not None else (None, None)
    return GroupAdvice(groups, seeds, group_seconds, seed_seconds, between_groups, between_seeds)


def _variances(spec: StudySpec, records: Mapping[str, Manifest]) -> tuple[float, float] | None:
    """Return the variances of differences between seeds of a group and between groups, a mean over the arms."""
    results = [TrialResult.from_manifest(manifest) for manifest in records.values()]
    strategies = {each.name: each for each in evaluate(spec.resolved_arms, spec.all_seeds, results, spec.protocol)}
    baseline = strategies[spec.baseline or default_baseline(spec.resolved_arms)]
    metric, theirs = METRICS[spec.metric], {each.seed: each for each in baseline.replicates}
    found = []
    for strategy in strategies.values():
        differences = ((each.seed, metric.difference(each, theirs[each.seed])) for each in strategy.replicates)
        by_seed = {seed: difference for seed, difference in differences if difference is not None}
        if strategy is not baseline and strategy.arm.uses_teacher:
            found.append(components(list(by_seed.values()), [spec.vary.group(seed) for seed in by_seed]))
    known = [each for each in found if each is not None]
    if not known:
        return None
    return statistics.fmean(within for within, _ in known), statistics.fmean(between for _, between in known)
