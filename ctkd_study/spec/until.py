"""How a study adds seeds until its question is decided: the keys of ``until``."""

from collections.abc import Sequence

from pydantic import Field

from trainables.options import Options

FEWEST = 3
"""Seeds of a look, at least: fewer give no interval."""
USUAL_MOST = 20
_MOST = 1000


class Budget(Options):
    """What the trials may take, training, evaluation and the teacher's work in them; seeds that would go beyond it are
    not begun."""

    device_hours: float | None = Field(None, gt=0, le=1e9, description="Of a GPU, or of a CPU core.")
    money: float | None = Field(None, gt=0, le=1e12, description="At price_per_device_hour.")


class UntilOptions(Options):
    """Looks at a growing number of seeds that share one error."""

    first: int | None = Field(
        None, ge=FEWEST, le=_MOST, description="Seeds at the first look; default: the study's number of seeds."
    )
    step: int = Field(
        1,
        ge=1,
        le=_MOST,
        description="Seeds from one look to the next, which run side by side; a multiple of the groups of `vary`.",
    )
    seeds: int | None = Field(
        None,
        ge=FEWEST,
        le=_MOST,
        description=f"Seeds at the last look; default: {USUAL_MOST}, or twice the study's number of seeds if that is "
        "more.",
    )
    budget: Budget = Field(Budget(), description="What may be spent; default: what the seeds take.")

    def settled(self, seeds: int) -> "UntilOptions":
        """Return the options with their defaults for a study that lists so many seeds.

        Raises:
            ValueError: the numbers contradict each other.
        """
        first, most = self.first or seeds, self.seeds or max(USUAL_MOST, 2 * seeds)
        if not FEWEST <= first <= most or most < seeds:
            raise ValueError(
                f"{FEWEST} <= first <= seeds must hold, and the study's {seeds} seeds must be among them, but got "
                f"(first={first}, seeds={most})"
            )
        return self.model_copy(update={"first": first, "seeds": most})

    @property
    def looks(self) -> tuple[int, ...]:
        """The numbers of seeds at which the study is looked at; of settled options."""
        if self.first is None or self.seeds is None:
            raise TypeError("the looks are those of settled options")
        return (*range(self.first, self.seeds, self.step), self.seeds)


def with_more(listed: Sequence[int], count: int) -> tuple[int, ...]:
    """Return the listed seeds and, after the largest of them, the next ones, ``count`` in all."""
    start = max(listed) + 1
    return (*listed, *range(start, start + count - len(listed)))
