"""A study as types: composed from the options that each part declares, read with every fault at once.

``load`` reads a file, ``from_mapping`` a Python mapping; their ``StudySpec`` is valid as a whole, with its arms.
"""

import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import (
    BeforeValidator,
    Field,
    PrivateAttr,
    ValidationError,
    ValidationInfo,
    WithJsonSchema,
    field_validator,
)
from pydantic_core import PydanticCustomError

from ctkd_study.errors import Fault, KeyPath, Place, SpecError, dotted
from ctkd_study.spec.arms import Arm, Setting
from ctkd_study.spec.document import Document, from_plain, read
from ctkd_study.spec.problems import Problem, problems_of, suggestion
from ctkd_study.spec.published import Published
from ctkd_study.spec.resolver import NAME, is_overlays, merge, resolve_arms
from trainables.config import CheckpointOptions, TrialParts
from trainables.options import Options
from trainables.presets import expanded

_MAX_SEEDS = 10_000
_MAX_SEED = 2**31
_FEWEST_FOR_AN_INTERVAL = 3


def _seeds(value: Any) -> Any:
    if isinstance(value, int) and not isinstance(value, bool) and 1 <= value <= _MAX_SEEDS:
        return tuple(range(value))
    if isinstance(value, list | tuple) and 1 <= len(value) <= _MAX_SEEDS:
        whole = all(isinstance(seed, int) and not isinstance(seed, bool) and 0 <= seed <= _MAX_SEED for seed in value)
        if whole and len(set(value)) == len(value):
            return tuple(value)
    rule = f"must be a number of seeds from 1 to {_MAX_SEEDS} (8: 0 to 7), or a list of different whole numbers"
    raise PydanticCustomError("seeds", "{rule}", {"rule": rule})


_SEEDS_SCHEMA = {
    "anyOf": [
        {"type": "integer", "minimum": 1, "maximum": _MAX_SEEDS},
        {
            "type": "array",
            "items": {"type": "integer", "minimum": 0, "maximum": _MAX_SEED},
            "minItems": 1,
            "maxItems": _MAX_SEEDS,
            "uniqueItems": True,
        },
    ]
}

Seeds = Annotated[tuple[int, ...], BeforeValidator(_seeds), WithJsonSchema(_SEEDS_SCHEMA)]


#: GPUs of a trial, or that they are to be found out.
GpuShare = float | Literal["auto"]


class Resources(Options):
    """What one trial is given of the machine."""

    cpu: float | None = Field(None, gt=0, le=4096, description="CPU cores; default: numerics.threads.")
    gpu: Annotated[float, Field(ge=0, le=64)] | Literal["auto"] = Field(
        "auto",
        description="GPUs; a fraction shares one among several trials. `auto`: where there are GPUs, as many trials on "
        "one as its memory holds and the cores feed; else none.",
    )


class BankOptions(Options):
    """The bank of the teacher's outputs."""

    max_bytes: int | None = Field(
        None,
        ge=0,
        le=2**62,
        description="What it may take; where it would be larger, the teacher runs online.",
    )


class _Heading(Options):
    """What a study file begins with."""

    name: str = Field(
        pattern=f"^{NAME.pattern}$", description="Name of the study: of its folder, and of its experiment in MLflow."
    )
    question: str = Field("", max_length=2000, description="What the study is to answer, in words.")


