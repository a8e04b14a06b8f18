"""The complete configuration of a trial, and its fingerprint.

``TrialConfig`` is the ``config`` of the Ray Tune Trainable, the result of resolving a study's settings, and part of
a trial's record. Everything in it except ``run`` decides the trial's numbers.
"""

from collections.abc import Iterator, Mapping
from types import MappingProxyType
from typing import Annotated, Any, Literal

from pydantic import Field, create_model, model_validator
from pydantic_core import PydanticCustomError

from trainables.curriculum import CURRICULA, Cosine, CurriculumOptions
from trainables.data import DATASETS, DataOptions
from trainables.distillers import DISTILLERS, DistillerOptions
from trainables.hashing import digest, file_sha256
from trainables.models import MODELS, ModelOptions
from trainables.options import LocalPath, Options
from trainables.plugins import code_of
from trainables.recipe import Recipe
from trainables.registry import OneOf, Registry
from trainables.streams import MAX_SEED
from trainables.temperatures import TEMPERATURES, TemperatureOptions

TeacherSource = Literal["bank32", "bank16", "online"]


class TeacherOptions(Options):
    """A teacher: a network, and where its weights come from."""

    recipe: Recipe | None = Field(
        None, description="Trains the teacher, once; what it leaves out is taken from the study's recipe."
    )
    checkpoint: LocalPath | None = Field(
        None, description="File with the teacher's weights; it may have seen the validation split."
    )
    seed: int = Field(0, ge=0, le=MAX_SEED, description="Seed of the teacher's own training.")

    @model_validator(mode="after")
    def _one_origin(self) -> "TeacherOptions":
        if (self.recipe is None) == (self.checkpoint is None):
            raise PydanticCustomError(
                "teacher_origin", "a teacher needs either a recipe (train it) or a checkpoint (load it)"
            )
        return self

    def network(self) -> ModelOptions:
        """Return the options of the teacher's network, without those of its training."""
        return MODELS.parse(
            {key: value for key, value in self.plain().items() if key not in TeacherOptions.model_fields}
        )


class _TeacherRegistry(Registry[TeacherOptions]):
    """Every network as a teacher: its own options plus ``TeacherOptions``."""

    def _candidates(self) -> Iterator[type[TeacherOptions]]:
        for options in dict.fromkeys(MODELS.classes.values()):
            bases: tuple[type[Any], ...] = (TeacherOptions, options)
            yield create_model(f"Teacher{options.__name__}", __base__=bases, __doc__=options.__doc__)


TEACHERS = _TeacherRegistry("trainables.models", TeacherOptions, "model", "ctkd_study.models")


class Numerics(Options):
    """Options of the arithmetic, apart from the method."""

    threads: int = Field(1, ge=1, le=1024, description="CPU threads of one trial; another number gives other rounding.")
    memory_format: Literal["channels_last", "contiguous"] = Field(
        "channels_last", description="Layout of images and weights."
    )
    dtype: Literal["float32", "bfloat16"] = Field(
        "float32",
        description="Precision of the student's layers (autocast); weights, temperature, losses and teacher are always "
        "float32. A device without units for bfloat16 takes float32, and the reports say so.",
    )
    compile: bool = Field(
        False,
        description="Compile the student (torch.compile): results are then not promised to repeat bit by bit. Where "
        "that fails, it runs as it is written, and the reports say so.",
    )
    deterministic: bool = Field(
        False, description="On CUDA: deterministic kernels, slower; a CPU is deterministic anyway."
    )
    device: Literal["auto", "cpu", "cuda"] = Field(
        "auto", description="`auto` takes CUDA where the trial was given a GPU."
    )


class CheckpointOptions(Options):
    """When a trial saves a checkpoint: after so many seconds or epochs, whichever comes first, and at its end."""

    seconds: float | None = Field(10.0, gt=0, le=1e6, description="Seconds of training between checkpoints.")
    epochs: int | None = Field(None, ge=1, le=100_000, description="Epochs between checkpoints.")


