"""What the command line prints."""

from collections import Counter
from collections.abc import Iterable

from rich.console import Console
from rich.markup import escape
from rich.table import Table

from ctkd_study.display import duration
from ctkd_study.launch import Outcome
from ctkd_study.plan import Estimate, Plan, Range
from ctkd_study.strategies import Replicate
from ctkd_study.verdict import Comparison, Mean, Pair, Summary

_NAMED_FAILURES = 10


def show(comparison: Comparison, console: Console) -> None:
    """Prints the tables of strategies, the sentence, and what must not be overlooked."""
    if comparison.question.text:
        _print(console, comparison.question.text)
    for table in (accuracy_table(comparison), cost_table(comparison)):
        console.print()
        console.print(table)
    _print(console, f"\n{comparison.sentence}")
    for note in notes(comparison):
        _print(console, f"- {note}")


def accuracy_table(comparison: Comparison) -> Table:
    """One line per strategy: accuracy on the test set, difference to the baseline, verdict."""
    table = _table("strategy", "validation, %", "test, %", f"minus {comparison.baseline}", "verdict")
    pairs = {pair.a: pair for pair in comparison.pairs}
    for summary in comparison.summaries:
        pair = pairs.get(summary.strategy.name)
        table.add_row(
            _name(summary),
            plus_minus(summary.val_top1),
            plus_minus(summary.test_top1),
            "" if pair is None else difference(pair),
            "" if pair is None else pair.verdict.replace("_", " "),
        )
    return table


def cost_table(comparison: Comparison) -> Table:
    """One line per strategy: what it takes, once, and what it kept."""
    question = comparison.question
    headings = ["strategy", "trials", "device-s", "ratio", "TFLOP", "ratio"]
    if question.price_per_device_hour is not None:
        headings.append(question.currency)
    table = _table(*headings)
    table.add_column("kept, by seed")
    for summary in comparison.summaries:
        cost, ratio = summary.cost, summary.cost_ratio
        cells = ["-"] * 4
        if cost is not None:
            cells[0], cells[2] = f"{cost.device_seconds:.3g}", f"{cost.tflop:.3g}"
        if ratio is not None:
            cells[1], cells[3] = f"{ratio.device_seconds:.2f}", f"{ratio.tflop:.2f}"
        if question.price_per_device_hour is not None:
            cells.append("-" if summary.money is None else f"{summary.money:.3g}")
        table.add_row(_name(summary), str(summary.strategy.trials), *cells, escape(kept(summary.strategy.replicates)))
    return table


def _table(first: str, *others: str) -> Table:
    table = Table(box=None, pad_edge=False, header_style="bold")
    table.add_column(first, no_wrap=True)
    for heading in others:
        table.add_column(escape(heading), justify="right", no_wrap=True)
    return table


def _name(summary: Summary) -> str:
    plan = summary.strategy.plan
    return escape(plan.name) + "*" * plan.overrides_student + "†" * plan.overrides_epochs


def plus_minus(mean: Mean) -> str:
    """A mean with half its interval: ``96.43 ± 0.52``."""
    if mean.mean is None:
        return "-"
    return f"{mean.mean:.2f}" + ("" if mean.high is None else f" ± {mean.high - mean.mean:.2f}")


def difference(pair: Pair) -> str:
    """A difference with its interval: ``-0.73 (-1.33 to -0.13)``."""
    if pair.difference is None:
        return "-"
    if pair.low is None or pair.high is None:
        return f"{pair.difference:+.2f}"
    return f"{pair.difference:+.2f} ({pair.low:+.2f} to {pair.high:+.2f})"


def kept(replicates: Iterable[Replicate]) -> str:
    """Which settings were selected, the most frequent first: ``T=4 x5, T=8 x3``."""
    counts = Counter(replicate.selected for replicate in replicates if replicate.selected is not None)
    return ", ".join(f"{label} x{count}" for label, count in counts.most_common()) or "-"


