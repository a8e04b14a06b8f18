"""Advice on a study that is valid, but probably not meant as it is."""

from ctkd_study.errors import dotted
from ctkd_study.spec.arms import Setting
from ctkd_study.spec.search import SearchedArm
from ctkd_study.spec.study_spec import StudySpec
from ctkd_study.spec.values import leaves
from ctkd_study.spec.vary import group_sizes

_FEWEST_FOR_AN_INTERVAL = 3


def warnings(spec: StudySpec) -> list[str]:
    """Return what is allowed, but probably not meant: one sentence each."""
    found = []
    if spec.protocol == "paper":
        found.append("protocol 'paper' selects by test accuracy: it gives means and costs, but no verdict")
    elif 100 / spec.data.validation > spec.margin / 2:
        found.append(
            f"one of {spec.data.validation} validation examples is worth {100 / spec.data.validation:.2g} points, "
            f"more than half the margin of {spec.margin:g}: settings will be selected by chance; hold out more"
        )
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
