"""From an arm's block in the study file to the arm's settings.

An arm's block merges into the study's key by key, unless it changes what the block is about (its ``name`` or ``kind``,
or its ``model`` to another family of networks): then it replaces it. ``{grid: [...]}`` at a scalar is one setting per
value; several grids make a product, the last one running fastest. With a ``search``, a distribution may stand there:
its ends are checked as the values of a grid would be.
"""

import functools
import itertools
import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple, get_type_hints

from pydantic import TypeAdapter, ValidationError

from ctkd_study.errors import Fault, KeyPath, SpecError, dotted
from ctkd_study.spec.arms import Arm, Setting
from ctkd_study.spec.error_messages import Problem, problems_of, show, unknown_key
from ctkd_study.spec.grids import Axis, chosen, find_axes
from ctkd_study.spec.scheduling import SchedulerOptions, validated_scheduler
from ctkd_study.spec.search import SearchedArm, space_of, validated_search
from ctkd_study.spec.values import NAME, get, leaves, project, text
from ctkd_study.spec.vary import Vary
from trainables.config import TrialConfig, TrialParts, combination_faults
from trainables.hashing import digest
from trainables.models import MODELS
from trainables.options import Options

ARM_KEYS = ("student", "recipe", "distiller", "temperature", "curriculum")
SEARCH, SCHEDULER = "search", "scheduler"
MAX_SETTINGS = 10_000

_HINTS = get_type_hints(TrialParts, include_extras=True)
_PARTS: Mapping[str, TypeAdapter[Any]] = {key: TypeAdapter(_HINTS[key]) for key in TrialParts.model_fields}


class _Part(NamedTuple):
    """One validated part of a configuration; its value is None where it has problems."""

    value: Any = None
    problems: tuple[Problem, ...] = ()


