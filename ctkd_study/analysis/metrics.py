"""By what strategies are compared: the yardsticks on the test set, their units and directions."""

import dataclasses
from types import MappingProxyType

from ctkd_study.analysis import inference
from ctkd_study.analysis.strategies import Replicate
from ctkd_study.spec import MetricName


@dataclasses.dataclass(frozen=True)
class Metric:
    """A number on the test set, at the selected epoch. Selection is by validation accuracy, whatever the metric."""

    name: MetricName
    title: str
    """As people read it."""
    unit: str
    """Of differences and margins."""
    key: str
    """The field of a ``Replicate``."""
    lower_is_better: bool = False
    digits: int = 2
    """After the point, in differences."""
    counts_examples: bool = True
    """Whether it is a share of the test examples, and so rounded to whole ones."""

    def amount(self, value: float) -> str:
        """Return a value with its unit, e.g. ``1.5 points``."""
        return f"{value:g} {self.unit.removesuffix('s') if value == 1 else self.unit}"

    @property
    def direction(self) -> str:
        """Say how differences are to be read, where lower is better; else empty."""
        return "lower is better, so differences are turned: above 0 is better" if self.lower_is_better else ""

    def score(self, replicate: Replicate) -> float | None:
        """Return the value with its sign turned if lower is better: a higher score is always better."""
        value: float | None = getattr(replicate, self.key)
        return value if value is None or not self.lower_is_better else -value

    def difference(self, ours: Replicate, theirs: Replicate) -> float | None:
        """Return ours minus theirs, above 0 where ours is better; None where one has no value."""
        a, b = self.score(ours), self.score(theirs)
        return None if a is None or b is None else a - b

    def rounding(self, examples: int | None) -> float:
        """Return the standard deviation that rounding to whole test examples gives; 0 where nothing is rounded."""
        return inference.rounding(examples) if self.counts_examples else 0.0


TOP1 = Metric("top1", "test accuracy", "points", "test_top1")
METRICS = MappingProxyType(
    {
        metric.name: metric
        for metric in (
            TOP1,
            Metric("top5", "top-5 accuracy", "points", "test_top5"),
            Metric("nll", "negative log-likelihood", "nats", "test_nll", True, 4, False),
            Metric("ece", "expected calibration error", "points", "test_ece", True, 2, False),
        )
    }
)
"""By name. Rows and records call the negative log-likelihood ``test_loss``: the mean over test examples, in nats."""
