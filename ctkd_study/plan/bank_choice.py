"""Where a study's trials read the teacher's outputs: in a bank if that saves work and fits, else online.

The choice is made at the study's first run and stored with it, because it is part of every trial's fingerprint: more
seeds or arms change what a bank would save, but not where outputs come from.
"""

import dataclasses

from ctkd_study.errors import StudyError
from ctkd_study.spec import StudySpec
from trainables.bank import PRECISIONS, row_bytes, share_of
from trainables.config import TeacherSource, TrialConfig
from trainables.data import sizes_of, student_examples

LEAST_SAVED = 0.1
"""Share of the teacher's passes that a bank must save to be worth its files."""


@dataclasses.dataclass(frozen=True)
class BankForecast:
    """What a bank would do for a study, per example of the training subset."""

    config: TrialConfig
    """Of a trial that would read it; one that reads pooled vectors, if any does."""
    source: TeacherSource
    """The bank's precision, as ``teacher_source`` names it."""
    reads: int
    """How often trials will read the teacher's outputs."""
    views: float
    """How many views the teacher must look at for that, expected."""

    @property
    def pays(self) -> bool:
        """Whether the bank saves enough of the teacher's passes."""
        return self.views <= (1 - LEAST_SAVED) * self.reads

    def bytes(self) -> float:
        """Size of the bank; reads the data set only if its sizes are not known."""
        config = self.config
        if config.teacher is None:
            raise TypeError("a trial that reads a bank has a teacher")
        sizes = sizes_of(config.data)
        head = config.teacher.network().build(sizes.classes, sizes.channels, sizes.size).head
        widths = (sizes.classes, *((head.in_features,) if config.distiller.needs == "pooled" else ()))
        examples = student_examples(config.data, sizes.train)
        return examples * self.views * row_bytes(PRECISIONS[self.source], *widths)


def reads_of(spec: StudySpec) -> int:
    """Return how often the trials of a study read each example's outputs of the teacher, where a bank can hold them."""
    configs = [setting.config for arm in spec.resolved_arms for setting in arm.expected]
    epochs = (config.recipe.epochs for config in configs if config.distiller.needs in ("logits", "pooled"))
    return len(spec.all_seeds) * sum(epochs)


def forecast(spec: StudySpec) -> BankForecast | None:
    """Forecast what a bank would do for a study; None where no trial would read one."""
    configs = [setting.config for setting in spec.settings() if setting.config.distiller.needs in ("logits", "pooled")]
    if not configs or spec.teacher_source == "online":
        return None
    widest = max(configs, key=lambda config: config.distiller.needs == "pooled")
    longest = max(config.recipe.epochs for config in configs)
    views = widest.data.views.count
    source = spec.teacher_source or ("bank32" if views == 1 else "bank16")
    return BankForecast(widest, source, reads_of(spec), views_drawn(spec, longest))


def views_drawn(spec: StudySpec, epochs: int) -> float:
    """Return how many views of an example all teachers must look at, expected: each group of seeds has its own bank."""
    by_group: dict[int, dict[int, int]] = {}
    for seed in spec.all_seeds:
        by_group.setdefault(spec.vary.group(seed), {})[seed] = epochs
    return sum(share_of(seeds, spec.data.views.count) for seeds in by_group.values())


def settled(spec: StudySpec, before: StudySpec | None) -> StudySpec:
    """The study with its ``teacher_source``: its own, else that of its first run, else a bank if it pays and fits.

    Args:
        spec: the study.
        before: the same study as it was run before, if it was.

    Raises:
        StudyError: the study asks for a bank that would be larger than it allows.
    """
    if spec.teacher_source is None and before is not None and before.teacher_source is not None:
        return spec.model_copy(update={"teacher_source": before.teacher_source})
    found = forecast(spec)
    if found is None:
        return spec
    most = spec.bank.max_bytes
    size = found.bytes() if most is not None else 0.0
    fits = most is None or size <= most
    if spec.teacher_source is None:
        return spec.model_copy(update={"teacher_source": found.source if found.pays and fits else "online"})
    if not fits and before is None:
        raise StudyError(
            f"teacher_source {spec.teacher_source} needs a bank of about {size:.3g} bytes, but bank.max_bytes is "
            f"{most}: allow more, or use online"
        )
    return spec