class Resolver:
    """Resolves the arms of one study.

    Args:
        study: the study as plain values, valid or not.
        folder: what relative paths are relative to.
    """

    def __init__(self, study: Mapping[str, Any], folder: Path | None) -> None:
        self._study, self._folder = study, folder
        self._vary = _vary_of(study)
        stated = {key: self._validated(key, study[key]) for key in _PARTS if key in study}
        fields = TrialParts.model_fields.items()
        self._parts = {key: _Part(field.get_default()) for key, field in fields if not field.is_required()} | stated
        """The study's own parts; those that are required and missing are left out."""
        self._whole = self._parts.keys() == _PARTS.keys() and not any(part.problems for part in self._parts.values())

    def resolve(self, name: str, block: Any) -> tuple[Arm | None, list[Problem]]:
        """Return an arm, or None where its faults leave it without settings, and all that is wrong with it."""
        at: KeyPath = ("arms", name)
        problems = [] if NAME.fullmatch(name) else [Problem(at, name, f"the name of an arm must match {NAME.pattern}")]
        if not isinstance(block, dict):
            rule = f"must be a mapping with any of {', '.join(ARM_KEYS)}, but got {show(block)}"
            return None, [*problems, Problem(at, block, rule)]
        known = (*ARM_KEYS, SEARCH, SCHEDULER)
        problems += [self._foreign((*at, key), value) for key, value in block.items() if key not in known]
        stated = block.get(SEARCH)
        scheduler, bad = validated_scheduler(block.get(SCHEDULER), self._study.get("protocol"), at)
        block = {key: value for key, value in block.items() if key in ARM_KEYS}
        axes, faulty = find_axes(block, at)
        if (count := math.prod(len(axis.values) for axis in axes)) > MAX_SETTINGS:
            kind = "grids" if all(axis.is_grid for axis in axes) else "ends of the distributions"
            rule = f"an arm has at most {MAX_SETTINGS:,} settings, but the {kind} of this one make {count:,}"
            return None, [*problems, *faulty, Problem(at, block, rule)]
        search, wrong = validated_search(stated, axes, at)
        faulty += [*wrong, *bad]
        problems += faulty
        blocks, settings = [], []
        for numbers in itertools.product(*(axis.values for axis in axes)):
            choice = list(zip(axes, numbers, strict=True))
            overlay = chosen(block, {axis.path: axis.values[number] for axis, number in choice})
            parts = self._merged(overlay)
            found = self._problems(name, overlay, parts, choice)
            problems += found
            if self._whole and not found and not faulty:
                values = {key: part.value for key, part in parts.items()}
                own = {key: project(overlay[key], _plain(values[key])) for key in overlay}
                blocks.append((numbers, own))
                settings.append(self._setting(name, own, values, axes, scheduler))
        problems += _clashes(at, settings)
        if len(settings) < count:
            return None, problems
        normalised = _normalised(axes, blocks) | ({SCHEDULER: scheduler.plain()} if scheduler is not None else {})
        if search is None:
            return Arm(name, tuple(settings), normalised), problems
        space, wrong = space_of(axes, normalised, search, at)
        setting_of = functools.cache(functools.partial(self._suggested, name, block, axes, scheduler))
        whole = {**normalised, SEARCH: search.plain()}
        return SearchedArm(name, tuple(settings), whole, search, space, setting_of), [*problems, *wrong]

    def _suggested(
        self,
        name: str,
        block: dict[str, Any],
        axes: Sequence[Axis],
        scheduler: SchedulerOptions | None,
        values: tuple[Any, ...],
    ) -> Setting:
        """Return the setting of an arm with values in the order of its axes.

        Raises:
            SpecError: values between the ends of the distributions are not valid together.
        """
        overlay = chosen(block, {axis.path: value for axis, value in zip(axes, values, strict=True)})
        parts = self._merged(overlay)
        if found := self._problems(name, overlay, parts, []):
            raise SpecError(Fault(dotted(problem.path), problem.value, problem.message) for problem in found)
        validated = {key: part.value for key, part in parts.items()}
        own = {key: project(overlay[key], _plain(validated[key])) for key in overlay}
        return self._setting(name, own, validated, axes, scheduler)

    def _foreign(self, path: KeyPath, value: Any) -> Problem:
        key = path[-1]
        if key in TrialConfig.model_fields or key in self._study:
            return Problem(path, value, f"an arm may not override {key!r}, only {', '.join(ARM_KEYS)}")
        return unknown_key(path, value, (*ARM_KEYS, SEARCH, SCHEDULER))

    def _validated(self, key: str, value: Any) -> _Part:
        try:
            return _Part(_PARTS[key].validate_python(value, context={"folder": self._folder}))
        except ValidationError as error:
            return _Part(problems=tuple(problems_of(error, TrialConfig, (key,))))

    def _merged(self, overlay: Mapping[str, Any]) -> dict[str, _Part]:
        """Return the parts of the study with an arm's merged over them."""
        own = {key: self._validated(key, merge(self._study.get(key), value)) for key, value in overlay.items()}
        parts = {**self._parts, **own}
        # A temperature or curriculum of the study is dropped in arms that can't use it; one of the arm itself is not.
        distiller = parts["distiller"].value if "distiller" in parts else None
        if "temperature" not in overlay and distiller is not None and distiller.takes is None:
            parts["temperature"] = _Part()
        temperature = parts["temperature"]
        may_learn = temperature.problems or (temperature.value is not None and temperature.value.learned)
        if "curriculum" not in overlay and not may_learn:
            parts["curriculum"] = _Part()
        return parts

    def _problems(
        self, name: str, overlay: dict[str, Any], parts: Mapping[str, _Part], choice: list[tuple[Axis, int | None]]
    ) -> list[Problem]:
        found = [problem for part in parts.values() for problem in part.problems]
        valid = {key: part.value for key, part in parts.items() if not part.problems}
        for key, message in combination_faults(_needed(valid)):
            head, *rest = key.split(".")
            found.append(Problem((head, *rest), get(_plain(valid[head]), tuple(rest)), message))
        items = {axis.path: (*axis.path, axis.kind, number) for axis, number in choice if number is not None}
        faulty = [axis.path for axis, number in choice if number is None]
        placed = []
        for problem in found:
            if not self._is_arms(overlay, problem.path):
                placed.append(problem)
            elif not any(problem.path[: len(path)] == path for path in faulty):
                at = ("arms", name, *items[problem.path]) if problem.path in items else None
                placed.append(problem._replace(path=("arms", name, *problem.path), at=at))
        return placed

    def _is_arms(self, overlay: Mapping[str, Any], path: KeyPath) -> bool:
        """Whether the arm, not the study, states the value at this path of a merged configuration."""
        head = str(path[0])
        if head in overlay:
            return is_overlays(overlay[head], self._study.get(head), path[1:])
        return head in ARM_KEYS and head not in self._study  # where neither states it, the arm lacks it

    def _setting(
        self,
        arm: str,
        own: dict[str, Any],
        values: Mapping[str, Any],
        axes: Sequence[Axis],
        scheduler: SchedulerOptions | None,
    ) -> Setting:
        config = TrialConfig.model_validate({"seed": 0, **_needed(values)})
        return Setting(
            arm=arm,
            key=digest(own)[:8],
            label=_label(arm, own, values, [axis.path for axis in axes]),
            overrides_student=config.student != self._parts["student"].value,
            overrides_epochs=config.recipe.epochs != self._parts["recipe"].value.epochs,
            config=config,
            vary=self._vary,
            scheduler=scheduler.plain() if scheduler is not None else None,
        )


