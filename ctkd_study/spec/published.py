"""Accuracies that the literature reports for a study's networks, and how the study differs from the literature."""

from typing import Annotated, Any

from pydantic import BeforeValidator, Field, WithJsonSchema, model_validator

from trainables.data import DataOptions
from trainables.options import Options
from trainables.recipe import PresetName, Recipe


def _accuracies(value: Any) -> Any:
    rule = "must give an accuracy above 0 and at most 100 for each arm that it names"
    if not isinstance(value, dict):
        raise ValueError(rule)
    for arm, top1 in value.items():
        if isinstance(top1, bool) or not isinstance(top1, int | float) or not 0 < top1 <= 100:
            raise ValueError(f"{rule}, but gives {top1!r} for {arm}")
    return {arm: float(top1) for arm, top1 in value.items()}


_SCHEMA = {"type": "object", "additionalProperties": {"type": "number", "exclusiveMinimum": 0, "maximum": 100}}
Accuracies = Annotated[dict[str, float], BeforeValidator(_accuracies), WithJsonSchema(_SCHEMA)]


class Published(Options):
    """Published top-1 test accuracies in percent, as the literature takes them: all training data, best test epoch."""

    source: str = Field(min_length=1, max_length=500, description="Where the numbers stand, if `sources` has no other.")
    teacher: float | None = Field(None, gt=0, le=100, description="The teacher's accuracy.")
    student: float | None = Field(None, gt=0, le=100, description="The student's accuracy without a teacher.")
    arms: Accuracies = Field({}, description="Accuracy by arm of this study.")
    sources: dict[str, str] = Field({}, description="Other sources, by arm.")
    recipe: PresetName | None = Field(
        None, description="The preset that the numbers were made with; what the study does otherwise is then named."
    )

    @model_validator(mode="after")
    def _sources_of_numbers(self) -> "Published":
        if unknown := [arm for arm in self.sources if arm not in self.arms]:
            raise ValueError(f"sources must name arms that have a number, but name {', '.join(unknown)}")
        return self

    def source_of(self, arm: str) -> str:
        """Return the source of an arm's number."""
        return self.sources.get(arm, self.source)

    def differences(self, protocol: str, data: DataOptions, recipe: Recipe) -> tuple[str, ...]:
        """Return, in words, how a study differs from the literature; if it does not, accuracies can be compared."""
        found = []
        if protocol != "paper":
            found.append(
                f"{data.validation} training examples are held out and select epochs and settings, not the test set"
            )
        if data.train_examples is not None:
            found.append(f"the student sees {data.train_examples} training examples, not all")
        if self.recipe is not None:
            theirs = Recipe.model_validate({"preset": self.recipe}).plain()
            ours = recipe.plain()
            changed = [key for key, value in theirs.items() if ours[key] != value]
            found += [f"recipe.{key} is {_text(ours[key])}, not {_text(theirs[key])}" for key in changed]
        return tuple(found)


def _text(value: Any) -> str:
    if isinstance(value, dict):
        return "{" + ", ".join(f"{key}: {_text(inner)}" for key, inner in value.items()) + "}"
    return f"{value:g}" if isinstance(value, float) else str(value)
