"""What a strategy costs compared with the baseline, paired by seed."""

import dataclasses
import math
from collections.abc import Mapping

from ctkd_study.analysis import inference
from ctkd_study.analysis.intervals import replicates
from ctkd_study.analysis.strategies import Cost, Strategy
from ctkd_study.spec import Vary


@dataclasses.dataclass(frozen=True)
class Ratio:
    """A cost divided by the baseline's: the geometric mean over the seeds that both have completed."""

    ratio: float
    low: float | None
    """As ``high``: end of the two-sided 95 % t interval of the mean log-ratio; None below three independent values."""
    high: float | None


@dataclasses.dataclass(frozen=True)
class CostRatio:
    """The ratio of each kind of cost; None where a cost is 0."""

    tflop: Ratio | None = None
    device_seconds: Ratio | None = None


def cost_ratio(strategy: Strategy, baseline: Strategy, vary: Vary) -> CostRatio | None:
    """Return what a strategy costs compared with the baseline; None where no seed is complete in both.

    The interval is about other runs under the same load: trials that run beside others are slower, and which these are
    may differ systematically between strategies. Arithmetic does not have that error.

    Args:
        strategy, baseline: with the same seeds.
        vary: in which groups of seeds teacher and split are others.
    """
    theirs = {each.seed: each.cost for each in baseline.complete}
    pairs = {each.seed: (each.cost, theirs[each.seed]) for each in strategy.complete if each.seed in theirs}
    if not pairs:
        return None
    return CostRatio(_ratio(pairs, "tflop", vary), _ratio(pairs, "device_seconds", vary))


def _ratio(pairs: Mapping[int, tuple[Cost, Cost]], kind: str, vary: Vary) -> Ratio | None:
    costs = {seed: [getattr(cost, kind) for cost in both] for seed, both in pairs.items()}
    if any(min(both) <= 0 for both in costs.values()):
        return None
    logs = replicates({seed: math.log(ours / theirs) for seed, (ours, theirs) in costs.items()}, vary)
    mean, low, high = inference.mean_interval(logs) or (math.fsum(logs) / len(logs), None, None)
    ends = (None if end is None else math.exp(end) for end in (low, high))
    return Ratio(math.exp(mean), *ends)
