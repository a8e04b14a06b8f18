"""Whether a study's teacher is banked: whether a bank saves work, and fits.

The choice is made at the study's first run and stored with it, for it is part of every trial's fingerprint: more seeds
or arms change what a bank would save, but not where outputs come from.
"""

import dataclasses

from ctkd_study.errors import StudyError
from ctkd_study.spec import StudySpec
from trainables.bank import PRECISIONS, row_bytes, share_of
from trainables.config import TrialConfig
from trainables.data import split

LEAST_SAVED = 0.1
"""Share of the teacher's passes that a bank must save to be worth its files."""


@dataclasses.dataclass(frozen=True)
class Outlook:
    """What a bank would do for a study, per example of the training subset."""

    config: TrialConfig
    """Of a trial that would read it; one that reads pooled vectors, if any does."""
    source: str
    """The bank to read: the study's own, else ``bank32`` where an example has one view, else ``bank16``."""
    reads: int
    """How often trials will read the teacher's outputs."""
    views: float
    """How many views the teacher must look at for that, expected."""

    @property
    def pays(self) -> bool:
        """Whether the bank saves enough of the teacher's passes."""
        return self.views <= (1 - LEAST_SAVED) * self.reads

    def bytes(self) -> float:
        """Size of the bank; the data set is read for it."""
        config = self.config
        if config.teacher is None:
            raise TypeError("a trial that reads a bank has a teacher")
        arrays = config.data.load()
        head = config.teacher.network().build(arrays.classes, arrays.channels, arrays.size).head
        widths = (arrays.classes, *((head.in_features,) if config.distiller.needs == "pooled" else ()))
        examples = len(split(arrays.train_labels, config.data).student)
        return examples * self.views * row_bytes(PRECISIONS[self.source], *widths)


def outlook(spec: StudySpec) -> Outlook | None:
    """What a bank would do for a study; None where no trial would read one."""
    configs = [
        setting.config
        for setting in spec.settings()
        if setting.config.distiller.needs in ("logits", "pooled") and setting.config.teacher_source != "online"
    ]
    if not configs:
        return None
    widest = max(configs, key=lambda config: config.distiller.needs == "pooled")
    longest = max(config.recipe.epochs for config in configs)
    reads = len(spec.seeds) * sum(config.recipe.epochs for config in configs)
    views = widest.data.views.count
    source = widest.teacher_source or ("bank32" if views == 1 else "bank16")
    return Outlook(widest, source, reads, share_of(dict.fromkeys(spec.seeds, longest), views))


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
    found = outlook(spec)
    if found is None:
        return spec
    most = spec.bank.max_bytes
    size = found.bytes() if most is not None else 0.0
    fits = most is None or size <= most
    if spec.teacher_source is None:
        source = found.source if found.pays and fits else "online"
        return spec.model_copy(update={"teacher_source": source})
    if not fits and before is None:
        raise StudyError(
            f"teacher_source {spec.teacher_source} needs a bank of about {size:.3g} bytes, but bank.max_bytes is "
            f"{most}: allow more, or use online"
        )
    return spec
