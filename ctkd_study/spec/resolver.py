"""Arms -> settings: what an arm's block and its grids mean on top of the study.

An arm's block merges into the study's key by key, unless it changes what the block is about (its ``name`` or ``kind``,
or its ``model`` to another family of networks): then it replaces it. ``{grid: [...]}`` at a scalar is one setting per
value; several grids make a product, the last one running fastest.
"""

import copy
import dataclasses
import functools
import itertools
import json
import math
import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Annotated, Any

from pydantic import TypeAdapter, ValidationError

from ctkd_study.errors import KeyPath, dotted
from ctkd_study.spec.arms import Arm, Setting
from ctkd_study.spec.grids import Grid, chosen, find_grids, get, project, put
from ctkd_study.spec.problems import Problem, problems_of, show, unknown_key
from trainables.config import TrialConfig, combination_faults
from trainables.hashing import canonical, digest
from trainables.models import MODELS
from trainables.options import Options

ARM_KEYS = ("student", "recipe", "distiller", "temperature", "curriculum")
STUDY_KEYS = ("protocol", "data", "teacher", "teacher_source", "numerics")
MAX_SETTINGS = 10_000
NAME = re.compile(r"[a-z0-9][a-z0-9_-]{0,39}")
_KEY_DIGITS = 8


@dataclasses.dataclass(frozen=True)
class _Part:
    """One validated part of a configuration."""

    value: Any = None
    plain: Any = None
    problems: tuple[Problem, ...] | None = ()
    """None where the part is missing, which is said elsewhere."""

    @property
    def valid(self) -> bool:
        return self.problems == ()


