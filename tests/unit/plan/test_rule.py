"""A study that adds seeds until it is decided: the same looks and answer whatever interrupts it, by a fixed rule."""

import random
from pathlib import Path
from typing import Any

import pytest
from rich.console import Console

from ctkd_study.analysis import Decisions
from ctkd_study.errors import ChangedStudyError
from ctkd_study.launch import InlineRunner, Outcome, launch, tabulated
from ctkd_study.plan import StudyState, decisions, due
from ctkd_study.spec import from_mapping
from tests.support.studies import plain
from trainables.config import TrialConfig
from trainables.record import Row
from trainables.storage import Storage

ARMS = {
    "grid": {"temperature": {"kind": "fixed", "value": {"grid": [2, 8]}}},
    "same": {"temperature": {"kind": "fixed", "value": 4}},
    "noisy": {"temperature": {"kind": "global"}},
    "alone": {"distiller": {"name": "none"}},
}
SPREAD = {"grid": 0.1, "same": 0.1, "noisy": 2.0, "alone": 0.1}


def rows(config: TrialConfig) -> list[Row]:
    """Accuracies that depend on arm and seed alone."""
    noise = random.Random(f"{config.run.arm} {config.seed}").gauss(0, SPREAD[str(config.run.arm)])
    row: Row = {
        "epoch": 1,
        "time_ms": 1,
        "val_loss": 0.1,
        "val_top1": 90.0,
        "test_loss": 0.1,
        "test_top1": 80.0 + noise,
    }
    return [{**row, "epoch_seconds": 2.0, "device_seconds": 2.0, "eval_seconds": 1.0, "teacher_seconds": 0.5}]


def state(folder: Path, **changes: Any) -> StudyState:
    study = {"arms": ARMS, "seeds": 3, "margin": 1.0, "until": {"seeds": 12}, **changes}
    return StudyState(from_mapping(plain(**study)), Storage.at(str(folder)))


def run(study: StudyState, runner: Any = None) -> Outcome:
    return launch(study, runner or InlineRunner(tabulated(rows)), Console(quiet=True))


def decided(study: StudyState) -> Decisions:
    found = decisions(study.spec, study.read().manifests)
    assert found is not None
    return found


def test_seeds_are_added_until_all_is_decided_and_no_further(tmp_path: Path) -> None:
    outcome = run(state(tmp_path))
    found = decided(state(tmp_path))
    same, noisy = found.by_arm["same"], found.by_arm["noisy"]
    assert same.state == "decided"
    assert noisy.state in ("futile", "all seeds")
    assert 3 < same.looks[-1].seeds < noisy.looks[-1].seeds <= 12
    seeds = {"same": same.looks[-1].seeds, "noisy": noisy.looks[-1].seeds, "alone": 3, "grid": noisy.looks[-1].seeds}
    assert found.reach == seeds
    assert outcome.trained == sum(seeds.values()) + seeds["grid"]
    assert (outcome.unfinished, outcome.exit_status) == ({}, 0)
    assert outcome.trials == outcome.trained
    assert run(state(tmp_path)).trained == 0


def test_stops_at_any_moment_change_neither_looks_nor_answer(tmp_path: Path) -> None:
    straight = run(state(tmp_path / "straight"))
    study, launches = tmp_path / "stopped", 0

    def stopping(config: TrialConfig) -> list[Row]:
        if draw.random() < 0.2:
            raise KeyboardInterrupt
        return rows(config)

    draw = random.Random(3)
    while (outcome := run(state(study), InlineRunner(tabulated(stopping)))).unfinished:
        assert outcome.exit_status == 130
        launches += 1
    assert launches > 3
    assert decided(state(study)) == decided(state(tmp_path / "straight"))
    assert set(outcome.manifests) == set(straight.manifests)


def test_a_budget_ends_it_with_success(tmp_path: Path) -> None:
    # A seed of grid and noisy takes 3 x 3.5 device-seconds, the first three seeds of all arms 15 x 3.5.
    outcome = run(state(tmp_path, until={"seeds": 12, "budget": {"device_hours": 100 / 3600}}))
    found = decided(state(tmp_path, until={"seeds": 12, "budget": {"device_hours": 100 / 3600}}))
    assert found.by_arm["noisy"].state == "budget"
    assert outcome.exit_status == 0
    assert 100 - 4 * 3.5 < outcome.trained * 3.5 <= 100
    priced: Any = {"until": {"seeds": 12, "budget": {"money": 1}}, "price_per_device_hour": 36.0}
    assert run(state(tmp_path / "priced", **priced)).trained == outcome.trained


@pytest.mark.parametrize(
    ("changes", "line"),
    [
        ({"margin": 2.0}, "margin: 1.0 -> 2.0"),
        ({"baseline": "same"}, 'baseline: null -> "same"'),
        ({"until": {"seeds": 13}}, "until.seeds: 12 -> 13"),
        ({"until": {"seeds": 12, "step": 2}}, "until.step: 1 -> 2"),
        ({"until": {"seeds": 12, "first": 5}}, "until.first: 3 -> 5"),
        ({"seeds": 4}, "until.first: 3 -> 4"),
        ({"seeds": [0, 1, 5]}, "seeds: [0, 1, 2, "),
    ],
)
def test_what_was_fixed_at_the_first_run_may_not_change(tmp_path: Path, changes: dict[str, Any], line: str) -> None:
    state(tmp_path).stored()
    with pytest.raises(ChangedStudyError) as refused:
        state(tmp_path, **changes)
    assert f"\n  {line}" in str(refused.value)
    assert str(refused.value).endswith("start anew with --fresh (the old folder is kept).")


def test_a_file_without_the_rule_goes_on_by_that_of_its_first_run_and_none_is_added_later(tmp_path: Path) -> None:
    begun = state(tmp_path / "until")
    begun.stored()
    assert state(tmp_path / "until", until=None).spec.until == begun.spec.until
    free: dict[str, Any] = {"question": "why?", "until": {"seeds": 12, "budget": {"device_hours": 1}}}
    assert state(tmp_path / "until", **free).spec.question == "why?"
    state(tmp_path / "fixed", until=None).stored()
    with pytest.raises(ChangedStudyError, match="until: null -> "):
        state(tmp_path / "fixed")


def test_the_first_seeds_are_due_at_first_and_the_plan_holds_the_most_that_may_run(tmp_path: Path) -> None:
    study = state(tmp_path)
    assert len(study.plan.trials) == 12 * 5
    assert due(study.spec, {}) == study.plan.trials[: 3 * 5]
