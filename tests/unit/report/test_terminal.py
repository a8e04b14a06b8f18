"""What the command line prints of a comparison, a launch and a plan."""

import io
import re
from types import SimpleNamespace
from typing import Any

import pytest
from rich.console import Console

from ctkd_study.analysis.strategies import evaluate
from ctkd_study.analysis.verdict import Comparison, compare
from ctkd_study.plan import Range
from ctkd_study.plan.due import make_plan
from ctkd_study.plan.estimate import ArmEstimate, BankEstimate, Estimate
from ctkd_study.plan.groups import GroupAdvice
from ctkd_study.report import terminal
from ctkd_study.report.notes import failures, notes
from ctkd_study.report.sentence import sentence
from ctkd_study.spec import from_mapping
from ctkd_study.spec.published import Published
from tests.support.comparisons import CASES, HOSTILE, HOSTILE_LABEL
from tests.support.studies import plain
from tests.support.tabulated import arm, question, quickstart, strategies, trial

each_case = pytest.mark.parametrize("comparison", CASES.values(), ids=CASES)


def printed(comparison: Comparison, width: int = 80, **console: Any) -> str:
    stream = io.StringIO()
    terminal.show(comparison, Console(file=stream, width=width, **console))
    return stream.getvalue()


def test_the_tables_of_the_quickstart_fit_into_80_columns() -> None:
    lines = printed(CASES["quickstart"]).splitlines()
    tables = [line.rstrip() for line in lines[2 : lines.index(sentence(CASES["quickstart"])) - 1]]
    assert tables == [
        "strategy        selected on       test, %              minus grid  verdict",
        "grid           97.00 ± 0.12  96.12 ± 0.45",
        "global         97.00 ± 0.12  95.86 ± 0.22  -0.26 (-0.53 to +0.01)  not worse",
        "instance       97.00 ± 0.12  95.90 ± 1.79  -0.22 (-1.83 to +1.38)  undecided",
        "student_alone  91.00 ± 0.12  90.12 ± 0.45  -6.00 (-6.04 to -5.96)  worse",
        "                                                                   (exploratory)",
        "",
        "strategy       trials  TFLOP  ratio  device-s  ratio      USD  kept, by seed",
        "grid               40   10.0   1.00      50.0   1.00   0.0278  T=4 x3, T=8 x3,",
        "                                                               T=16 x2",
        "global              8   2.00   0.20      10.0   0.20  0.00556",
        "instance            8   2.00   0.20      10.0   0.20  0.00556",
        "student_alone       8   2.00   0.20      10.0   0.20  0.00556",
    ]


def test_small_costs_leave_room_for_the_names() -> None:
    results = [
        trial(name, name, seed, 90, 90 + 11 * seed, device_seconds=0.0123, tflop=0.000123)
        for name in ("grid", "student_alone")
        for seed in range(3)
    ]
    arms = [arm(name) for name in ("grid", "student_alone")]
    asked = question(seeds=(0, 1, 2), price_per_device_hour=2.0)
    text = printed(compare(asked, evaluate(arms, asked.seeds, results, "validation")))
    assert text.count("\nstudent_alone  ") == 2
    assert "0.000123" in text


@each_case
def test_what_is_piped_has_no_escape_codes_and_the_sentence_in_one_line(comparison: Comparison) -> None:
    text = printed(comparison)
    assert "\x1b" not in text
    assert sentence(comparison) in text.splitlines()


@each_case
def test_on_a_terminal_nothing_is_wider_than_it(comparison: Comparison) -> None:
    coloured = printed(comparison, force_terminal=True, color_system="standard")
    plain = re.sub(r"\x1b\[[0-9;]*m", "", coloured)
    assert coloured != plain
    assert max(len(line) for line in plain.splitlines()) <= 80


def test_long_names_are_folded_and_numbers_stay_whole() -> None:
    long = "a" * 40
    values = {"grid": [95.0, 96.0, 97.0], long: [95.1, 96.3, 97.2]}
    text = printed(compare(question(seeds=(0, 1, 2)), strategies(values)))
    assert "+0.20 (-0.05 to +0.45)" in text
    assert "…" not in text


def test_text_of_a_study_is_printed_as_it_is() -> None:
    lines = printed(CASES["battered"], width=120).splitlines()
    assert HOSTILE in lines
    assert any(line.rstrip().endswith(f"  {HOSTILE_LABEL} x12") for line in lines)


@each_case
def test_everything_is_there_in_order(comparison: Comparison) -> None:
    text = printed(comparison, 200)
    warned = [f"warning: {remark.text}" for remark in comparison.remarks]
    noted = [f"- {note}" for note in (*failures(comparison), *notes(comparison))]
    validation = "validation" if comparison.question.protocol == "paper" else "selected on"
    parts = [comparison.question.text, validation, "device-s", *warned, sentence(comparison), *noted]
    places = [text.index(part) for part in parts]
    assert places == sorted(places)


def test_published_numbers_come_last_and_an_empty_question_is_left_out() -> None:
    published = Published(source="Li et al., AAAI 2023", student=91.5)
    text = printed(quickstart(protocol="paper", published=published, text=""), 200)
    assert text.startswith("\nstrategy")
    assert text.endswith("- student_alone: published 91.50 / here 90.12 ± 0.45 (Li et al., AAAI 2023).\n")


# -- a launch --------------------------------------------------------------------------------------------------------


def outcome(**fields: Any) -> Any:
    """Three trials, all of which ended."""
    clean: dict[str, Any] = {"unfinished": {}, "trained": 3, "damaged": {}, "failed": {}, "stopped": None}
    times = {"busy_seconds": 90.0, "wall_seconds": 75.0, "cores": 2.0}
    return SimpleNamespace(trials=3, **{**clean, **times, **fields})


