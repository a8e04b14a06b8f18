"""A comparison, a plan and the outcome of a launch, as the command line prints them."""

from rich.console import Console
from rich.table import Table
from rich.text import Text

from ctkd_study.analysis import Across, Comparison
from ctkd_study.launch import Outcome
from ctkd_study.plan import Estimate, Plan, Range
from ctkd_study.report import across, bill, columns
from ctkd_study.report.formatting import duration
from ctkd_study.report.literature import published_notes
from ctkd_study.report.notes import failures, notes
from ctkd_study.report.sentence import sentence
from ctkd_study.safe_text import visible

_NAMED_FAILURES = 10
_TEXT_WIDTH = 13
"""Names fold at this width where the terminal is narrow, so that the numbers of a table fit into 80 columns."""


def show(comparison: Comparison, console: Console) -> None:
    """Print the tables of strategies, the remarks, the sentence, and the notes."""
    if comparison.question.text:
        _print(console, comparison.question.text)
    for part in ("accuracy", "cost"):
        console.print()
        console.print(_table(columns.table(comparison, part, "narrow")))
    console.print()
    for remark in comparison.remarks:
        _print(console, f"warning: {_one_line(remark.text)}")
    _print(console, sentence(comparison))
    said = (*bill.lines(comparison), *failures(comparison), *notes(comparison), *published_notes(comparison))
    for note in said:
        _print(console, f"- {_one_line(note)}")


def show_across(found: Across, console: Console) -> None:
    """Print several studies side by side: the table, the sentence, and the notes."""
    if found.strategies:
        console.print(_table(across.table(found, "narrow")))
    _print(console, f"\n{across.sentence(found)}")
    for note in across.notes(found):
        _print(console, f"- {_one_line(note)}")


def _table(content: columns.Table) -> Table:
    table = Table(box=None, pad_edge=False, header_style="bold")
    for title, is_text in zip(content.titles, content.is_text, strict=True):
        if is_text:
            table.add_column(_text(title), overflow="fold", min_width=_TEXT_WIDTH)
        else:
            table.add_column(_text(title), justify="right", no_wrap=True)
    for row in content.rows:
        table.add_row(*map(_text, row))
    return table


def show_outcome(outcome: Outcome, console: Console) -> None:
    """Print what a launch did."""
    ended = outcome.trials - len(outcome.unfinished)
    _print(console, f"{ended} of {outcome.trials} trials have ended; {outcome.trained} ran in this launch.")
    for trial_id, damaged in outcome.damaged.items():
        for text in damaged:
            _print(console, f"{_one_line(f'{trial_id}: {text}')}; it was passed over.")
    if outcome.trained and outcome.busy_seconds:
        share = outcome.busy_seconds / (outcome.wall_seconds * outcome.cores)
        _print(
            console,
            f"{duration(outcome.wall_seconds)} on {outcome.cores:g} cores, teacher and start-up included; the trials' "
            f"training and evaluation fills {100 * share:.0f} % of that.",
        )
    for trial_id, reason in list(outcome.failed.items())[:_NAMED_FAILURES]:
        _print(console, f"failed: {_one_line(f'{trial_id}: {reason}')}")
    if len(outcome.failed) > _NAMED_FAILURES:
        _print(console, f"failed: {len(outcome.failed) - _NAMED_FAILURES} more")
    interrupted = {trial_id: reason for trial_id, reason in outcome.unfinished.items() if reason}
    for trial_id, reason in list(interrupted.items())[:_NAMED_FAILURES]:
        _print(console, f"unfinished: {_one_line(f'{trial_id}: {reason}')}")
    if len(interrupted) > _NAMED_FAILURES:
        _print(console, f"unfinished: {len(interrupted) - _NAMED_FAILURES} more")
    if left := len(outcome.unfinished):
        stopped = "Stopped. " if outcome.stopped is not None else ""
        counted = "1 trial is" if left == 1 else f"{left} trials are"
        _print(console, f"{stopped}{counted} unfinished. The same command goes on from here.")


def show_plan(plan: Plan, estimate: Estimate, warnings: list[str], console: Console) -> None:
    """Print what a study consists of, and what it will take."""
    priced = plan.spec.price_per_device_hour is not None
    titles = ["arm", "settings", "trials", "TFLOP", "device-seconds", *[plan.spec.currency] * priced]
    rows = []
    for arm in estimate.arms:
        cells = [arm.arm, str(arm.settings), str(arm.trials), f"{arm.tflop:.3g}", _span(arm.device_seconds)]
        rows.append((*cells, *([] if arm.money is None else [f"{arm.money:.3g}"])))
    is_text = (True, *[False] * (len(titles) - 1))
    console.print(_table(columns.Table("", tuple(titles), is_text, tuple(rows))))
    for fault in estimate.faults:
        _print(console, f"not estimated: {fault}")
    wall, early = estimate.wall_seconds, estimate.teacher_seconds
    teacher = f", the teacher's {duration(early.middle)} included" if early is not None else ""
    most = "at most " if plan.spec.until is not None else ""
    _print(
        console,
        f"{most}{plan.size} trials, {estimate.slots} at once: about {duration(wall.middle)} "
        f"({duration(wall.low)} to {duration(wall.high)}){teacher}, and some 15 s to start.",
    )
    if estimate.bank is not None:
        _print(console, str(estimate.bank))
    if estimate.advice is not None:
        _print(console, str(estimate.advice))
    for basis in sorted({arm.basis for arm in estimate.arms}):
        _print(console, f"The span is that of {basis}; a machine with other work is slower.")
    for warning in warnings:
        _print(console, f"warning: {_one_line(warning)}")


def _span(span: Range) -> str:
    return f"{span.middle:.3g} ({span.low:.3g} to {span.high:.3g})"


def _print(console: Console, text: str) -> None:
    console.print(_text(text), soft_wrap=not console.is_terminal)


def _text(text: str) -> Text:
    """Text that rich prints as it is: as a string, it could hold markup, names of emojis, or terminal codes."""
    return Text(visible(text))


def _one_line(text: str) -> str:
    """A text from a record, which must not look like several lines of ours."""
    return " ".join(text.split())
