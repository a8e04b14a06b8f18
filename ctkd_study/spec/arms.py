"""Arms, their settings and their trials: what a study consists of once its file is resolved."""

import dataclasses
import itertools
from collections.abc import Mapping
from typing import Any

from ctkd_study.spec.vary import Vary
from trainables.config import TrialConfig
from trainables.record import Manifest


@dataclasses.dataclass(frozen=True)
class Setting:
    """One point of an arm: a trial without its seed."""

    arm: str
    key: str
    """8 hex digits: the hash of the arm's own keys, as validated, in canonical JSON."""
    label: str
    """For people, e.g. ``T=4``; unique in its arm."""
    overrides_student: bool
    """Whether its student differs from the study's."""
    overrides_epochs: bool
    """Whether it trains for another number of epochs than the study's recipe."""
    config: TrialConfig
    """The configuration with seed 0 and an empty ``run``; a trial fills in both."""
    vary: Vary
    """In which groups of seeds the teacher and the split are others."""
    suggestion: int | None = None
    """Its number in the search of its seed, from 1; None in a grid."""
    search: Mapping[str, Any] | None = None
    """What decided the suggestion, besides the earlier trials; None in a grid."""
    scheduler: Mapping[str, Any] | None = None
    """What may stop its trials before their end; None where nothing does."""

    def trial(self, seed: int) -> "PlannedTrial":
        """Return the trial of this setting with a seed."""
        return PlannedTrial(self, seed)


@dataclasses.dataclass(frozen=True)
class PlannedTrial:
    """A setting with a seed: one training."""

    setting: Setting
    seed: int

    @property
    def id(self) -> str:
        """The trial's name: of its folder, in Ray and in MLflow."""
        return f"{self.setting.arm}-{self.setting.key}-s{self.seed}"

    @property
    def arm(self) -> str:
        """Name of the arm."""
        return self.setting.arm

    @property
    def config(self) -> TrialConfig:
        """The trial's configuration, its ``run`` still empty."""
        return self.setting.vary.applied(self.setting.config, self.seed)

    @property
    def group(self) -> int:
        """The group of its seed: the trials of a group share a teacher and a split."""
        return self.setting.vary.group(self.seed)

    @property
    def split_group(self) -> int:
        """The first group with the same data and split as its own."""
        return self.setting.vary.split_group(self.seed)


@dataclasses.dataclass(frozen=True)
class Arm:
    """One way to set the temperature: a grid of settings, or a single one; ``search`` has those that are searched."""

    name: str
    settings: tuple[Setting, ...]
    """In the order of the grid's product, the last grid running fastest."""
    block: dict[str, Any]
    """The arm's block in the study file, its values as validated: paths absolute, 4 and 4.0 the same."""

    @property
    def size(self) -> int:
        """How many settings each seed tries."""
        return len(self.settings)

    @property
    def expected(self) -> tuple[Setting, ...]:
        """As many settings as each seed tries, for estimates: of a search, those that stand for the others, in turn."""
        return tuple(itertools.islice(itertools.cycle(self.settings), self.size))

    @property
    def searched(self) -> Mapping[str, Any] | None:
        """What decides the suggestions of a search, besides the earlier trials; None for a grid."""
        return None

    @property
    def fixed(self) -> bool:
        """Whether every setting holds the temperature at one value."""
        return all(getattr(setting.config.temperature, "kind", None) == "fixed" for setting in self.settings)

    @property
    def uses_teacher(self) -> bool:
        """Whether any setting learns from a teacher."""
        return any(setting.config.uses_teacher for setting in self.settings)

    @property
    def overrides_student(self) -> bool:
        """Whether any setting has another student than the study's."""
        return any(setting.overrides_student for setting in self.settings)

    @property
    def overrides_epochs(self) -> bool:
        """Whether any setting trains for another number of epochs than the study's recipe."""
        return any(setting.overrides_epochs for setting in self.settings)

    def trials(self, seed: int, records: Mapping[str, Manifest]) -> tuple[PlannedTrial, ...]:
        """Return the trials of one seed, in the order of the settings; records are by trial id."""
        return tuple(setting.trial(seed) for setting in self.settings)

    def due(self, seed: int, records: Mapping[str, Manifest]) -> tuple[PlannedTrial, ...]:
        """Return the trials of one seed that are known and have not ended; records are by trial id."""
        return tuple(
            trial
            for trial in self.trials(seed, records)
            if (record := records.get(trial.id)) is None or record.status == "running"
        )
