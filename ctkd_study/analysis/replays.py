"""What other searches over a grid's settings would have picked and paid, replayed from its finished trials.

Nothing is trained, and nothing is extrapolated: every replay is about the settings of the grid. A replay takes the
seeds at which all of the grid's trials have ended.
"""

import dataclasses
import math
import statistics
from collections.abc import Mapping, Sequence
from typing import Literal

from ctkd_study.analysis import early_stopping, inference
from ctkd_study.analysis.early_stopping import Curve, Outcome
from ctkd_study.analysis.intervals import replicates
from ctkd_study.analysis.metrics import TOP1
from ctkd_study.analysis.strategies import Cost, Strategy, rank, select
from ctkd_study.analysis.verdict import Comparison, Mean, mean_over_seeds
from ctkd_study.records import TrialResult
from ctkd_study.spec import Arm
from trainables.record import Row

Kind = Literal["random", "declared", "transferred", "halving", "asha"]
FACTORS = (2, 3, 4)
"""By which successive halving and ASHA divide the number of settings."""
WORKERS = 4
"""Trials that ASHA runs at once."""
MOST_LISTED = 20
"""Of a larger grid, not every setting and size has a replay, and no training is stopped early, which takes minutes."""


@dataclasses.dataclass(frozen=True)
class ReplayDifference:
    """A replay minus a strategy that was run, paired by seed; percent points."""

    b: str
    difference: float | None
    low: float | None
    high: float | None
    """Two-sided 95 % t interval over seeds; None below three."""


@dataclasses.dataclass(frozen=True)
class Replay:
    """A strategy that nobody ran."""

    arm: str
    """The grid whose trials it takes."""
    kind: Kind
    name: str
    test_top1: Mean
    cost: Cost
    """The mean over seeds."""
    differences: tuple[ReplayDifference, ...]
    """To each strategy that was run, in the order of the study."""


def replays(
    comparison: Comparison, results: Sequence[TrialResult], rows: Mapping[str, Sequence[Row]] | None = None
) -> list[Replay]:
    """Return the replays of every grid in a comparison.

    There are none in the paper's protocol, which selects on test; none where strategies are charged for the teacher,
    whose work a replay cannot divide; and none by another metric than test accuracy, which rows lack.

    Args:
        comparison: of the study.
        results: of the trials that have a record, in any order.
        rows: the epochs of the trials of each arm that ``stops_early``, by trial id; without them, nothing is stopped.
    """
    question = comparison.question
    if question.protocol != "validation" or question.charges_teacher or question.metric is not TOP1:
        return []
    known = {result.id: result for result in results}
    found = []
    for summary in comparison.summaries:
        arm = summary.strategy.arm
        if len(arm.settings) < 2:
            continue
        by_seed: dict[int, list[TrialResult]] = {}
        for replicate in summary.strategy.complete:
            ended = [known[setting.trial(replicate.seed).id] for setting in arm.settings]
            # What a trial that a scheduler stopped would have reached is not known.
            if all(result.status != "stopped" for result in ended):
                by_seed[replicate.seed] = ended
        if by_seed:
            found += _of_grid(comparison, summary.strategy, by_seed, rows or {})
    return found


def stops_early(arm: Arm) -> bool:
    """Whether replays of an arm need every epoch of its trials."""
    return 1 < len(arm.settings) <= MOST_LISTED


def random_search(results: Sequence[TrialResult], sizes: Sequence[int]) -> list[Outcome]:
    """Return what the best of so many settings, drawn without replacement, reaches at one seed, for each size.

    This is the exact mean over all subsets: the r-th best of K settings is the best of C(K - r, size - 1) of the
    C(K, size) subsets. (The estimator of Dodge et al., EMNLP 2019, draws with replacement, and so does not end at the
    grid's own point.) A setting that failed is worse than all others. Subsets of failed ones alone have no result, and
    are left out.

    Args:
        results: of all settings, which have ended.
        sizes: each from 1 to their number.
    """
    finished = [result for result in results if result.status == "finished"]
    ordered = sorted(finished, key=lambda result: rank(result, "validation"), reverse=True)
    count = len(results)
    tests = [_test(result) for result in ordered]
    paid = sum((Cost(result.device_seconds, result.tflop) for result in results), Cost())
    found = []
    for size in sizes:
        weights = [math.comb(count - place, size - 1) for place in range(1, len(ordered) + 1)]
        total = sum(weights)
        test = sum(weight * value for weight, value in zip(weights, tests, strict=True)) / total if total else None
        found.append(Outcome(test, paid / (count / size)))
    return found


def sizes_of(count: int) -> list[int]:
    """Return how many of ``count`` settings random search is replayed with: each number, of many only some."""
    if count <= MOST_LISTED:
        return list(range(1, count + 1))
    return sorted({round(count ** (step / (MOST_LISTED - 1))) for step in range(MOST_LISTED)})


