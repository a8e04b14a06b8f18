"""A study's trials, in order."""

import dataclasses

from ctkd_study.spec import Setting, StudySpec
from trainables.config import TrialConfig


@dataclasses.dataclass(frozen=True)
class PlannedTrial:
    """A setting with a seed."""

    setting: Setting
    seed: int

    @property
    def id(self) -> str:
        return f"{self.setting.arm}-{self.setting.key}-s{self.seed}"

    @property
    def arm(self) -> str:
        return self.setting.arm

    @property
    def config(self) -> TrialConfig:
        """The trial's configuration, its ``run`` still empty."""
        return self.setting.config.model_copy(update={"seed": self.seed})


@dataclasses.dataclass(frozen=True)
class Plan:
    """All trials of a study, seed by seed, so that early results already compare whole strategies."""

    spec: StudySpec
    trials: tuple[PlannedTrial, ...]


def make_plan(spec: StudySpec) -> Plan:
    """The study's trials: for each seed every setting of every arm, in the order of the file."""
    settings = spec.settings()
    return Plan(spec, tuple(PlannedTrial(setting, seed) for seed in spec.seeds for setting in settings))
