"""Which trials run next: the plan is a function of the record."""

import dataclasses
from collections.abc import Mapping

from ctkd_study.plan.rule import decisions
from ctkd_study.spec import PlannedTrial, StudySpec
from trainables.record import Manifest


@dataclasses.dataclass(frozen=True)
class Plan:
    """All trials that a study may run, seed by seed; where seeds are added until it is decided, not all of them do."""

    spec: StudySpec
    trials: tuple[PlannedTrial, ...]


def make_plan(spec: StudySpec) -> Plan:
    """Plan a study."""
    trials = (setting.trial(seed) for seed in spec.all_seeds for arm in spec.resolved_arms for setting in arm.settings)
    return Plan(spec, tuple(trials))


def due(study: StudySpec, records: Mapping[str, Manifest]) -> tuple[PlannedTrial, ...]:
    """Return the trials to run now, in the order in which to start them.

    A pure function: first launch, resume, added seeds and arms, and retries are all this one rule. A trial whose record
    says "running" is due, because it goes on from its last checkpoint.

    Args:
        study: the settled study.
        records: the newest manifest of each trial that has one, by trial id.

    Returns:
        Seed by seed, so that early results already compare whole strategies; within a seed, arm by arm.
    """
    seeds, found = study.all_seeds, decisions(study, records)
    return tuple(
        trial
        for place, seed in enumerate(seeds)
        for arm in study.resolved_arms
        if found is None or place < found.reach[arm.name]
        for trial in arm.due(seed, records)
    )
