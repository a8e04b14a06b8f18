"""What varies between the seeds of a study besides the student: its teacher, and the split of its data.

Seeds are dealt out to groups, and each group has a teacher and a split of its own. A seed's group follows from the seed
alone, so seeds that are added later move no other. Group 0 has the teacher and the split that the study would have if
nothing varied.
"""

from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Annotated, Any

from pydantic import AfterValidator, Field, WithJsonSchema

from trainables.config import TrialConfig
from trainables.data import DataOptions
from trainables.options import Options
from trainables.streams import MAX_SEED

FEWEST_GROUPS = 5
_MAX_GROUPS = 1000


def _one_or_enough(value: int) -> int:
    if 1 < value < FEWEST_GROUPS:
        raise ValueError(f"must be 1, or at least {FEWEST_GROUPS}: fewer groups give no useful interval")
    return value


_LIMITED = Field(ge=1, le=_MAX_GROUPS, strict=True)
_SCHEMA = {"anyOf": [{"const": 1}, {"type": "integer", "minimum": FEWEST_GROUPS, "maximum": _MAX_GROUPS}]}
Groups = Annotated[int, _LIMITED, AfterValidator(_one_or_enough), WithJsonSchema(_SCHEMA)]


class Vary(Options):
    """In how many groups of seeds the teacher and the split differ; 1: all seeds share one."""

    teacher: Groups = Field(1, description="Groups with a teacher of their own; 1, or at least 5.")
    split: Groups = Field(
        1,
        description="Groups with a validation split and a training subset of their own, and so a teacher too; 1, or at "
        "least 5. If teacher and split both vary, they have the same number of groups.",
    )

    @property
    def groups(self) -> int:
        """Number of groups; 1 if nothing varies."""
        return max(self.teacher, self.split)

    def group(self, seed: int) -> int:
        """Return the group of a seed, from 0 on."""
        return seed % self.groups

    def split_group(self, seed: int) -> int:
        """Return the first group with the same data and split as a seed's."""
        return seed % self.split

    def applied(self, config: TrialConfig, seed: int) -> TrialConfig:
        """Return a trial's configuration with the seed, and with the teacher and the split of its group."""
        changes: dict[str, Any] = {"seed": seed}
        group = self.group(seed)
        if group and self.teacher > 1 and config.teacher is not None:
            changes["teacher"] = config.teacher.model_copy(update={"seed": config.teacher.seed + group})
        if group and self.split > 1:
            changes["data"] = self.data(config.data, group)
        return config.model_copy(update=changes)

    def data(self, options: DataOptions, group: int) -> DataOptions:
        """Return the options of the data set with the split of a group."""
        moved = group if self.split > 1 else 0
        return options.model_copy(update={"split_seed": options.split_seed + moved})


def vary_fault(
    vary: Vary, study: Mapping[str, Any], seeds: Sequence[int] | None, looks: Sequence[int] = ()
) -> str | None:
    """Return what is wrong with ``vary`` in a study, if anything is.

    Args:
        vary: which groups there are.
        study: other fields of the study by name; rules about a field that is missing are not applied.
        seeds: all that the study may run; None if they are not known.
        looks: the numbers of seeds at which the verdict is looked at, where seeds are added until it is decided.
    """
    if vary.groups == 1:
        return None
    if vary.teacher > 1 and vary.split > 1 and vary.teacher != vary.split:
        return f"teacher and split must have the same number of groups, but got {vary.teacher} and {vary.split}"
    if vary.split > 1 and study.get("protocol") == "paper":
        return "protocol 'paper' trains on all training data, so the split cannot vary"
    if vary.teacher > 1 and "teacher" in study:
        teacher = study["teacher"]
        if teacher is None:
            return "a study without a teacher cannot vary it"
        if teacher.recipe is None:
            return "a teacher from a checkpoint is one teacher, so it cannot vary; give it a recipe, or vary the split"
        if teacher.seed > MAX_SEED - vary.groups:
            return f"teacher.seed must leave room for {vary.groups} groups below 2^31, but is {teacher.seed}"
    if vary.split > 1 and "data" in study and (seed := study["data"].split_seed) > MAX_SEED - vary.groups:
        return f"data.split_seed must leave room for {vary.groups} groups below 2^31, but is {seed}"
    if seeds is None:
        return None
    if vary.groups < len(seeds) and any(len(set(group_sizes(vary, seeds[:look]))) > 1 for look in looks):
        return (
            f"until must look at whole rounds of the {vary.groups} groups (first, step and seeds are multiples of "
            f"{vary.groups}, and seeds are consecutive), but looks at {', '.join(map(str, looks))} seeds"
        )
    if missing := [group for group, size in enumerate(group_sizes(vary, seeds)) if not size]:
        shown = ", ".join(map(str, missing[:10])) + (", …" if len(missing) > 10 else "")
        rule = f"every one of the {vary.groups} groups must have a seed (the group of a seed is seed modulo"
        return f"{rule} {vary.groups}), but these have none: {shown}"
    return None


def group_sizes(vary: Vary, seeds: Sequence[int]) -> tuple[int, ...]:
    """Return how many of the seeds each group has, by group."""
    counts = Counter(vary.group(seed) for seed in seeds)
    return tuple(counts[group] for group in range(vary.groups))