def _vary_of(study: Mapping[str, Any]) -> Vary:
    """Return what a study varies; where that is wrong, which others report, nothing."""
    try:
        return Vary.model_validate(study.get("vary", {}))
    except ValidationError:
        return Vary()


def resolve_arms(study: Mapping[str, Any], folder: Path | None) -> tuple[tuple[Arm, ...], list[Problem]]:
    """Return the arms of a study, and all that is wrong with them; the arguments are those of ``Resolver``."""
    blocks = study.get("arms")
    arms, problems, resolver = [], [], Resolver(study, folder)
    for name, block in blocks.items() if isinstance(blocks, dict) else ():
        arm, found = resolver.resolve(name, block)
        problems += found
        arms += [arm] if arm is not None else []
    return tuple(arms), problems


def merge(base: Any, overlay: Any) -> Any:
    """Return the base with the overlay's keys put in, level by level; a block about something else replaces it."""
    if not (isinstance(base, dict) and isinstance(overlay, dict)) or _is_another(base, overlay):
        return overlay
    return {**base, **{key: merge(base.get(key), value) for key, value in overlay.items()}}


def is_overlays(overlay: Any, base: Any, path: KeyPath) -> bool:
    """Whether ``merge(base, overlay)`` takes its value at a path from the overlay; False where neither has one."""
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


def _plain(value: Any) -> Any:
    return value.plain() if isinstance(value, Options) else value


def _needed(parts: Mapping[str, Any]) -> dict[str, Any]:
    """Return the parts of a configuration, with what the distiller needs of the teacher.

    The study may leave ``teacher_source`` open; the plan decides it then.
    """
    needs = getattr(parts.get("distiller"), "needs", None)
    if needs == "nothing":
        return {**parts, "teacher": None, "teacher_source": None}
    if needs == "maps":
        return {**parts, "teacher_source": "online"}  # no bank holds feature maps
    return dict(parts)


def _normalised(axes: list[Axis], blocks: list[tuple[tuple[int | None, ...], dict[str, Any]]]) -> dict[str, Any]:
    """Return the block of an arm with its values as validated: of each setting, those of its axes."""
    written: dict[KeyPath, Any] = {}
    for place, axis in enumerate(axes):
        values = {numbers[place]: get(block, axis.path) for numbers, block in blocks}
        written[axis.path] = {axis.kind: list(values.values())}
    block: dict[str, Any] = chosen(blocks[0][1], written)
    return block


def _clashes(at: KeyPath, settings: list[Setting]) -> list[Problem]:
    found, first = [], dict[str, Setting]()
    for setting in settings:
        if (same := first.setdefault(setting.key, setting)) is not setting:
            rule = f"the settings of an arm must differ, but {same.label} and {setting.label} do not"
            found.append(Problem(at, setting.label, rule))
    return found


# -- labels ----------------------------------------------------------------------------------------------------------


def _label(arm: str, own: dict[str, Any], values: Mapping[str, Any], varied: list[KeyPath]) -> str:
    """Return what varies in the arm, e.g. ``T=4``; for an arm of one setting, its options with symbols, or its name."""
    paths = varied or [path for path, _ in leaves(own) if _title(values, path)]
    names = {path: _title(values, path) or _last(path) for path in paths}
    shown = list(names.values())
    named = {name if shown.count(name) == 1 else dotted(path): get(own, path) for path, name in names.items()}
    return ", ".join(f"{name}={text(value)}" for name, value in named.items()) or arm


def _title(values: Mapping[str, Any], path: KeyPath) -> str | None:
    """Return the symbol of an option, e.g. T, or None."""
    part = values[str(path[0])]
    return type(part).model_fields[str(path[1])].title if len(path) == 2 and isinstance(part, Options) else None


def _last(path: KeyPath) -> str:
    """Return the last key of a path, with the numbers of list items after it: ``widths[1]``."""
    start = max(number for number, part in enumerate(path) if isinstance(part, str))
    return dotted(path[start:])