class Resolver:
    """Resolves the arms of one study; each distinct part of a configuration is validated once.

    Args:
        study: the study as plain values, valid or not.
        folder: what relative paths are relative to.
    """

    def __init__(self, study: Mapping[str, Any], folder: Path | None = None) -> None:
        self._study, self._folder = study, folder
        self._known: dict[str, _Part] = {}
        self._shared = {key: self._study_part(key) for key in STUDY_KEYS}

    def resolve(self, name: str, block: Any) -> tuple[Arm | None, list[Problem]]:
        """An arm, and all that is wrong with it; None where it has no setting because of that."""
        at: KeyPath = ("arms", name)
        problems = [] if NAME.fullmatch(name) else [Problem(at, name, f"the name of an arm must match {NAME.pattern}")]
        if not isinstance(block, dict):
            keys = ", ".join(ARM_KEYS)
            return None, [*problems, Problem(at, block, f"must be a mapping with any of {keys}, but got {show(block)}")]
        problems += [self._foreign(at, key, block[key]) for key in block if key not in ARM_KEYS]
        block = {key: block[key] for key in block if key in ARM_KEYS}
        grids, faulty = find_grids(block, at)
        faulty += [
            Problem((*at, *grid.path), get(block, grid.path), "a preset must be one name; its keys may be grids")
            for grid in grids
            if grid.path == ("recipe", "preset")
        ]
        problems += faulty
        if (count := math.prod(len(grid.values) for grid in grids)) > MAX_SETTINGS:
            rule = f"an arm has at most {MAX_SETTINGS:,} settings, but the grids of this one make {count:,}"
            return None, [*problems, Problem(at, block, rule)]
        block = chosen(block, grids, (0,) * len(grids))  # without the grids' lists, it is cheap to copy
        settings, blocks = [], []
        for choice in itertools.product(*(range(len(grid.values)) for grid in grids)):
            overlay = chosen(block, grids, choice)
            parts = self._parts(overlay)
            found = self._problems(name, overlay, parts, grids, choice)
            problems += found
            if not (found or faulty) and all(part.valid for part in (*parts.values(), *self._shared.values())):
                own = {key: project(overlay[key], parts[key].plain) for key in overlay}
                blocks.append((choice, own))
                settings.append(self._setting(name, own, parts, grids))
        problems += _clashes(at, settings)
        if len(settings) != count:
            return None, problems
        return Arm(name, tuple(settings), _normalised(grids, blocks)), problems

    def _foreign(self, at: KeyPath, key: str, value: Any) -> Problem:
        if key in TrialConfig.model_fields or key in self._study:
            return Problem((*at, key), value, f"an arm may not override {key!r}, only {', '.join(ARM_KEYS)}")
        return unknown_key((*at, key), value, ARM_KEYS)

    def _parts(self, overlay: Mapping[str, Any]) -> dict[str, _Part]:
        parts = {}
        for key in ARM_KEYS:
            if key in overlay:
                parts[key] = self._part(key, merge(self._study.get(key), overlay[key]))
            else:
                parts[key] = self._study_part(key)
        # What the study says for all its arms is dropped where it can't apply; what an arm says itself must.
        distiller, temperature = parts["distiller"], parts["temperature"]
        if distiller.valid and distiller.value.takes is None and "temperature" not in overlay:
            temperature = parts["temperature"] = _Part()
        learned = temperature.valid and temperature.value is not None and temperature.value.learned
        if temperature.valid and not learned and "curriculum" not in overlay:
            parts["curriculum"] = _Part()
        return parts

    def _study_part(self, key: str) -> _Part:
        if key in self._study:
            return self._part(key, self._study[key])
        field = TrialConfig.model_fields[key]
        return (
            _Part(problems=None)
            if field.is_required()
            else _validated_part(field.get_default(call_default_factory=True))
        )

    def _part(self, key: str, value: Any) -> _Part:
        known = f"{key} {json.dumps(value, sort_keys=True)}"
        if known not in self._known:
            self._known[known] = self._validated(key, value)
        return self._known[known]

    def _validated(self, key: str, value: Any) -> _Part:
        try:
            validated = _adapter(key).validate_python(value, context={"folder": self._folder})
        except ValidationError as error:
            return _Part(problems=tuple(problems_of(error, TrialConfig, (key,))))
        return _validated_part(validated)

    def _problems(
        self,
        name: str,
        overlay: dict[str, Any],
        parts: Mapping[str, _Part],
        grids: list[Grid],
        choice: tuple[int, ...],
    ) -> list[Problem]:
        found = [problem for part in parts.values() for problem in part.problems or ()]
        valid = {key: part.value for key, part in {**self._shared, **parts}.items() if part.valid}
        for key, message in combination_faults(self._needed(valid)):
            path = tuple(key.split("."))
            value = valid[path[0]]
            found.append(Problem(path, get(value.plain() if isinstance(value, Options) else value, path[1:]), message))
        items = {
            grid.path: (*grid.path, "grid", grid.numbers[index])
            for grid, index in zip(grids, choice, strict=True)
            if grid.numbers
        }
        faulty = [grid.path for grid in grids if not grid.numbers]
        placed = []
        for problem in found:
            if not self._is_arms(overlay, problem.path):
                placed.append(problem)
            elif not any(problem.path[: len(path)] == path for path in faulty):
                at = ("arms", name, *items[problem.path]) if problem.path in items else None
                placed.append(problem._replace(path=("arms", name, *problem.path), at=at))
        return placed

    def _is_arms(self, overlay: Mapping[str, Any], path: KeyPath) -> bool:
        """Whether the arm, not the study, is where this part of a merged configuration comes from."""
        head = str(path[0])
        if head not in ARM_KEYS:
            return False
        if head not in overlay:
            return head not in self._study  # what neither says is said of the arm that lacks it
        return is_overlays(overlay[head], self._study.get(head), path[1:])

    def _needed(self, parts: dict[str, Any]) -> dict[str, Any]:
        """Return the parts of the configuration, with what the distiller needs of the teacher.

        The study may leave ``teacher_source`` open; the plan decides it then.
        """
        needs = parts["distiller"].needs if "distiller" in parts else None
        if needs == "nothing":
            return {**parts, "teacher": None, "teacher_source": None}
        if needs == "maps":
            return {**parts, "teacher_source": "online"}  # no bank holds feature maps
        return parts

    def _setting(self, arm: str, own: dict[str, Any], parts: Mapping[str, _Part], grids: list[Grid]) -> Setting:
        values = {key: part.value for key, part in {**self._shared, **parts}.items()}
        config = TrialConfig.model_validate({"seed": 0, **self._needed(values)})
        student, recipe = self._study_part("student").value, self._study_part("recipe").value
        return Setting(
            arm=arm,
            key=digest(own)[:_KEY_DIGITS],
            label=_label(arm, own, values, [grid.path for grid in grids]),
            overrides_student=config.student != student,
            overrides_epochs=recipe is not None and config.recipe.epochs != recipe.epochs,
            config=config,
        )