def notes(comparison: Comparison) -> list[str]:
    """What must not be overlooked when the table is read."""
    question, found = comparison.question, []
    for summary in comparison.summaries:
        strategy = summary.strategy
        if strategy.missing:
            found.append(f"{strategy.name}: {strategy.missing} of {strategy.trials} trials have not ended.")
        if strategy.failed:
            named = "; ".join(f"{result.id} ({result.reason})" for result in strategy.failed[:_NAMED_FAILURES])
            more = len(strategy.failed) - _NAMED_FAILURES
            found.append(
                f"{strategy.name}: {len(strategy.failed)} trials failed, and their cost counts: {named}"
                + (f"; and {more} more." if more > 0 else ".")
            )
        if strategy.dropped:
            seeds = ", ".join(map(str, strategy.dropped))
            found.append(f"{strategy.name}: nothing was left to select at seeds {seeds}; they are left out.")
        if strategy.wasted_device_seconds:
            wasted = f"{strategy.wasted_device_seconds:.3g} device-seconds"
            found.append(f"{strategy.name}: {wasted} were lost to faults; they are not in the cost.")
        if strategy.plan.overrides_student:
            found.append(f"* {strategy.name} trains another student than the study's.")
        if strategy.plan.overrides_epochs:
            found.append(f"† {strategy.name} trains for another number of epochs than the study's.")
    teacher = question.teacher
    if teacher is not None and teacher.may_have_seen_validation:
        found.append("The teacher comes from a file: it may have seen the validation split.")
    if teacher is not None and teacher.cost is not None and not question.charges_teacher:
        found.append(
            f"The teacher's own {teacher.cost.device_seconds:.3g} device-seconds, its work in the trials, and evaluation "
            "are not in the cost (--charge-teacher each adds them to every strategy)."
        )
    if comparison.looks > 1:
        found.append(
            f"This is look {comparison.looks} at a growing number of seeds; each raises the error of 2.5 % "
            "(two looks, at 5 and 10 seeds, make it 4.4 %)."
        )
    return found


def show_outcome(outcome: Outcome, console: Console) -> None:
    """Prints what a launch did."""
    settled = len(outcome.plan.trials) - len(outcome.unfinished)
    _print(console, f"{settled} of {len(outcome.plan.trials)} trials have ended; {outcome.trained} ran in this launch.")
    for trial_id, damaged in outcome.damaged.items():
        for text in damaged:
            _print(console, f"{trial_id}: {text}; it was passed over.")
    if outcome.trained and outcome.busy_seconds:
        share = outcome.busy_seconds / (outcome.wall_seconds * outcome.cores)
        _print(
            console,
            f"{duration(outcome.wall_seconds)} on {outcome.cores:g} cores, teacher and start-up included; the trials' "
            f"training and evaluation fills {100 * share:.0f} % of that.",
        )
    for trial_id, reason in list(outcome.failed.items())[:_NAMED_FAILURES]:
        _print(console, f"failed: {trial_id}: {reason}")
    if len(outcome.failed) > _NAMED_FAILURES:
        _print(console, f"failed: {len(outcome.failed) - _NAMED_FAILURES} more")


def show_plan(plan: Plan, estimate: Estimate, warnings: list[str], console: Console) -> None:
    """Prints what a study consists of, and what it will take."""
    priced = [plan.spec.currency] if plan.spec.price_per_device_hour is not None else []
    table = _table("arm", "settings", "trials", "TFLOP", "device-seconds", *priced)
    for arm in estimate.arms:
        money = [f"{arm.money:.3g}"] if arm.money is not None else []
        cells = [arm.arm, str(arm.settings), str(arm.trials), f"{arm.tflop:.3g}", _span(arm.device_seconds), *money]
        table.add_row(*cells)
    console.print(table)
    teacher = ""
    if estimate.teacher_seconds is not None:
        teacher = f", the teacher's {duration(estimate.teacher_seconds.middle)} included"
    wall = estimate.wall_seconds
    _print(
        console,
        f"{len(plan.trials)} trials, {estimate.slots} at once: about {duration(wall.middle)} "
        f"({duration(wall.low)} to {duration(wall.high)}){teacher}, and some 15 s to start.",
    )
    for basis in sorted({arm.basis for arm in estimate.arms}):
        _print(console, f"The span is that of {basis}; a machine with other work is slower.")
    for warning in warnings:
        _print(console, f"warning: {warning}")


def _span(span: Range) -> str:
    return f"{span.middle:.3g} ({span.low:.3g} to {span.high:.3g})"


def _print(console: Console, text: str) -> None:
    console.print(text, markup=False, highlight=False, soft_wrap=not console.is_terminal)
