"""Which trials run next: the plan is a function of the record."""

import dataclasses
from collections.abc import Mapping
from types import MappingProxyType

from ctkd_study.plan.rule import decisions
from ctkd_study.spec import PlannedTrial, StudySpec
from trainables.record import Manifest

_NO_RECORDS: Mapping[str, Manifest] = MappingProxyType({})


@dataclasses.dataclass(frozen=True)
class Plan:
    """All known trials that a study may run, seed by seed; where seeds are added until it is decided, not all do."""

    spec: StudySpec
    trials: tuple[PlannedTrial, ...]
    """Of searched arms, those that are recorded, and the next of each seed."""

    @property
    def size(self) -> int:
        """How many trials the study may run, those included that searches have not suggested yet."""
        return len(self.spec.all_seeds) * sum(arm.size for arm in self.spec.resolved_arms)


def make_plan(spec: StudySpec, records: Mapping[str, Manifest] = _NO_RECORDS) -> Plan:
    """Plan a study; the records, by trial id, are the history of its searches."""
    arms = spec.resolved_arms
    return Plan(spec, tuple(trial for seed in spec.all_seeds for arm in arms for trial in arm.trials(seed, records)))


def due(study: StudySpec, records: Mapping[str, Manifest]) -> tuple[PlannedTrial, ...]:
    """Return the trials to run now, in the order in which to start them.

    A pure function: first launch, resume, added seeds and arms, searches, and retries are all this one rule. A trial
    whose record says "running" is due, because it goes on from its last checkpoint.

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
