"""What a user sees while a study runs."""

import io
import time
from collections.abc import Callable
from types import SimpleNamespace
from typing import Any

import pytest
from rich.console import Console

from ctkd_study.analysis.sequential import Rule, follow
from ctkd_study.launch.progress import ArmProgress
from ctkd_study.report import live_table
from ctkd_study.report.live_table import show_progress
from tests.support.tabulated import arm, trial


def progress(left: float | None = 600.0, note: str = "", troubles: dict[str, str] | None = None) -> Any:
    """Two arms after a minute and a half, 1,800 device-seconds."""
    arms = {"grid": ArmProgress(waiting=4, running=3, finished=2, failed=1), "global": ArmProgress(finished=5)}
    told = {"arms": lambda: arms, "seconds_left": lambda: left, "troubles": lambda: troubles or {}}
    return SimpleNamespace(**told, began=910.0, device_seconds=1800.0, note=note, decisions=None)


@pytest.fixture(autouse=True)
def clock(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(time, "monotonic", lambda: 1000.0)


def text_of(show: Callable[[Console], None], **options: Any) -> str:
    stream = io.StringIO()
    show(Console(file=stream, **options))
    return stream.getvalue()


def test_a_line() -> None:
    counts = "finished: grid 2/10, global 5/5; failed: 1; 1m30s so far"
    assert live_table.line(progress(), 2.0) == f"{counts}; about 10m00s left; 1,800 device-seconds; cost 1.00"
    waiting = live_table.line(progress(None, "the teacher is being made ready"), None)
    assert waiting == f"{counts}; 1,800 device-seconds; the teacher is being made ready"


def test_a_table() -> None:
    text = text_of(lambda console: console.print(live_table.table(progress(), 2.0)), width=100)
    assert [line.rstrip() for line in text.splitlines()] == [
        "┏━━━━━━━━┳━━━━━━━━━┳━━━━━━━━━┳━━━━━━━━━━┳━━━━━━━━┓",
        "┃ arm    ┃ waiting ┃ running ┃ finished ┃ failed ┃",
        "┡━━━━━━━━╇━━━━━━━━━╇━━━━━━━━━╇━━━━━━━━━━╇━━━━━━━━┩",
        "│ grid   │       4 │       3 │        2 │      1 │",
        "│ global │       0 │       0 │        5 │      0 │",
        "└────────┴─────────┴─────────┴──────────┴────────┘",
        "1m30s so far; about 10m00s left; 1,800",
        "device-seconds; cost 1.00",
    ]


def test_what_is_wrong_is_told_below_three_at_most() -> None:
    troubles = {f"grid-s{seed}": f"OSError: no space\nleft {seed}" for seed in range(4)}
    plain = live_table.line(progress(), None)
    assert live_table.line(progress(troubles=troubles), None).splitlines() == [
        plain,
        "  grid-s0: OSError: no space left 0",
        "  grid-s1: OSError: no space left 1",
        "  grid-s2: OSError: no space left 2",
        "  and 1 more",
    ]
    del troubles["grid-s3"]
    shown = text_of(lambda console: console.print(live_table.table(progress(troubles=troubles), None)), width=200)
    assert "grid-s2: OSError: no space" in " ".join(shown.split())
    assert "more" not in shown


def test_failures_are_red() -> None:
    options: dict[str, Any] = {"width": 100, "force_terminal": True, "color_system": "standard"}
    text = text_of(lambda console: console.print(live_table.table(progress(), None)), **options)
    assert text.count("\x1b[31m1\x1b[0m") == 1


def test_what_is_piped_gets_a_line_at_intervals_and_one_at_the_end(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(live_table, "_PLAIN_SECONDS", 0.01)
    line = live_table.line(progress(), None)

    def show(console: Console) -> None:
        with show_progress(progress(), console, None):
            pass
        assert console.file.getvalue() == f"{line}\n"  # type: ignore[attr-defined]
        with show_progress(progress(), console, None):
            time.sleep(0.1)

    lines = text_of(show, width=20).splitlines()
    assert len(lines) > 3
    assert set(lines) == {line}


def test_a_terminal_gets_the_table() -> None:
    def show(console: Console) -> None:
        with show_progress(progress(), console, 2.0):
            pass

    text = text_of(show, width=100, force_terminal=True)
    assert "waiting" in text
    assert "cost 1.00" in text


def test_where_seeds_are_added_each_arm_s_interval_stands_beside_its_boundary() -> None:
    arms = (arm("grid", "T=1", fixed=True), arm("global"), arm("instance"))
    rule = Rule((3, 4), "grid", ("global", "instance"), margin=2.0)
    steady, wild = (0.1, 0.0, -0.1, 0.0), (4.0, -4.0, 1.0, 0.0)
    results = [
        trial(each.name, each.settings[0].key, seed, 90, 90 + values[seed])
        for each, values in zip(arms, ((0.0,) * 4, steady, wild), strict=True)
        for seed in range(3)
    ]
    told = progress()
    told.decisions = follow(rule, arms, range(4), [])
    first = "first look at 3 seeds"
    assert live_table.line(told, None).endswith(f"; global {first}; instance {first}")
    told.decisions = follow(rule, arms, range(4), results)
    look = told.decisions.by_arm["instance"].looks[0]
    assert " instance +0.33 (" in live_table.line(told, None)
    assert live_table.line(told, None).endswith(f"({look.low:+.2f} to {look.high:+.2f}), 3 seeds: futile")
    text = text_of(lambda console: console.print(live_table.table(told, 2.0)), width=120)
    assert "minus grid, margin 2" in text
    (row,) = (line for line in text.splitlines() if "global" in line)
    assert row.rstrip(" │").endswith(", 3 seeds: not worse")