def said(found: Any) -> list[str]:
    stream = io.StringIO()
    terminal.show_outcome(found, Console(file=stream, width=40))
    return stream.getvalue().splitlines()


AGAIN = "The same command goes on from here."
BUSY = "1m15s on 2 cores, teacher and start-up included; the trials' training and evaluation fills 60 % of that."


def test_an_outcome_says_what_ran_and_how_busy_the_machine_was() -> None:
    assert said(outcome()) == ["3 of 3 trials have ended; 3 ran in this launch.", BUSY]
    assert said(outcome(unfinished={"c": ""}, trained=0, stopped=KeyboardInterrupt())) == [
        "2 of 3 trials have ended; 0 ran in this launch.",
        f"Stopped. 1 trial is unfinished. {AGAIN}",
    ]
    assert said(outcome(busy_seconds=0.0)) == ["3 of 3 trials have ended; 3 ran in this launch."]


def test_an_outcome_names_damaged_checkpoints_and_ten_failures() -> None:
    damaged = {"a": ("checkpoint 3 is damaged", "checkpoint 2 is damaged")}
    assert said(outcome(damaged=damaged, trained=0))[1:] == [
        "a: checkpoint 3 is damaged; it was passed over.",
        "a: checkpoint 2 is damaged; it was passed over.",
    ]
    failed = {f"trial-{number}": "why [red]not[/]" for number in range(12)}
    lines = said(outcome(failed=failed))[2:]
    assert lines == [*(f"failed: trial-{number}: why [red]not[/]" for number in range(10)), "failed: 2 more"]
    assert said(outcome(failed=dict(list(failed.items())[:10])))[-1] == "failed: trial-9: why [red]not[/]"


def test_an_outcome_names_what_keeps_trials_from_their_end() -> None:
    unfinished = {f"trial-{number}": "OSError: no space\nleft" for number in range(12)}
    assert said(outcome(unfinished={"c": "the worker died"}, trained=0)) == [
        "2 of 3 trials have ended; 0 ran in this launch.",
        "unfinished: c: the worker died",
        f"1 trial is unfinished. {AGAIN}",
    ]
    assert said(outcome(unfinished=unfinished))[2:] == [
        *(f"unfinished: trial-{number}: OSError: no space left" for number in range(10)),
        "unfinished: 2 more",
        f"12 trials are unfinished. {AGAIN}",
    ]


# -- a plan ----------------------------------------------------------------------------------------------------------

ARM = ArmEstimate(
    tflop=0.5,
    device_seconds=Range(100.0, 123.4, 150.0),
    wall_seconds=Range(60.0, 90.0, 120.0),
    basis="a few steps",
    arm="four",
    settings=1,
    trials=3,
    money=None,
)
OTHER = ArmEstimate(
    tflop=1.5,
    device_seconds=Range(1.0, 2.0, 3.0),
    wall_seconds=Range(0.0, 0.0, 0.0),
    basis="finished trials",
    arm="other",
    settings=2,
    trials=6,
    money=None,
)


def planned(estimate: Estimate, warnings: list[str], **changes: Any) -> list[str]:
    stream = io.StringIO()
    terminal.show_plan(make_plan(from_mapping(plain(**changes))), estimate, warnings, Console(file=stream, width=100))
    return [line.rstrip() for line in stream.getvalue().splitlines()]


def test_a_plan_shows_arms_time_and_where_the_numbers_come_from() -> None:
    assert planned(Estimate((ARM, OTHER), 2, None), []) == [
        "arm            settings  trials  TFLOP    device-seconds",
        "four                  1       3    0.5  123 (100 to 150)",
        "other                 2       6    1.5        2 (1 to 3)",
        "3 trials, 2 at once: about 45s (30s to 1m00s), and some 15 s to start.",
        "The span is that of a few steps; a machine with other work is slower.",
        "The span is that of finished trials; a machine with other work is slower.",
    ]


def test_a_plan_names_what_cannot_be_estimated() -> None:
    lines = planned(Estimate((ARM,), 2, None, faults=("arm hot: train_loss is nan",)), ["a warning"])
    assert lines[2] == "not estimated: arm hot: train_loss is nan"
    assert lines[3].startswith("3 trials, 2 at once: ")


def test_a_plan_with_a_price_a_teacher_a_bank_and_warnings() -> None:
    priced = ArmEstimate(
        tflop=0.5,
        device_seconds=ARM.device_seconds,
        wall_seconds=ARM.wall_seconds,
        basis="a few steps",
        arm="four",
        settings=1,
        trials=3,
        money=0.034567,
    )
    bank = BankEstimate("bank16", 1000, 0, Range(0.0, 0.0, 0.0))
    lines = planned(
        Estimate((priced,), 1, Range(10.0, 20.0, 30.0), bank, GroupAdvice(5, 2, 30.0, 4.0, 1.234, 0.5)),
        ["first", "second"],
        price_per_device_hour=1.0,
        currency="EUR",
    )
    assert lines == [
        "arm            settings  trials  TFLOP    device-seconds     EUR",
        "four                  1       3    0.5  123 (100 to 150)  0.0346",
        "3 trials, 1 at once: about 1m50s (1m10s to 2m30s), the teacher's 20s included, and some 15 s to start.",
        str(bank),
        "A teacher with its bank costs 30 device-seconds, a seed of all arms 4, and differences so far vary by 0.5 "
        "points between seeds of a group, and by 1.2 between groups: about 5 groups of 2 seeds tell most about new "
        "teachers and splits for the cost (vary: {teacher: 5, split: 5}, seeds: 10).",
        "The span is that of a few steps; a machine with other work is slower.",
        "warning: first",
        "warning: second",
    ]
