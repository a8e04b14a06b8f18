"""A study's trials, in order."""

import dataclasses

from ctkd_study.plan.due import due
from ctkd_study.spec import PlannedTrial, StudySpec


@dataclasses.dataclass(frozen=True)
class Plan:
    """All trials of a study, seed by seed, so that early results already compare whole strategies."""

    spec: StudySpec
    trials: tuple[PlannedTrial, ...]


def make_plan(spec: StudySpec) -> Plan:
    """Plan a study: all that is due where nothing is recorded yet."""
    return Plan(spec, due(spec, {}))
