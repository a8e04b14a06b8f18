"""The keys of a study file, as types: what each means, and what it may be."""

import math
from collections.abc import Mapping
from typing import Annotated, Any, Literal

from pydantic import (
    BeforeValidator,
    Field,
    PrivateAttr,
    TypeAdapter,
    ValidationError,
    ValidationInfo,
    WithJsonSchema,
    field_validator,
)

from ctkd_study.errors import Fault, SpecError, dotted
from ctkd_study.spec.arms import Arm, Setting
from ctkd_study.spec.error_messages import suggestion
from ctkd_study.spec.published import Published
from ctkd_study.spec.resolver import resolve_arms
from ctkd_study.spec.until import USUAL_MOST, UntilOptions, with_more
from ctkd_study.spec.values import NAME
from ctkd_study.spec.vary import Vary, vary_fault
from trainables.config import CheckpointOptions, TrialParts
from trainables.options import Options
from trainables.streams import MAX_SEED

_MAX_SEEDS = 10_000

_Seed = Annotated[int, Field(ge=0, le=MAX_SEED)]
_SeedList = Annotated[list[_Seed], Field(min_length=1, max_length=_MAX_SEEDS, json_schema_extra={"uniqueItems": True})]
_WRITTEN_SEEDS: TypeAdapter[Any] = TypeAdapter(Annotated[int, Field(ge=1, le=_MAX_SEEDS)] | _SeedList)


def _seeds(value: Any) -> Any:
    rule = f"must be a number of seeds from 1 to {_MAX_SEEDS} (8: 0 to 7), or a list of different whole numbers"
    try:
        seeds = _WRITTEN_SEEDS.validate_python(list(value) if isinstance(value, tuple) else value, strict=True)
    except ValidationError:
        raise ValueError(rule) from None
    if isinstance(seeds, list) and len(set(seeds)) < len(seeds):
        raise ValueError(rule)
    return tuple(seeds if isinstance(seeds, list) else range(seeds))


Seeds = Annotated[tuple[int, ...], BeforeValidator(_seeds), WithJsonSchema(_WRITTEN_SEEDS.json_schema())]

