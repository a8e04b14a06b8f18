"""From a study file, or a Python mapping, to a ``StudySpec``, with every fault at once."""

import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from ctkd_study.errors import Fault, SpecError, dotted
from ctkd_study.spec.document import Document, from_plain, read
from ctkd_study.spec.error_messages import Problem, problems_of
from ctkd_study.spec.resolver import is_overlays, merge, resolve_arms
from ctkd_study.spec.study_spec import StudySpec
from trainables.presets import expanded


def load(path: str | Path, overrides: Sequence[str] = ()) -> StudySpec:
    """Read a study file.

    Args:
        path: a YAML file; the paths in it are relative to its folder.
        overrides: ``PATH=VALUE`` each, a dotted path and a value in YAML, put in before anything is checked.

    Raises:
        SpecError: every fault of the file.
    """
    document = read(path)
    for text in overrides:
        document.override(text)
    return _study(document, Path(os.path.abspath(path)).parent)  # noqa: PTH100 - links are kept as they are


def from_mapping(data: Mapping[str, Any], base_dir: str | Path | None = None) -> StudySpec:
    """Return the study of plain Python values or options objects, in the form of a study file.

    Args:
        data: keys as in a study file.
        base_dir: what relative paths are relative to; default: the current folder.

    Raises:
        SpecError: every fault, without lines.
    """
    return _study(from_plain(data), Path(os.path.abspath(base_dir or Path.cwd())))  # noqa: PTH100


def grid(*values: Any) -> dict[str, list[Any]]:
    """Return a grid for a scalar of an arm: one setting for each of the values."""
    return {"grid": list(values)}


def uniform(low: float, high: float) -> dict[str, list[float]]:
    """Return a distribution for a scalar of a searched arm: the numbers from low to high."""
    return {"uniform": [low, high]}


def loguniform(low: float, high: float) -> dict[str, list[float]]:
    """Return a distribution for a scalar of a searched arm: the numbers from low to high, each factor alike."""
    return {"loguniform": [low, high]}


def choice(*values: Any) -> dict[str, list[Any]]:
    """Return a distribution for a scalar of a searched arm: any of the values."""
    return {"choice": list(values)}


def _study(document: Document, folder: Path) -> StudySpec:
    """Return the study that a document describes; the errors are those of ``load``."""
    data = _with_whole_recipes(document.data)
    arms, of_arms = resolve_arms(data, folder)
    if not of_arms and arms:
        data = {**data, "arms": {arm.name: arm.block for arm in arms}}
    spec, problems = None, []
    try:
        spec = StudySpec.model_validate(data, context={"folder": folder, "arms": arms})
    except ValidationError as error:
        problems = problems_of(error, StudySpec)
    placed = [_of_study(problem, document) for problem in (*problems, *of_arms)]
    faults = [*document.faults, *_placed(placed, document)]
    if faults or spec is None:
        raise SpecError(sorted(faults, key=lambda fault: (fault.place.override is not None, fault.line or 0)))
    return spec


def _with_whole_recipes(data: dict[str, Any]) -> dict[str, Any]:
    """Return the study with presets replaced by their keys, and the teacher's recipe merged over the study's.

    An arm's overrides do not reach the teacher.
    """
    data = _with_preset(data)
    teacher, arms = data.get("teacher"), data.get("arms")
    if isinstance(teacher, dict) and isinstance(teacher.get("recipe"), dict):
        data["teacher"] = {**teacher, "recipe": merge(data.get("recipe"), expanded(teacher["recipe"]))}
    if isinstance(arms, dict):
        data["arms"] = {name: _with_preset(block) for name, block in arms.items()}
    return data


def _with_preset(block: Any) -> Any:
    if not isinstance(block, dict):
        return block
    return {key: expanded(value) if key == "recipe" else value for key, value in block.items()}


def _of_study(problem: Problem, document: Document) -> Problem:
    """Return a problem of what the teacher's recipe takes from the study's as one of the study's recipe."""
    path, data = problem.path, document.data
    if path[:2] == ("teacher", "recipe") and not is_overlays(data["teacher"]["recipe"], data.get("recipe"), path[2:]):
        return problem._replace(path=path[1:])
    return problem


def _placed(problems: list[Problem], document: Document) -> list[Fault]:
    """Return each fault once, with its place; values that could not be read have no further faults."""
    faults: dict[str, Fault] = {}
    for path, value, message, at in problems:
        if not any(path[:length] in document.broken for length in range(len(path) + 1)):
            fault = Fault(dotted(path), value, message, document.place(at or path))
            faults.setdefault(str(fault), fault)
    return list(faults.values())
