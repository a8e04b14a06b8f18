"""What a study compares: the baseline, and the arms about which it is to show something."""

from collections.abc import Sequence

from ctkd_study.spec import Arm


def default_baseline(arms: Sequence[Arm]) -> str:
    """The first arm with several fixed temperatures, else the first arm."""
    grids = [arm for arm in arms if arm.fixed and arm.size > 1]
    return (grids or list(arms))[0].name


def confirmed_arms(arms: Sequence[Arm], baseline: str, named: Sequence[str] | None = None) -> tuple[str, ...]:
    """Return the arms that share the error of the verdict, in the order of the study; the others are exploratory.

    Args:
        arms: all of the study.
        baseline: the arm that the others are compared with; it is never confirmed.
        named: what the study is to show; default: every arm with a teacher, or every arm if none has one.
    """
    others = [arm for arm in arms if arm.name != baseline]
    if named is not None:
        return tuple(arm.name for arm in others if arm.name in named)
    return tuple(arm.name for arm in others if arm.uses_teacher) or tuple(arm.name for arm in others)