class RunOptions(Options):
    """Options that do not influence a trial's numbers, and so are not part of its fingerprint."""

    study: str = Field("", description="Name of the study.")
    uid: str = Field("", description="Identity of the study, drawn at its first run.")
    trial: str = Field("", description="Id of the trial.")
    arm: str = Field("", description="Arm of the trial.")
    setting: str = Field("", description="Setting of the trial, as people read it.")
    suggestion: int | None = Field(None, ge=1, description="Number of the trial in the search of its seed, from 1.")
    search: dict[str, Any] | None = Field(None, description="What decided the suggestion, besides the earlier trials.")
    scheduler: dict[str, Any] | None = Field(None, description="What may stop the trial before its end.")
    attempt: int = Field(0, ge=0, description="Number of the launch.")
    folder: str | None = Field(
        None, description="Where the trial is recorded, absolute or s3://...; default: nowhere, Ray keeps checkpoints."
    )
    retry: bool = Field(False, description="Whether to go on from before a failure that an earlier launch recorded.")
    teachers: str | None = Field(
        None, description="Folder of trained teachers and banks, absolute; default: beside the data caches of the user."
    )
    data: str | None = Field(
        None, description="SHA-256 of the data that the study's other trials were trained on; other data is refused."
    )
    weights: str | None = Field(
        None, description="SHA-256 of the teacher's weights that the study's other trials read; others are refused."
    )
    device_share: float | None = Field(None, gt=0, description="Share of a GPU that the trial was given.")
    cores: float | None = Field(None, gt=0, description="CPU cores that the trial was given; default: its threads.")
    checkpoint: CheckpointOptions = CheckpointOptions()


class TrialParts(Options):
    """The parts of a trial that a study states for all its trials; each decides the trial's numbers."""

    protocol: Literal["validation", "paper"] = Field(
        "validation",
        description="`validation` selects epochs and settings, and the test set only reports; `paper` reproduces the "
        "literature (all training data, best epoch and setting by test accuracy) and gives no verdict.",
    )
    data: Annotated[DataOptions, OneOf(DATASETS)] = Field(description="The data set, its splits and views.")
    teacher: Annotated[TeacherOptions, OneOf(TEACHERS)] | None = Field(
        None, description="The teacher, trained or loaded."
    )
    teacher_source: TeacherSource | None = Field(
        None,
        description="Where the teacher's outputs come from; default: a bank (`bank32` where an example has one view, "
        "else `bank16`) if it saves work and fits, else `online`; chosen at the first run. A distiller that reads "
        "feature maps runs the teacher online in any case.",
    )
    student: Annotated[ModelOptions, OneOf(MODELS)] = Field(description="The network that learns.")
    recipe: Recipe = Field(description="How the student is trained, and, where it says nothing else, the teacher.")
    distiller: Annotated[DistillerOptions, OneOf(DISTILLERS)] = Field(
        description="How the student learns from the teacher."
    )
    temperature: Annotated[TemperatureOptions, OneOf(TEMPERATURES)] | None = Field(
        None, description="How T is set, in arms that do not say it themselves and have a distiller that takes one."
    )
    curriculum: Annotated[CurriculumOptions, OneOf(CURRICULA)] | None = Field(
        None,
        description="The schedule of λ, in arms that learn T and don't say it themselves; default: the paper's cosine.",
    )
    numerics: Numerics = Field(Numerics(), description="What the arithmetic depends on besides the method.")


class TrialConfig(TrialParts):
    """One setting with one seed."""

    seed: int = Field(
        ge=0, le=MAX_SEED, description="Seed of student, batch order, views, and whatever else is random."
    )
    run: RunOptions = RunOptions()

    @model_validator(mode="before")
    @classmethod
    def _default_curriculum(cls, data: Any) -> Any:
        # Fill in the paper's schedule here, so that it becomes part of the fingerprint.
        if isinstance(data, dict) and data.get("curriculum") is None:
            temperature = data.get("temperature")
            kind = temperature.get("kind") if isinstance(temperature, dict) else getattr(temperature, "kind", None)
            if isinstance(kind, str) and kind in TEMPERATURES and TEMPERATURES[kind].learned:
                return {**data, "curriculum": Cosine().plain()}
        return data

    @model_validator(mode="after")
    def _combination(self) -> "TrialConfig":
        if faults := combination_faults(dict(self)):
            text = "; ".join(f"{at}: {message}" for at, message in faults)
            raise PydanticCustomError("combination", "{text}", {"text": text, "faults": faults})
        return self

    def __reduce__(self) -> Any:
        # As plain values: a teacher's class is made when its registry is read, so pickle does not find it by name.
        return TrialConfig.model_validate, (self.plain(),)

    @property
    def uses_teacher(self) -> bool:
        """Whether the trial reads a teacher's outputs."""
        return self.teacher is not None and self.distiller.needs != "nothing"

    def identity(self) -> dict[str, Any]:
        """Return everything that decides the trial's numbers, as plain values.

        A teacher's checkpoint is identified by its content, not by its name; the location of the data set is left out.
        ``code`` names the code of the plug-ins, by the part that each is; without plug-ins there is no such key.

        Raises:
            FileNotFoundError: the teacher's checkpoint does not exist.
            PluginError: a plug-in's code is in no file, and it declares no version.
        """
        identity = {key: value for key, value in self.plain().items() if key != "run"}
        identity["data"] = {key: value for key, value in identity["data"].items() if key not in self.data.whereabouts}
        if self.teacher is not None and self.teacher.checkpoint is not None:
            identity["teacher"] = {**identity["teacher"], "checkpoint": file_sha256(self.teacher.checkpoint)}
        if code := code_of_parts(self):
            identity["code"] = code
        return identity

    def fingerprint(self) -> str:
        """Return the hash of ``identity``, 16 hex digits."""
        return digest(self.identity())


