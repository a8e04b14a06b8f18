"""A study's trials, in order."""

import dataclasses

from ctkd_study.spec import PlannedTrial, StudySpec


@dataclasses.dataclass(frozen=True)
class Plan:
    """All trials of a study, seed by seed, so that early results already compare whole strategies."""

    spec: StudySpec
    trials: tuple[PlannedTrial, ...]


def make_plan(spec: StudySpec) -> Plan:
    """The study's trials: for each seed every setting of every arm, in the order of the file."""
    settings = spec.settings()
    return Plan(spec, tuple(setting.trial(seed) for seed in spec.seeds for setting in settings))
