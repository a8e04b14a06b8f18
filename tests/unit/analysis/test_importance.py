"""Importances of a known truth, for trials that form no balanced design."""

import numpy as np
import optuna
import pytest

from ctkd_study import StudyError
from ctkd_study.analysis.factors import FinishedTrial
from ctkd_study.analysis.importance import SEED, importances
from ctkd_study.report import effects as report
from tests.support.designs import product


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
    assert report.unbalanced_sentence(shares, 36).startswith("Nothing is tested")


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
