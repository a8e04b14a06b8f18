"""Caveats: what must not be overlooked when the numbers are read, and the marks at names that point to them."""

from collections.abc import Iterator

from ctkd_study.analysis import FEWEST_SEEDS, Comparison, PairedDifference, Strategy, TeacherFacts
from ctkd_study.report.conditions import each_interval
from ctkd_study.report.formatting import count, number

_NAMED_FAILURES = 10


def marked_name(strategy: Strategy, teacher: TeacherFacts | None) -> str:
    """The arm's name with the marks that ``notes`` explains."""
    arm = strategy.arm
    leaky = arm.uses_teacher and teacher is not None and teacher.may_have_seen_validation
    return arm.name + "*" * arm.overrides_student + "†" * arm.overrides_epochs + "‡" * leaky


def failures(comparison: Comparison) -> list[str]:
    """Say which trials failed or are missing, and which work was lost, strategy by strategy."""
    return [text for summary in comparison.summaries for text in _failures(summary.strategy)]


def notes(comparison: Comparison) -> list[str]:
    """Return the other caveats of a comparison, strategy by strategy, then those of the study as a whole."""
    found: list[str] = []
    for summary in comparison.summaries:
        found += _strategy(summary.strategy)
    found += _other_seeds(comparison)
    found += _paid_twice(comparison)
    for pair in comparison.pairs:
        found += _equal_differences(pair)
    return [*found, *_study(comparison)]


def _failures(strategy: Strategy) -> Iterator[str]:
    if strategy.missing:
        seeds = ", ".join(str(replicate.seed) for replicate in strategy.replicates if not replicate.complete)
        yield (
            f"{strategy.name}: {strategy.missing} of {strategy.trials} trials have not ended; incomplete seeds "
            f"({seeds}) are left out."
        )
    if strategy.failed:
        named = "; ".join(f"{result.id} ({result.reason})" for result in strategy.failed[:_NAMED_FAILURES])
        more = len(strategy.failed) - _NAMED_FAILURES
        yield (
            f"{strategy.name}: {count(len(strategy.failed), 'trial')} failed, and the cost counts: {named}"
            + (f"; and {more} more." if more > 0 else ".")
        )
    if strategy.dropped:
        seeds = ", ".join(map(str, strategy.dropped))
        yield f"{strategy.name}: nothing was left to select at seeds {seeds}; they are left out."
    if strategy.wasted_device_seconds:
        wasted = number(strategy.wasted_device_seconds)
        yield f"{strategy.name}: {wasted} device-seconds were lost to faults (wasted); they are not in the cost."


def _strategy(strategy: Strategy) -> Iterator[str]:
    if strategy.stopped:
        yield (
            f"{strategy.name}: {count(strategy.stopped, 'trial')} of {strategy.trials} stopped early, by comparison "
            "with those that reported before; in another order, others may be stopped."
        )
    for text, concerned in strategy.remarks.items():
        yield f"{strategy.name}, {count(concerned, 'trial')}: {text}."
    if strategy.arm.overrides_student:
        yield f"* {strategy.name} trains another student than the study's."
    if strategy.arm.overrides_epochs:
        yield f"† {strategy.name} trains for another number of epochs than the study's."


def _other_seeds(comparison: Comparison) -> Iterator[str]:
    """Strategies that stand in one table, but for other seeds."""
    counted = {
        each.strategy.name: [replicate.seed for replicate in each.strategy.replicates if replicate.selected is not None]
        for each in comparison.summaries
    }
    if len({tuple(seeds) for seeds in counted.values() if seeds}) > 1:
        listed = ", ".join(f"{name} {len(seeds)}" for name, seeds in counted.items())
        yield (
            f"Means and costs are over each strategy's own seeds ({listed}), so they do not compare; differences, and "
            f"ratios to {comparison.baseline}, are over the seeds that both have."
        )


def _paid_twice(comparison: Comparison) -> Iterator[str]:
    """Strategies that try the baseline's own setting among others."""
    keys = {
        each.strategy.name: {setting.key for setting in each.strategy.arm.settings} for each in comparison.summaries
    }
    for summary in comparison.summaries:
        name, baseline = summary.strategy.name, comparison.baseline
        shared = [s.label for s in summary.strategy.arm.settings if s.key in keys[baseline]]
        if name != baseline and shared:
            yield (
                f"{name} and {baseline} share settings ({', '.join(shared)}): each runs and pays them, and a seed at "
                "which both keep the same one adds a difference of exactly 0."
            )


def _equal_differences(pair: PairedDifference) -> Iterator[str]:
    values = [round(value, 9) for value in pair.per_seed if value is not None]
    if len(values) >= FEWEST_SEEDS and len(set(values)) == 1:
        yield (
            f"{pair.a}: its differences to {pair.b} are the same at every seed, which seeds can't show to be exact; "
            "the interval is as wide as one test example's rounding makes it."
        )


def _study(comparison: Comparison) -> Iterator[str]:
    question, teacher = comparison.question, comparison.question.teacher
    if teacher is not None and teacher.may_have_seen_validation:
        yield "‡ The teacher comes from a file: it may have seen the validation split."
    if teacher is not None and teacher.may_have_seen_validation and question.charges_teacher:
        yield "The training of the teacher, which comes from a file, is not in the cost: what it took is not known."
    read = any(each.strategy.arm.uses_teacher and each.cost is not None for each in comparison.summaries)
    if teacher is not None and teacher.cost is None and not teacher.may_have_seen_validation and read:
        yield "The record of the teacher's training is lost or damaged: what it took is not known."
    if teacher is not None and teacher.cost is not None and not question.charges_teacher:
        yield (
            f"The teacher's own {number(teacher.cost.device_seconds)} device-seconds, its work in the trials, and "
            "evaluation are not in the cost (--charge-teacher each adds what one use of a strategy pays of them)."
        )
    if every := each_interval(comparison):
        yield f"Intervals {every}. Each verdict is read off the wider one."
    if ends := [(pair.a, pair.anytime) for pair in comparison.pairs if pair.anytime is not None]:
        listed = ", ".join(f"{name} {low:+.2f} to {high:+.2f}" for name, (low, high) in ends)
        yield f"However often one looks, each of these 95 % intervals holds: {listed}."
    if chosen := ", ".join(comparison.set_after_looking):
        yield (
            f"{chosen[0].upper()}{chosen[1:]} set after looking: chosen with knowledge of the result, the error of "
            "2.5 % no longer holds."
        )
    if comparison.looks > 1 and comparison.rule is None:
        yield (
            f"This is look {comparison.looks} at a growing number of seeds; each raises the error of 2.5 % "
            "(two looks, at 5 and 10 seeds, make it 4.4 %)."
        )