def resolve_arms(study: Mapping[str, Any], folder: Path | None) -> tuple[tuple[Arm, ...], list[Problem]]:
    """Return the arms of a study, and all that is wrong with them.

    Args:
        study: the study as plain values, valid or not.
        folder: what relative paths are relative to.
    """
    blocks = study.get("arms")
    arms, problems, resolver = [], [], Resolver(study, folder)
    for name, block in blocks.items() if isinstance(blocks, dict) else ():
        arm, found = resolver.resolve(name, block)
        problems += found
        arms += [arm] if arm is not None else []
    return tuple(arms), problems


def merge(base: Any, overlay: Any) -> Any:
    """The base with the overlay's keys put in, level by level; blocks about something else are replaced."""
    if not (isinstance(base, dict) and isinstance(overlay, dict)) or _is_another(base, overlay):
        return overlay
    return {**base, **{key: merge(base.get(key), value) for key, value in overlay.items()}}


def is_overlays(overlay: Any, base: Any, path: KeyPath) -> bool:
    """Whether a path of ``merge(base, overlay)`` comes from the overlay; what neither has is the base's."""
    for key in path:
        if not isinstance(overlay, dict) or not isinstance(base, dict) or _is_another(base, overlay):
            return True
        if key not in overlay:
            return False
        overlay, base = overlay[key], base.get(str(key))
    return True


def _is_another(base: dict[str, Any], overlay: dict[str, Any]) -> bool:
    if any(tag in overlay and overlay[tag] != base.get(tag) for tag in ("name", "kind")):
        return True
    return "model" in overlay and _family(overlay["model"]) != _family(base.get("model"))


def _family(model: Any) -> Any:
    return MODELS[model] if model in MODELS else model  # noqa: SIM401 - a registry has no get


def _validated_part(value: Any) -> _Part:
    return _Part(value, value.plain() if isinstance(value, Options) else value)


@functools.cache
def _adapter(key: str) -> TypeAdapter[Any]:
    field = TrialConfig.model_fields[key]
    annotation: Any = field.annotation
    for part in field.metadata:
        annotation = Annotated[annotation, part]
    return TypeAdapter(annotation)


def _normalised(grids: list[Grid], blocks: list[tuple[tuple[int, ...], dict[str, Any]]]) -> dict[str, Any]:
    block = copy.deepcopy(blocks[0][1])
    for number, grid in enumerate(grids):
        values = {choice[number]: get(own, grid.path) for choice, own in blocks}
        put(block, grid.path, {"grid": [values[index] for index in range(len(grid.values))]})
    return block


def _clashes(at: KeyPath, settings: list[Setting]) -> list[Problem]:
    by_key: dict[str, Setting] = {}
    return [
        Problem(
            at,
            setting.label,
            f"the settings of an arm must differ, but {by_key[setting.key].label} and {setting.label} do not",
        )
        for setting in settings
        if by_key.setdefault(setting.key, setting) is not setting
    ]


# -- labels ----------------------------------------------------------------------------------------------------------


def _label(arm: str, own: dict[str, Any], values: Mapping[str, Any], grids: list[KeyPath]) -> str:
    """What varies, by its symbol where it has one; for an arm of one setting its symbols, or its name."""
    titled = [path for path in _leaves(own, ()) if _title(values, path) is not None]
    paths = grids or titled
    names = [_title(values, path) or _last(path) for path in paths]
    shown = [name if names.count(name) == 1 else dotted(path) for name, path in zip(names, paths, strict=True)]
    return ", ".join(f"{name}={_text(get(own, path))}" for name, path in zip(shown, paths, strict=True)) or arm


def _leaves(block: Any, path: KeyPath) -> Iterator[KeyPath]:
    if isinstance(block, dict):
        for key, value in block.items():
            yield from _leaves(value, (*path, key))
    else:
        yield path


def _title(values: Mapping[str, Any], path: KeyPath) -> str | None:
    """The symbol of an option, e.g. T."""
    options: Any = values[str(path[0])]
    title = None
    for part in path[1:]:
        if not isinstance(options, Options):
            return None
        title = type(options).model_fields[str(part)].title
        options = getattr(options, str(part))
    return title


def _last(path: KeyPath) -> str:
    """The last key, with the number of a list's item."""
    start = max(number for number, part in enumerate(path) if isinstance(part, str))
    return dotted(path[start:])


def _text(value: Any) -> str:
    return value if isinstance(value, str) else canonical(value)
