"""How an arm's trials are stopped before their end."""

from typing import Any, Literal

from pydantic import Field, ValidationError

from ctkd_study.errors import KeyPath
from ctkd_study.spec.error_messages import Problem, problems_of
from trainables.options import Options

SchedulerName = Literal["asha", "hyperband", "median"]


class SchedulerOptions(Options):
    """Stops the trials of an arm and a seed that lag behind, by their validation accuracy after each epoch.

    Written as a name alone, the other keys have their defaults.
    """

    by: SchedulerName = Field(
        description="Ray Tune's scheduler: `asha` (Li et al., 'A System for Massively Parallel Hyperparameter Tuning', "
        "2020), `hyperband` (the same in three brackets that begin to stop at different epochs), or `median` (a trial "
        "whose best is below the median of the others' means)."
    )
    grace: int = Field(1, ge=1, le=100_000, description="No trial is stopped before it has trained so many epochs.")
    factor: int = Field(
        4, ge=2, le=1000, description="asha, hyperband: of so many trials one goes on; also the ratio of the rungs."
    )


def validated_scheduler(stated: Any, protocol: Any, at: KeyPath) -> tuple[SchedulerOptions | None, list[Problem]]:
    """Return the options of an arm's scheduler, and what is wrong with them.

    Args:
        stated: the arm's ``scheduler`` as written, None if it has none.
        protocol: the study's.
        at: the path of the arm.
    """
    where = (*at, "scheduler")
    if stated is None:
        return None, []
    if protocol == "paper":
        rule = "a scheduler stops trials by validation accuracy, which protocol 'paper' does not have"
        return None, [Problem(where, stated, rule)]
    try:
        return SchedulerOptions.model_validate({"by": stated} if isinstance(stated, str) else stated), []
    except ValidationError as error:
        return None, [each._replace(path=(*where, *each.path)) for each in problems_of(error, SchedulerOptions)]
