"""What a user sees while a study runs: a live table on a terminal, plain lines elsewhere."""

import contextlib
import threading
import time
from collections.abc import Iterator

from rich.console import Console
from rich.live import Live
from rich.table import Table
from rich.text import Text

from ctkd_study.analysis import Decisions
from ctkd_study.launch import LaunchProgress
from ctkd_study.report.formatting import count, difference, duration
from ctkd_study.safe_text import visible

_PLAIN_SECONDS = 10.0
_NAMED = 3


@contextlib.contextmanager
def show_progress(progress: LaunchProgress, console: Console, price: float | None) -> Iterator[None]:
    """Show the progress while the block runs.

    Args:
        console: where; a terminal gets a table that is redrawn twice a second, anything else a line every ten seconds.
        price: money per device-hour, if the study names one.
    """
    if console.is_terminal:
        with Live(get_renderable=lambda: table(progress, price), console=console, refresh_per_second=2):
            yield
        return
    stop = threading.Event()

    def print_lines() -> None:
        while not stop.wait(_PLAIN_SECONDS):
            console.print(Text(line(progress, price)), soft_wrap=True)

    thread = threading.Thread(target=print_lines, name="progress", daemon=True)
    thread.start()
    try:
        yield
    finally:
        stop.set()
        thread.join()
        console.print(Text(line(progress, price)), soft_wrap=True)


def table(progress: LaunchProgress, price: float | None) -> Table:
    """A table of trials by arm and state, with time and cost so far below."""
    text = "\n".join([visible(_status(progress, price)), *_troubles(progress)])
    view = Table(title=None, caption=Text(text, style="table.caption"), caption_justify="left")
    view.add_column("arm")
    for name in ("waiting", "running", "finished", "failed"):
        view.add_column(name, justify="right")
    arms = progress.arms()
    stops = any(state.stopped for state in arms.values())
    if stops:
        view.add_column("stopped", justify="right")
    looks = _looks(progress.decisions)
    if progress.decisions is not None:
        rule = progress.decisions.rule
        view.add_column(Text(visible(f"minus {rule.baseline}, margin {rule.margin:g}")))
    for arm, state in arms.items():
        failed = Text.assemble((str(state.failed), "red" if state.failed else ""))
        counts = (str(state.waiting), str(state.running), str(state.finished))
        others = [*([str(state.stopped)] if stops else []), *([looks.get(arm, "")] if progress.decisions else [])]
        view.add_row(Text(visible(arm)), *counts, failed, *others)
    return view


def _looks(decisions: Decisions | None) -> dict[str, str]:
    """What the last look saw of each confirmed arm, or when the first look is."""
    if decisions is None:
        return {}
    found = dict.fromkeys(decisions.by_arm, f"first look at {count(decisions.rule.looks[0], 'seed')}")
    for arm, decision in decisions.by_arm.items():
        if not decision.looks:
            continue
        look = decision.looks[-1]
        state = look.verdict.replace("_", " ") if decision.state == "decided" else decision.state
        moved = difference(look.difference, look.low, look.high, decisions.rule.metric.digits)
        found[arm] = f"{moved}, {count(look.seeds, 'seed')}: {state}"
    return found


def line(progress: LaunchProgress, price: float | None) -> str:
    """What the table says, in one line."""
    arms = progress.arms()
    ended = {arm: state.finished + state.stopped for arm, state in arms.items()}
    counts = [f"{arm} {ended[arm]}/{s.waiting + s.running + ended[arm] + s.failed}" for arm, s in arms.items()]
    failed = sum(state.failed for state in arms.values())
    text = f"finished: {', '.join(counts)}; failed: {failed}; {_status(progress, price)}"
    if looks := _looks(progress.decisions):
        text += f"; {'; '.join(f'{arm} {said}' for arm, said in looks.items())}"
    return "\n".join([visible(text), *_troubles(progress)])


def _troubles(progress: LaunchProgress) -> list[str]:
    """What is wrong with which trial, in a few lines."""
    found = [f"  {visible(' '.join(f'{trial_id}: {text}'.split()))}" for trial_id, text in progress.troubles().items()]
    return found[:_NAMED] + ([f"  and {len(found) - _NAMED} more"] if len(found) > _NAMED else [])


def _status(progress: LaunchProgress, price: float | None) -> str:
    left = progress.seconds_left()
    parts = [f"{duration(time.monotonic() - progress.began)} so far"]
    if left is not None:
        parts.append(f"about {duration(left)} left")
    parts.append(f"{progress.device_seconds:,.0f} device-seconds")
    if price is not None:
        parts.append(f"cost {progress.device_seconds / 3600 * price:,.2f}")
    return "; ".join([*parts, *([progress.note] if progress.note else [])])