#: What strategies are compared by, on the test set.
MetricName = Literal["top1", "top5", "nll", "ece"]

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
        None, ge=0, le=2**62, description="What it may take; where it would be larger, the teacher runs online."
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
    metric: MetricName = Field(
        "top1",
        description="What strategies are compared by on the test set: accuracy (top1, top5), negative log-likelihood "
        "(nll), or expected calibration error (ece). Settings are selected by validation accuracy all the same.",
    )
    margin: float = Field(
        gt=0, le=100, description="What would not matter to you: accuracy points, or the unit of the metric."
    )
    arms: dict[str, Any] = Field(
        min_length=1, description="Ways to set the temperature; each is merged over the study and may hold grids."
    )
    baseline: str | None = Field(
        None,
        description="The arm that the others are compared with; default: the first with several fixed temperatures.",
    )
    confirm: Annotated[list[str], Field(min_length=1)] | None = Field(
        None,
        description="The arms that the study is to show something about; they share the error of the verdict, and the "
        "others are exploratory. Default: every arm with a teacher, but the baseline.",
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
    until: UntilOptions | None = Field(
        None,
        description="Seeds are added to the listed ones until the verdict is decided; fixed at the first run, with "
        "metric, margin and baseline.",
    )
    vary: Vary = Field(
        Vary(),
        description="What else differs between seeds: each group of seeds has a teacher or a split of its own. The "
        "group of a seed is the seed modulo the number of groups.",
    )
    resources: Resources = Field(Resources(), description="What one trial is given of the machine.")
    concurrency: int | None = Field(
        None, ge=1, le=100_000, description="Trials at once, at most; default: as many as fit."
    )
    stall: float | None = Field(
        None,
        ge=1,
        le=1e7,
        description="Seconds without a word from a trial, or from the teacher's preparation, after which it is taken "
        "for hung, and tried again elsewhere; default: ten of the longest epochs, and at least ten minutes.",
    )
    bank: BankOptions = Field(BankOptions(), description="The bank of the teacher's outputs.")
    checkpoint: CheckpointOptions = Field(CheckpointOptions(), description="When a trial saves itself.")

    @field_validator("vary")
    @classmethod
    def _what_varies_can(cls, value: Vary, info: ValidationInfo) -> Vary:
        seeds, until = info.data.get("seeds"), info.data.get("until")
        if seeds is not None and until is not None:
            seeds = with_more(seeds, until.seeds)
        if fault := vary_fault(value, info.data, seeds, until.looks if until is not None else ()):
            raise ValueError(fault)
        return value

    @field_validator("seeds_planned")
    @classmethod
    def _no_more_seeds_than_planned(cls, value: int | None, info: ValidationInfo) -> int | None:
        seeds = info.data.get("seeds", ())
        if value is not None and value < len(seeds):
            raise ValueError(f"must be at least the number of seeds, {len(seeds)}")
        return value

    @field_validator("until")
    @classmethod
    def _until_fits(cls, value: UntilOptions | None, info: ValidationInfo) -> UntilOptions | None:
        if value is None or "seeds" not in info.data:
            return value
        if info.data.get("protocol") == "paper":
            raise ValueError("protocol 'paper' gives no verdict that could be decided")
        if info.data.get("seeds_planned") is not None:
            raise ValueError("until.seeds is the number of seeds at the final look: leave seeds_planned out")
        if value.budget.money is not None and not info.data.get("price_per_device_hour"):
            raise ValueError("a budget of money needs price_per_device_hour, above 0")
        return value.settled(len(info.data["seeds"]))

    @field_validator("resources")
    @classmethod
    def _a_gpu_where_one_is_asked_for(cls, value: Resources, info: ValidationInfo) -> Resources:
        numerics = info.data.get("numerics")
        if value.gpu == 0 and numerics is not None and numerics.device == "cuda":
            raise ValueError("device cuda needs a share of a GPU, but resources.gpu is 0")
        return value

    @field_validator("published")
    @classmethod
    def _published_are_arms(cls, value: Published | None, info: ValidationInfo) -> Published | None:
        arms = info.data.get("arms")
        if value is not None and arms is not None and (unknown := [arm for arm in value.arms if arm not in arms]):
            near = suggestion(unknown[0], arms)
            raise ValueError(
                f"published numbers must be of the arms {', '.join(arms)}, but name {', '.join(unknown)}{near}"
            )
        return value

    @field_validator("baseline")
    @classmethod
    def _baseline_is_an_arm(cls, value: str | None, info: ValidationInfo) -> str | None:
        arms = info.data.get("arms")
        if value is not None and arms is not None and value not in arms:
            raise ValueError(f"must be one of the arms: {', '.join(arms)}{suggestion(value, arms)}")
        return value

    @field_validator("confirm")
    @classmethod
    def _confirmed_are_arms(cls, value: list[str] | None, info: ValidationInfo) -> list[str] | None:
        arms = info.data.get("arms")
        if value is None or arms is None:
            return value
        if unknown := [arm for arm in value if arm not in arms]:
            raise ValueError(f"must be some of the arms: {', '.join(arms)}{suggestion(unknown[0], arms)}")
        if len(set(value)) < len(value):
            raise ValueError("must name each arm once")
        if info.data.get("baseline") in value:
            raise ValueError("must not name the baseline, which the others are compared with")
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
    def all_seeds(self) -> tuple[int, ...]:
        """The listed seeds, and those that ``until`` may add, in the order in which they run."""
        most = self.until.seeds if self.until is not None else None
        return with_more(self.seeds, most) if most is not None else self.seeds

    def usual_until(self) -> dict[str, int]:
        """Return the ``until`` of a study that has none: looks at whole rounds, where there are groups of seeds."""
        groups = self.vary.groups
        return {"step": groups, "seeds": math.ceil(max(USUAL_MOST, 2 * len(self.seeds)) / groups) * groups}

    @property
    def cores_per_trial(self) -> float:
        """CPU cores that one trial is given."""
        return self.resources.cpu or float(self.numerics.threads)

    def settings(self) -> tuple[Setting, ...]:
        """Return every setting: arm by arm in the order of the file, each arm's grid in the order of its product.

        Of a searched arm, these are the ends of its distributions.
        """
        return tuple(setting for arm in self._resolved_arms for setting in arm.settings)