class StudySpec(TrialParts, _Heading):
    """One question: data, teacher, student, recipe, arms, seeds."""

    seeds: Seeds = Field(description="A number of seeds, or a list of them; every arm runs with each.")
    seeds_planned: int | None = Field(
        None,
        ge=1,
        le=_MAX_SEEDS,
        description="How many seeds the final look will have; with fewer, a verdict is marked interim.",
    )
    margin: float = Field(gt=0, le=100, description="Accuracy points that would not matter to you.")
    arms: dict[str, dict[str, Any]] = Field(
        min_length=1, description="Ways to set the temperature; each is merged over the study and may hold grids."
    )
    baseline: str | None = Field(
        None,
        description="The arm that the others are compared with; default: the first with several fixed temperatures.",
    )
    published: Published | None = Field(
        None,
        description="What the literature reports for this pair of networks; `compare` shows it beside the study's.",
    )
    price_per_device_hour: float | None = Field(
        None, ge=0, le=1e6, description="Price of one device (a GPU, a CPU core) for an hour."
    )
    currency: str = Field(
        "USD", min_length=1, max_length=8, description="What the price is in, as it is to be printed."
    )
    resources: Resources = Field(Resources(), description="What one trial is given of the machine.")
    concurrency: int | None = Field(
        None, ge=1, le=100_000, description="Trials at once, at most; default: as many as fit."
    )
    bank: BankOptions = Field(BankOptions(), description="The bank of the teacher's outputs.")
    checkpoint: CheckpointOptions = Field(CheckpointOptions(), description="When a trial saves itself.")

    @field_validator("seeds_planned")
    @classmethod
    def _no_more_seeds_than_planned(cls, value: int | None, info: ValidationInfo) -> int | None:
        seeds = info.data.get("seeds", ())
        if value is not None and value < len(seeds):
            raise PydanticCustomError(
                "seeds_planned", "must be at least the number of seeds, {seeds}", {"seeds": len(seeds)}
            )
        return value

    @field_validator("resources")
    @classmethod
    def _a_gpu_where_one_is_asked_for(cls, value: Resources, info: ValidationInfo) -> Resources:
        numerics = info.data.get("numerics")
        if value.gpu == 0 and numerics is not None and numerics.device == "cuda":
            raise PydanticCustomError("device", "device cuda needs a share of a GPU, but resources.gpu is 0")
        return value

    @field_validator("published")
    @classmethod
    def _published_are_arms(cls, value: Published | None, info: ValidationInfo) -> Published | None:
        arms = info.data.get("arms")
        if value is not None and arms is not None and (unknown := [arm for arm in value.arms if arm not in arms]):
            near = suggestion(unknown[0], arms)
            rule = f"published numbers must be of the arms {', '.join(arms)}, but name {', '.join(unknown)}{near}"
            raise PydanticCustomError("published", "{rule}", {"rule": rule})
        return value

    @field_validator("baseline")
    @classmethod
    def _baseline_is_an_arm(cls, value: str | None, info: ValidationInfo) -> str | None:
        arms = info.data.get("arms")
        if value is not None and arms is not None and value not in arms:
            rule = f"must be one of the arms: {', '.join(arms)}{suggestion(value, arms)}"
            raise PydanticCustomError("baseline", "{rule}", {"rule": rule})
        return value

    _resolved_arms: tuple[Arm, ...] = PrivateAttr(())

    def model_post_init(self, context: Any) -> None:
        """Resolve the arms, unless the context brings them."""
        self._resolved_arms = context["arms"] if context and "arms" in context else self._resolve()

    def model_copy(self, *, update: Mapping[str, Any] | None = None, deep: bool = False) -> "StudySpec":
        """Return a copy, some fields replaced by valid values; its arms are resolved anew."""
        copied = super().model_copy(update=update, deep=deep)
        copied._resolved_arms = copied._resolve()
        return copied

    def _resolve(self) -> tuple[Arm, ...]:
        arms, problems = resolve_arms(self.plain(), None)
        if problems:
            raise SpecError(Fault(dotted(problem.path), problem.value, problem.message) for problem in problems)
        return arms

    @property
    def resolved_arms(self) -> tuple[Arm, ...]:
        """The arms with their settings, in the order of the file."""
        return self._resolved_arms

    @property
    def cores_per_trial(self) -> float:
        """CPU cores that one trial is given."""
        return self.resources.cpu or float(self.numerics.threads)

    def settings(self) -> tuple[Setting, ...]:
        """Return every setting: arm by arm in the order of the file, each arm's grid in the order of its product."""
        return tuple(setting for arm in self._resolved_arms for setting in arm.settings)