def declared(result: TrialResult) -> Outcome:
    """Return what a setting reaches that somebody named before seeing any result."""
    return Outcome(result.test_top1, Cost(result.device_seconds, result.tflop))


def transferred(by_seed: Mapping[int, Sequence[TrialResult]], seed: int) -> Outcome | None:
    """Return what the setting reaches that has the best mean validation accuracy at the other seeds.

    The tuning at the other seeds is free, as where somebody else has published it.

    Args:
        by_seed: results of all settings, in the same order at each seed.
        seed: at which the setting is run.

    Returns:
        None where there is no other seed, or no setting finished at all of them.
    """
    here = by_seed[seed]
    candidates = []
    for place, result in enumerate(here):
        others = [of_seed[place] for other, of_seed in by_seed.items() if other != seed]
        accuracies = [other.val_top1 for other in others if other.val_top1 is not None]
        losses = [other.val_loss for other in others if other.val_loss is not None]
        if others and len(accuracies) == len(losses) == len(others):
            mean = dataclasses.replace(result, val_top1=statistics.fmean(accuracies), val_loss=statistics.fmean(losses))
            candidates.append(mean)
    chosen = select(candidates, "validation")
    return None if chosen is None else declared(chosen)


def _of_grid(
    comparison: Comparison,
    strategy: Strategy,
    by_seed: Mapping[int, Sequence[TrialResult]],
    rows: Mapping[str, Sequence[Row]],
) -> list[Replay]:
    count, labels = len(strategy.arm.settings), [setting.label for setting in strategy.arm.settings]
    sizes = sizes_of(count)
    searched = {seed: random_search(of, sizes) for seed, of in by_seed.items()}
    found: list[tuple[Kind, str, dict[int, Outcome | None]]] = [
        ("random", f"random {size} of {count}", {seed: outcomes[place] for seed, outcomes in searched.items()})
        for place, size in enumerate(sizes)
    ]
    for place, label in enumerate(labels if count <= MOST_LISTED else []):
        found.append(("declared", f"{label}, named beforehand", {s: declared(of[place]) for s, of in by_seed.items()}))
    if len(by_seed) > 1:
        found.append(("transferred", "best of the other seeds", {seed: transferred(by_seed, seed) for seed in by_seed}))
    curves = {
        seed: [Curve.of(result, rows[result.id]) for result in of]
        for seed, of in by_seed.items()
        if all(result.id in rows for result in of)
    }
    lengths = {len(curve.standing) for of in curves.values() for curve in of if curve.finished}
    epochs = max(lengths, default=0)
    # Where the settings are trained for different numbers of epochs, there are no common rungs.
    for factor in FACTORS if len(lengths) == 1 else ():
        for size in dict.fromkeys((count, (count + 1) // 2)):
            if size >= factor:
                plan = ", ".join(f"{n} x {epoch}" for n, epoch in early_stopping.rungs(size, factor, epochs))
                halved = {seed: early_stopping.halving(of, size, factor, epochs) for seed, of in curves.items()}
                found.append(("halving", f"halving by {factor}: {plan} epochs", dict(halved)))
        if count >= factor:
            at_once = {seed: early_stopping.asha(of, factor, epochs, WORKERS) for seed, of in curves.items()}
            found.append(("asha", f"ASHA by {factor}, {WORKERS} at once", dict(at_once)))
    return [_replay(comparison, strategy, kind, name, outcomes) for kind, name, outcomes in found]


def _replay(
    comparison: Comparison, strategy: Strategy, kind: Kind, name: str, outcomes: Mapping[int, Outcome | None]
) -> Replay:
    question = comparison.question
    tests = {seed: outcome.test_top1 for seed, outcome in outcomes.items() if outcome is not None}
    costs = [outcome.cost for outcome in outcomes.values() if outcome is not None]
    floor, differences = math.sqrt(2) * inference.rounding(question.test), []
    for other in comparison.summaries:
        by_seed = {
            theirs.seed: ours - theirs.test_top1
            for theirs in other.strategy.replicates
            if theirs.test_top1 is not None and (ours := tests.get(theirs.seed)) is not None
        }
        paired = replicates(by_seed, question.vary)
        _, low, high = inference.mean_interval(paired, floor) or (None, None, None)
        mean = statistics.fmean(paired) if paired else None
        differences.append(ReplayDifference(other.strategy.name, mean, low, high))
    return Replay(
        arm=strategy.name,
        kind=kind,
        name=name,
        test_top1=mean_over_seeds(
            {seed: tests.get(seed) for seed in question.seeds}, inference.rounding(question.test), question.vary
        ),
        cost=sum(costs, Cost()) / len(costs) if costs else Cost(),
        differences=tuple(differences),
    )


def _test(result: TrialResult) -> float:
    if result.test_top1 is None:
        raise ValueError(f"trial {result.id} is finished, but its record lacks its test accuracy")
    return result.test_top1