def code_of_parts(options: Options, at: str = "") -> dict[str, str]:
    """Return what stands for the code of plug-ins among some options and their parts, by dotted name.

    Args:
        options: looked through with all options that they hold.
        at: dotted name of these options themselves.
    """
    code = code_of(type(options))
    found = {at: code} if code is not None else {}
    for name in type(options).model_fields:
        if isinstance(value := getattr(options, name), Options):
            found |= code_of_parts(value, f"{at}.{name}" if at else name)
    return found


_UNSERVED: Mapping[str, str] = MappingProxyType(
    {
        "value": "the distiller puts T into a loss of its own, and this kind has no single T",
        "term": "this kind decides the whole loss, and the distiller adds a part of its own",
        "loss": "this kind works only as a part of a larger loss",
    }
)


def combination_faults(parts: Mapping[str, Any]) -> list[tuple[str, str]]:
    """Return what is wrong with a combination of valid parts, as pairs of the dotted key and a message.

    Args:
        parts: fields of a ``TrialConfig`` by name. Rules about a field that is left out are not applied.
    """
    found: list[tuple[str, str]] = []
    distiller, teacher_source = parts.get("distiller"), parts.get("teacher_source")
    temperature, curriculum = parts.get("temperature"), parts.get("curriculum")
    name, kind = getattr(distiller, "name", ""), getattr(temperature, "kind", "")
    if distiller is not None and "temperature" in parts:
        if distiller.takes is None and temperature is not None:
            found.append(("temperature", f"distiller {name!r} takes no temperature"))
        if distiller.takes is not None and temperature is None:
            rule = f"distiller {name!r} needs a temperature, its kind one of {', '.join(TEMPERATURES)}"
            found.append(("temperature", rule))
        if distiller.takes is not None and temperature is not None and distiller.takes not in temperature.serves:
            reason = _UNSERVED.get(distiller.takes)
            found.append(("temperature", f"temperature {kind!r} does not serve distiller {name!r}: {reason}"))
    if curriculum is not None and "temperature" in parts and (temperature is None or not temperature.learned):
        found.append(("curriculum", "a curriculum needs a learned temperature (λ scales the gradient of T)"))
    if distiller is not None and distiller.needs != "nothing" and "teacher" in parts and parts["teacher"] is None:
        found.append(("teacher", f"distiller {name!r} needs a teacher"))
    if distiller is not None and teacher_source in ("bank32", "bank16") and distiller.needs == "maps":
        rule = f"distiller {name!r} reads the teacher's feature maps, which no bank holds: use online"
        found.append(("teacher_source", rule))
    if "data" in parts:
        found += _data_faults(parts["data"], parts.get("protocol"))
    return found


def _data_faults(data: DataOptions, protocol: str | None) -> list[tuple[str, str]]:
    found = []
    if protocol == "paper" and data.validation > 0:
        rule = f"protocol 'paper' trains on all training data, so validation must be 0, but got {data.validation}"
        found.append(("data.validation", rule))
    if protocol == "validation" and data.validation == 0:
        rule = (
            "validation must be at least 1, as it selects epochs and settings (or choose protocol 'paper'), but got 0"
        )
        found.append(("data.validation", rule))
    return found
