"""Searched arms: every seed searches anew, and the trials' records are the search's history."""

import dataclasses
import math
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from pydantic import Field, ValidationError

from ctkd_study.errors import KeyPath
from ctkd_study.spec.arms import Arm, PlannedTrial, Setting
from ctkd_study.spec.error_messages import Problem, problems_of, show
from ctkd_study.spec.grids import Axis
from ctkd_study.spec.samplers import Dimension, SamplerName, Seen, missing_package, suggest
from ctkd_study.spec.values import get
from trainables.options import Options
from trainables.record import Manifest


class SearchOptions(Options):
    """How an arm is searched: by trying settings one after the other, anew for every seed."""

    by: SamplerName = Field(
        description="Optuna's sampler: `tpe` (tree-structured Parzen estimator), `random`, `cmaes` (numbers alone, at "
        "least two of them) or `gp` (Gaussian process)."
    )
    settings: int = Field(ge=1, le=1000, description="How many settings each seed tries.")
    startup: int = Field(
        5, ge=1, le=1000, description="How many of them are drawn at random before the sampler uses what it has seen."
    )


@dataclasses.dataclass(frozen=True)
class SearchedArm(Arm):
    """An arm whose settings are suggested one after the other, at each seed for itself.

    Its ``settings`` are those at the ends of its distributions: they stand for the others in checks and estimates.
    """

    search: SearchOptions
    space: tuple[Dimension, ...]
    setting_of: Callable[[tuple[Any, ...]], Setting] = dataclasses.field(compare=False)
    """Makes the setting of values in the order of the space."""

    @property
    def size(self) -> int:
        return self.search.settings

    @property
    def searched(self) -> Mapping[str, Any]:
        """What decides its suggestions: its block, without the number of settings."""
        how = {key: value for key, value in self.search.plain().items() if key != "settings"}
        return {**self.block, "search": how}

    def trials(self, seed: int, records: Mapping[str, Manifest]) -> tuple[PlannedTrial, ...]:
        """Return the trials of one seed as far as they are known: the recorded ones, and the next.

        A trial that ended is told to the sampler with its validation accuracy, one that failed as failed.
        """
        recorded = {
            record.suggestion: record
            for record in records.values()
            if record.arm == self.name and record.seed == seed and record.search == self.searched
        }
        found, seen, may_suggest = [], list[Seen](), True
        for number in range(1, self.size + 1):
            if (record := recorded.get(number)) is not None:
                values = tuple(get(record.config, dimension.path) for dimension in self.space)
            elif may_suggest:
                values = suggest(self.search.by, self.search.startup, self.space, tuple(seen), self.name, seed)
            else:
                continue
            setting = self.setting_of(values)
            found.append(dataclasses.replace(setting, suggestion=number, search=self.searched).trial(seed))
            if record is None or record.status == "running":
                may_suggest = False
            seen.append(Seen(values, _accuracy(record)))
        return tuple(found)


def _accuracy(record: Manifest | None) -> float | None:
    if record is None or record.status == "failed":
        return None
    summary = record.summary
    return summary.val_top1 if summary.val_top1 is not None else summary.test_top1


def validated_search(stated: Any, axes: Sequence[Axis], at: KeyPath) -> tuple[SearchOptions | None, list[Problem]]:
    """Return the options of an arm's search, and what is wrong with them and with where distributions stand.

    Args:
        stated: the arm's ``search`` as written, None if it has none.
        axes: what varies in its block.
        at: the path of the arm.
    """
    distributions = [axis for axis in axes if not axis.is_grid]
    if stated is None:
        rule = "a distribution needs `search: {by: tpe, settings: N}` in its arm"
        return None, [Problem((*at, *axis.path, axis.kind), dict(axis.values), rule) for axis in distributions]
    where = (*at, "search")
    try:
        search = SearchOptions.model_validate(stated)
    except ValidationError as error:
        return None, [each._replace(path=(*where, *each.path)) for each in problems_of(error, SearchOptions)]
    rule = "a grid and a search cannot stand in one arm: write its values as {choice: [...]}"
    problems = [Problem((*at, *axis.path, "grid"), dict(axis.values), rule) for axis in axes if axis.is_grid]
    if not distributions:
        rule = "a search needs a distribution, {uniform: [a, b]}, {loguniform: [a, b]} or {choice: [...]}, in its arm"
        problems.append(Problem(where, stated, rule))
    if search.by == "cmaes" and (len(distributions) < 2 or any(axis.kind == "choice" for axis in distributions)):
        rule = "cmaes searches two or more ranges of numbers; use tpe, gp or random for one, or for a choice"
        problems.append(Problem((*where, "by"), search.by, rule))
    if (package := missing_package(search.by)) is not None:
        rule = f"{search.by} needs the package {package}, which is not installed (pip install {package})"
        problems.append(Problem((*where, "by"), search.by, rule))
    return search, problems


def space_of(
    axes: Sequence[Axis], block: Mapping[str, Any], search: SearchOptions, at: KeyPath
) -> tuple[tuple[Dimension, ...], list[Problem]]:
    """Return what is searched, and what is wrong with it.

    Args:
        axes: what varies in the arm's block.
        block: the arm's, its values as validated.
        search: how it is searched.
        at: the path of the arm.
    """
    space, problems = [], []
    for axis in axes:
        if axis.kind == "grid":
            continue
        values = get(block, axis.path)[axis.kind]
        space.append(Dimension(axis.path, axis.kind, tuple(values)))
        if axis.kind != "choice" and not all(isinstance(value, int | float) for value in values):
            rule = f"{axis.kind} must stand at a number, but this value may be {show(values[0])}"
            problems.append(Problem((*at, *axis.path, axis.kind), values, rule))
    if not problems and search.settings > (points := math.prod(each.points for each in space)):
        rule = f"must be at most {points:g}, the number of different settings, but got {search.settings}"
        problems.append(Problem((*at, "search", "settings"), search.settings, rule))
    return tuple(space), problems
