"""What a study of this kind would need, from finished trials where there are some."""

import dataclasses
import math
import statistics
from collections.abc import Mapping

from ctkd_study.analysis import (
    FEWEST_SEEDS,
    PUBLISHED_SPREADS,
    Rule,
    Spread,
    StudyDesign,
    design,
    evaluate,
    paired_difference,
)
from ctkd_study.errors import StudyError
from ctkd_study.plan.estimate import Estimate
from ctkd_study.plan.rule import rule_of
from ctkd_study.records import TrialResult
from ctkd_study.spec import StudySpec, UntilOptions
from trainables.record import Manifest


def needs(study: StudySpec, records: Mapping[str, Manifest], estimate: Estimate) -> StudyDesign:
    """Return what a study would need with a fixed number of seeds, and if seeds were added until it is decided.

    Args:
        study: with or without ``until``; without it, the usual one is taken.
        records: the newest manifest of each trial that has one, by trial id; they tell the spread.
        estimate: of the study, which tells the cost.

    Raises:
        StudyError: there is nothing to decide.
    """
    if study.protocol == "paper":
        raise StudyError("protocol 'paper' gives no verdict, so there is no chance of one to tell")
    groups = study.vary.groups
    listed = math.ceil(max(len(study.seeds), FEWEST_SEEDS) / groups) * groups
    until = study.until or UntilOptions.model_validate(study.usual_until()).settled(listed)
    rule = rule_of(study.model_copy(update={"until": until}))
    if rule is None or not rule.confirmed:
        raise StudyError("there must be an arm to compare with the baseline")
    fixed = until.looks[-1] if study.until is not None else max((study.seeds_planned or 0) // groups * groups, listed)
    costs = dict.fromkeys((arm.name for arm in study.resolved_arms), None) | {
        arm.arm: arm.device_seconds.middle / len(study.all_seeds) for arm in estimate.arms
    }
    return design(dataclasses.replace(rule, looks=(fixed,)), rule, _spreads(study, rule, records), costs)


def _spreads(study: StudySpec, rule: Rule, records: Mapping[str, Manifest]) -> tuple[Spread, ...]:
    """The largest spread of a confirmed arm's differences so far, else some that were published."""
    results = [TrialResult.from_manifest(manifest) for manifest in records.values()]
    strategies = {each.name: each for each in evaluate(study.resolved_arms, study.all_seeds, results, study.protocol)}
    found = []
    for name in rule.confirmed:
        pair = paired_difference(strategies[name], strategies[rule.baseline], rule.margin, metric=rule.metric)
        values = [value for value in pair.per_seed if value is not None]
        if len(values) >= FEWEST_SEEDS and (deviation := statistics.stdev(values)) > 0:
            found.append(
                Spread(deviation, f"that of {name} minus {rule.baseline} at {len(values)} seeds of this study")
            )
    if found:
        return (max(found, key=lambda spread: spread.points),)
    return tuple(Spread(points, "published") for points in PUBLISHED_SPREADS)