def load(path: str | Path, overrides: Sequence[str] = ()) -> StudySpec:
    """Reads a study file.

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
    """A study from plain Python values or options objects, in the form of a study file.

    Args:
        data: keys as in a study file.
        base_dir: what relative paths are relative to; default: the current folder.

    Raises:
        SpecError: every fault, without lines.
    """
    return _study(from_plain(data), Path(os.path.abspath(base_dir or Path.cwd())))  # noqa: PTH100


def grid(*values: Any) -> dict[str, list[Any]]:
    """For a scalar of an arm: one setting for each of the values."""
    return {"grid": list(values)}


def warnings(spec: StudySpec) -> list[str]:
    """What is allowed, but probably not meant."""
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
    if len(spec.arms) == 1:
        found.append("there is one arm, and nothing to compare it with")
    settings = spec.settings()
    if spec.teacher is not None and all(setting.config.teacher is None for setting in settings):
        found.append("no arm uses the teacher")
    found += [f"arms.{dotted(path)}: a grid of one value is no grid" for path in _single_grids(spec.arms, ())]
    first: dict[str, Setting] = {}
    for setting in settings:
        same = first.setdefault(setting.config.model_dump_json(), setting)
        if same is not setting:
            found.append(
                f"arms {same.arm} ({same.label}) and {setting.arm} ({setting.label}) are one setting, trained twice"
            )
    found += dict.fromkeys(text for setting in settings if (text := _unfinished_curriculum(setting)))
    return found


def _single_grids(block: Any, path: KeyPath) -> list[KeyPath]:
    if not isinstance(block, dict):
        return []
    if isinstance(values := block.get("grid"), list) and path:
        return [path] if len(values) == 1 else []
    return [found for key, inner in block.items() for found in _single_grids(inner, (*path, key))]


def _unfinished_curriculum(setting: Setting) -> str | None:
    curriculum, epochs = setting.config.curriculum, setting.config.recipe.epochs
    end = getattr(curriculum, "epochs", epochs)
    if end <= epochs:
        return None
    return (
        f"arm {setting.arm} ({setting.label}): λ would reach its end in epoch {end}, but training ends after {epochs}"
    )


# -- from values to a study ------------------------------------------------------------------------------------------


def _study(document: Document, folder: Path) -> StudySpec:
    """The study that a document describes.

    Raises:
        SpecError: every fault.
    """
    data = _with_whole_recipes(document.data)
    arms, of_arms = resolve_arms(data, folder)
    if not of_arms and arms:
        data = {**data, "arms": {arm.name: arm.block for arm in arms}}
    spec, problems = None, []
    try:
        spec = StudySpec.model_validate(data, context={"folder": folder, "arms": arms})
    except ValidationError as error:
        # What is wrong with an arm, the resolver says better.
        blocks = data.get("arms")
        has_arms = isinstance(blocks, dict) and len(blocks) > 0
        problems = [problem for problem in problems_of(error, StudySpec) if problem.path != ("arms",) or not has_arms]
    placed = [_of_study(problem, document) for problem in (*problems, *of_arms)]
    faults = [*document.faults, *_placed(placed, document)]
    if faults or spec is None:
        raise SpecError(sorted(faults, key=lambda fault: (fault.place.override is not None, fault.line or 0)))
    return spec


def _with_whole_recipes(data: dict[str, Any]) -> dict[str, Any]:
    """The study, presets replaced by their keys, and the teacher's recipe merged over the study's.

    What an arm overrides never reaches the teacher.
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
    """The same where the user wrote it: what the teacher's recipe takes from the study's is the study's fault."""
    path, data = problem.path, document.data
    if path[:2] == ("teacher", "recipe") and not is_overlays(data["teacher"]["recipe"], data.get("recipe"), path[2:]):
        return problem._replace(path=path[1:])
    return problem


def _placed(problems: list[Problem], document: Document) -> list[Fault]:
    """Faults with their places, each once, and none about a value that could not be read in the first place."""
    faults: dict[tuple[str, str, Place], Fault] = {}
    for path, value, message, at in problems:
        if not any(path[:length] in document.broken for length in range(len(path) + 1)):
            fault = Fault(dotted(path), value, message, document.place(at or path))
            faults.setdefault((fault.key, fault.message, fault.place), fault)
    return list(faults.values())
