"""What the command line prints."""

from collections.abc import Sequence

from rich.console import Console
from rich.markup import escape
from rich.table import Table

from ctkd_study.analysis import Comparison
from ctkd_study.launch import Outcome
from ctkd_study.plan import Estimate, Plan, Range
from ctkd_study.records import History
from ctkd_study.report import formatting
from ctkd_study.report.literature import published_notes
from ctkd_study.report.live_table import duration

_NAMED_FAILURES = 10
_NAME_WIDTH = 13
"""At which names fold where the terminal is narrow; with it, the numbers of the table fit into 80 columns."""


def show(comparison: Comparison, console: Console, histories: Sequence[History] = ()) -> None:
    """Prints the tables of strategies, the sentence, and what must not be overlooked.

    Args:
        comparison: what was found.
        console: where.
        histories: of trials with a learned temperature, to say where T sits at a bound.
    """
    if comparison.question.text:
        _print(console, comparison.question.text)
    for table in (accuracy_table(comparison), cost_table(comparison)):
        console.print()
        console.print(table)
    _print(console, f"\n{comparison.sentence}")
    for note in (*formatting.notes(comparison, histories), *published_notes(comparison)):
        _print(console, f"- {note}")


def accuracy_table(comparison: Comparison) -> Table:
    """One line per strategy: accuracy with its 95 % interval, difference to the baseline, verdict."""
    table = _table("strategy", "validation, %", "test, %", f"minus {comparison.baseline}", "verdict")
    pairs = {pair.a: pair for pair in comparison.pairs}
    for summary in comparison.summaries:
        pair = pairs.get(summary.strategy.name)
        cells = [formatting.plus_minus(summary.val_top1), formatting.plus_minus(summary.test_top1)]
        cells += ["", ""] if pair is None else [formatting.difference(pair), formatting.word(pair)]
        table.add_row(escape(formatting.name(summary, comparison.question.teacher)), *cells)
    return table


def cost_table(comparison: Comparison) -> Table:
    """One line per strategy: what it takes, once, and what it kept."""
    question = comparison.question
    priced = question.price_per_device_hour is not None
    money = [question.currency] if priced else []
    table = _table("strategy", "trials", "device-s", "ratio", "TFLOP", "ratio", *money)
    table.add_column("kept, by seed")
    for summary in comparison.summaries:
        strategy = summary.strategy
        trials = f"{strategy.trials}, {len(strategy.failed)} failed" if strategy.failed else str(strategy.trials)
        cells = (trials, *formatting.costs(summary, priced), escape(formatting.kept(strategy)))
        table.add_row(escape(formatting.name(summary, comparison.question.teacher)), *cells)
    return table


def _table(first: str, *others: str) -> Table:
    table = Table(box=None, pad_edge=False, header_style="bold")
    table.add_column(first, overflow="fold", min_width=_NAME_WIDTH)
    for heading in others:
        table.add_column(escape(heading), justify="right", no_wrap=True)
    return table


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
    if estimate.bank is not None:
        _print(console, str(estimate.bank))
    for basis in sorted({arm.basis for arm in estimate.arms}):
        _print(console, f"The span is that of {basis}; a machine with other work is slower.")
    for warning in warnings:
        _print(console, f"warning: {warning}")


def _span(span: Range) -> str:
    return f"{span.middle:.3g} ({span.low:.3g} to {span.high:.3g})"


def _print(console: Console, text: str) -> None:
    console.print(text, markup=False, highlight=False, soft_wrap=not console.is_terminal)
