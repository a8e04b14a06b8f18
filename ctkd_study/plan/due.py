"""Which trials run next: the plan is a function of the record."""

import dataclasses
from collections.abc import Mapping

from ctkd_study.spec import PlannedTrial, StudySpec
from trainables.record import Manifest


@dataclasses.dataclass(frozen=True)
class Plan:
    """All trials of a study, seed by seed, so that early results already compare whole strategies."""

    spec: StudySpec
    trials: tuple[PlannedTrial, ...]


def make_plan(spec: StudySpec) -> Plan:
    """Plan a study: all that is due where nothing is recorded yet."""
    return Plan(spec, due(spec, {}))


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
    return tuple(trial for seed in study.seeds for arm in study.resolved_arms for trial in arm.due(seed, records))
