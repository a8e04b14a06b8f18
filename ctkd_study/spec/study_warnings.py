"""Advice on a study that is valid, but probably not meant as it is."""

import math
from statistics import NormalDist

from ctkd_study.errors import dotted
from ctkd_study.spec.arms import Setting
from ctkd_study.spec.search import SearchedArm
from ctkd_study.spec.study_spec import StudySpec
from ctkd_study.spec.values import leaves
from ctkd_study.spec.vary import group_sizes

_FEWEST_FOR_AN_INTERVAL = 3
_DISAGREEMENT = 0.05
"""Share of the examples at which one of two settings is taken to be right and the other wrong."""
_MOST_CONFUSED = 0.25
"""Above it, a selection between two settings is closer to a coin than to a choice: 50 % is chance."""


def selection_warning(validation: int, margin: float) -> str | None:
    """Say that there are too few validation examples to select settings by; None where there are enough.

    The difference of two accuracies has a standard error of √(share / examples), where ``share`` is that of the
    examples at which the two disagree. So validation prefers the worse of two settings, a margin apart, with the
    probability that a normal variable of this error lies below minus the margin.

    Args:
        validation: number of validation examples.
        margin: percent points.
    """
    error = 100 * math.sqrt(_DISAGREEMENT / validation)
    confused = NormalDist().cdf(-margin / error)
    if confused <= _MOST_CONFUSED:
        return None
    return (
        f"of two settings that differ by the margin of {margin:g} points, {validation} validation examples select the "
        f"worse one {100 * confused:.0f} times in 100 (if they disagree on {100 * _DISAGREEMENT:g} % of the examples): "
        "hold out more"
    )


def warnings(spec: StudySpec) -> list[str]:
    """Return what is allowed, but probably not meant: one sentence each."""
    found = []
    if spec.protocol == "paper":
        found.append("protocol 'paper' selects by test accuracy: it gives means and costs, but no verdict")
    elif spec.metric == "top1" and (said := selection_warning(spec.data.validation, spec.margin)):
        found.append(said)
    if len(spec.seeds) < _FEWEST_FOR_AN_INTERVAL:
        found.append(f"{len(spec.seeds)} seeds give no interval and no verdict: use at least {_FEWEST_FOR_AN_INTERVAL}")
    if len(set(sizes := group_sizes(spec.vary, spec.all_seeds))) > 1:
        found.append(
            f"the {len(sizes)} groups of seeds have {min(sizes)} to {max(sizes)} seeds each: give every group the same "
            "number, so that none counts for more"
        )
    if len(spec.arms) == 1:
        found.append("there is one arm, and nothing to compare it with")
    settings = spec.settings()
    if spec.teacher is not None and all(setting.config.teacher is None for setting in settings):
        found.append("no arm uses the teacher")
    grids = [(path[:-1], values) for path, values in leaves(spec.arms) if path[-1] == "grid"]
    found += [f"arms.{dotted(path)}: a grid of one value is no grid" for path, values in grids if len(values) == 1]
    found += [
        f"arms.{arm.name}: all {arm.search.settings} settings are drawn at random; lower search.startup"
        for arm in spec.resolved_arms
        if isinstance(arm, SearchedArm) and arm.search.by in ("tpe", "gp") and arm.search.settings <= arm.search.startup
    ]
    first: dict[str, Setting] = {}
    for setting in (setting for arm in spec.resolved_arms if arm.searched is None for setting in arm.settings):
        same = first.setdefault(setting.config.model_dump_json(), setting)
        if same is not setting:
            found.append(
                f"arms {same.arm} ({same.label}) and {setting.arm} ({setting.label}) are one setting, trained twice"
            )
    for setting in settings:
        epochs = setting.config.recipe.epochs
        if (end := getattr(setting.config.curriculum, "epochs", 0)) > epochs:
            rule = f"λ would reach its end in epoch {end}, but training ends after {epochs}"
            found.append(f"arm {setting.arm} ({setting.label}): {rule}")
    return found
