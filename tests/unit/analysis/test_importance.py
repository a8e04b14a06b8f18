"""Effects by hand, importances of a known truth, and what is looked at of a study's trials."""

import itertools
from collections.abc import Callable
from pathlib import Path

import numpy as np
import optuna
import pytest
from rich.console import Console

from ctkd_study import StudyError
from ctkd_study.analysis.importance import SEED, FinishedTrial, effects, finished_trials, importances
from ctkd_study.launch.inline import InlineRunner, tabulated
from ctkd_study.launch.loop import launch
from ctkd_study.plan import StudyState
from ctkd_study.report import effects as report
from ctkd_study.spec import from_mapping
from tests.support.studies import plain
from trainables.config import TrialConfig
from trainables.record import Row
from trainables.storage import Storage


def product(accuracy: Callable[[str, str, int], float], seeds: int = 4) -> list[FinishedTrial]:
    """Two options of three values each, crossed."""
    return [
        FinishedTrial(seed, {"end": end, "kind": kind}, accuracy(end, kind, seed))
        for seed, end, kind in itertools.product(range(seeds), ("1", "2", "3"), ("a", "b", "c"))
    ]


def test_effects_are_differences_to_the_seeds_mean() -> None:
    found = effects(product(lambda end, kind, seed: 80 + int(end) + 10 * seed))
    assert [(e.option, e.value, e.settings) for e in found] == [
        *(("end", value, 3) for value in "123"),
        *(("kind", value, 3) for value in "abc"),
    ]
    assert [e.difference for e in found] == pytest.approx([-1, 0, 1, 0, 0, 0])
    assert [e.high for e in found] == pytest.approx([-1, 0, 1, 0, 0, 0]), "the seeds agree"


def test_the_interval_is_over_seeds() -> None:
    moved = {"1": 1.0, "2": 0.0, "3": -1.0}
    found = effects(product(lambda end, kind, seed: 80 + moved[end] * (seed - 1), seeds=3))
    assert found[0].difference == pytest.approx(0)
    assert found[0].high == pytest.approx(4.302653 / np.sqrt(3), rel=1e-5)  # t at 0.975 with 2 degrees of freedom
    assert (effects(product(lambda *_: 80.0, seeds=2))[0].low, effects([])) == (None, [])


def test_the_option_that_decides_is_the_important_one() -> None:
    noise = iter(np.random.default_rng(0).normal(0, 0.2, size=36))
    shares = importances(product(lambda end, kind, seed: 80 + 2 * int(end) + 0.5 * seed + next(noise)))
    assert list(shares)[:2] == ["end", SEED]
    assert shares["end"] > 0.6
    assert shares["kind"] < 0.05
    assert sum(shares.values()) <= 1 + 1e-6


def test_chance_is_named_where_it_decides() -> None:
    shares = importances(product(lambda end, kind, seed: 80 + 3 * seed + 0.1 * int(end)))
    assert next(iter(shares)) == SEED
    assert "but no more than the seed" in report.sentence(shares, 36)


def test_they_are_the_same_each_time_and_leave_optuna_as_it_was() -> None:
    found = product(lambda end, kind, seed: 80 + int(end) * seed)
    before = optuna.logging.get_verbosity()
    assert importances(found) == importances(list(found))
    assert optuna.logging.get_verbosity() == before


def test_nothing_to_explain() -> None:
    assert set(importances(product(lambda *_: 80.0)).values()) == {0.0}
    with pytest.raises(StudyError, match="trials that differ, but there are 1"):
        importances(product(lambda *_: 80.0)[:1])
    with pytest.raises(StudyError, match="there are 0"):
        importances([])


def test_the_options_of_the_arms_that_differ_are_looked_at(tmp_path: Path) -> None:
    def rows(config: TrialConfig) -> list[Row]:
        if config.seed == 2:
            return []  # it fails
        row: Row = {"epoch": 1, "val_loss": 0.1, "val_top1": 90.0, "test_loss": 0.1, "test_top1": 80.0 + config.seed}
        return [{**row, "time_ms": 1, "epoch_seconds": 1.0, "device_seconds": 1.0, "eval_seconds": 0.0, "tflop": 1.0}]

    (tmp_path / "t.pth").write_bytes(b"never opened")
    curriculum = {"kind": {"grid": ["cosine", "step"]}, "end": {"grid": [1, 2]}}
    arms = {
        "fixed": {"temperature": {"kind": "fixed", "value": 4}},
        "spans": {"temperature": {"kind": "global"}, "curriculum": curriculum},
        "each": {"temperature": {"kind": "instance"}, "curriculum": {"kind": "cosine"}},
    }
    teacher = {"model": "resnet8", "checkpoint": str(tmp_path / "t.pth")}
    state = StudyState(from_mapping(plain(teacher=teacher, arms=arms)), Storage.at(str(tmp_path / "results")))
    plan, outcome = state.plan, launch(state, InlineRunner(tabulated(rows)), Console(quiet=True))
    found = finished_trials([trial for trial in plan.trials if trial.arm == "spans"], outcome.manifests)
    assert [(point.seed, dict(point.options), point.top1) for point in found] == [
        (seed, {"curriculum.kind": kind, "curriculum.end": end}, 80.0 + seed)
        for seed, kind, end in itertools.product((0, 1), ("cosine", "step"), ("1", "2"))
    ], "the third seed failed"
    both = finished_trials([trial for trial in plan.trials if trial.arm != "fixed"], outcome.manifests)
    assert set(both[0].options) == {"temperature.kind", "curriculum.kind", "curriculum.end"}
    assert finished_trials([], outcome.manifests) == []


def test_shares_are_sorted_and_repeat() -> None:
    moved, kinds = {"1": 0.0, "2": 2.0, "3": 5.0}, {"a": 0.0, "b": 0.5, "c": 1.0}
    shares = importances(product(lambda end, kind, seed: 80 + moved[end] + (kinds[kind] + 0.3) * seed, seeds=3))
    assert list(shares) == ["end", "seed", "kind"]
    assert list(shares.values()) == pytest.approx([0.857868, 0.050291, 0.023565], abs=1e-4)


def test_what_does_not_vary_has_no_share() -> None:
    one_seed = importances(product(lambda end, kind, seed: 80 + int(end), seeds=1))
    assert set(one_seed) == {"end", "kind"}
    two_values = [FinishedTrial(0, {"end": end}, 80.0 + int(end)) for end in ("1", "2")]
    assert importances(two_values) == {"end": pytest.approx(1.0)}
    one_setting = [FinishedTrial(seed, {"end": "1"}, 80.0 + seed) for seed in range(3)]
    assert importances(one_setting) == {"seed": pytest.approx(1.0)}


def test_a_seed_without_a_value_leaves_that_values_effect_to_the_others() -> None:
    found = [
        trial
        for trial in product(lambda end, kind, seed: 80 + int(end), 4)
        if (trial.seed, trial.options["end"]) != (0, "3")
    ]
    known = {(effect.option, effect.value): effect for effect in effects(found)}
    low = known["end", "1"]
    # The mean of seed 0 is 81.5, that of the others 82: differences -0.5, -1, -1, -1.
    assert low.difference == pytest.approx(-0.875)
    assert low.settings == 3
    assert (low.low, low.high) == pytest.approx((-0.875 - 3.182446 * 0.25 / 2, -0.875 + 3.182446 * 0.25 / 2), abs=1e-6)
    high = known["end", "3"]
    assert (high.difference, high.low, high.high) == pytest.approx((1.0, 1.0, 1.0))
