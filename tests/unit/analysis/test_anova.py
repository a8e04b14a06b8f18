"""The analysis of variance against known numbers, and on pure noise."""

import itertools

import numpy as np
import pytest
from numpy.typing import NDArray
from scipy import stats

from ctkd_study.analysis.anova import effects, permutation_p, shares
from ctkd_study.analysis.factors import Design, FinishedTrial
from tests.support.designs import product


def design(found: list[FinishedTrial]) -> Design:
    known = Design.of(found)
    assert known is not None
    return known


def of_values(test: NDArray[np.float64], examples: int | None = None) -> Design:
    options = {f"option{axis}": tuple(map(str, range(levels))) for axis, levels in enumerate(test.shape[1:])}
    return Design(tuple(range(len(test))), options, test, test[::-1], test_examples=examples)


# Three seeds (rows) and two options of two values: sums by hand.
BY_HAND = np.array([[[1.0, 2.0], [5.0, 4.0]], [[2.0, 3.0], [6.0, 9.0]], [[3.0, 4.0], [7.0, 8.0]]])


def test_shares_by_hand() -> None:
    found = shares(of_values(BY_HAND))
    # Total 71; seeds 3, 5, 5.5 about 4.5: 14; option 0: 39 - 15 = 24, 24² / 12 = 48; option 1: 6² / 12 = 3.
    # Settings 2, 3, 6, 7 about 4.5: 3 x 17 = 51, so seed x setting 71 - 14 - 51 = 6, over 6 degrees of freedom.
    error, total = 1, 71
    assert [share.omega_squared for share in found.options] == pytest.approx(
        [(48 - error) / (total + error), (3 - error) / (total + error)]
    )
    assert found.seed == pytest.approx((14 - 2 * error) / (total + error))
    assert found.rest + found.seed + sum(share.omega_squared for share in found.options) == pytest.approx(1)


def test_effects_by_hand() -> None:
    found = effects(of_values(BY_HAND))
    assert [(e.option, e.value, e.settings) for e in found] == [
        ("option0", "0", 2), ("option0", "1", 2), ("option1", "0", 2), ("option1", "1", 2),
    ]  # fmt: skip
    assert [e.difference for e in found] == pytest.approx([-2, 2, -0.5, 0.5])
    # Student's t with 6 degrees of freedom, for one of four simultaneous 95 % intervals.
    critical = stats.t.isf(0.05 / 2 / 4, 6)
    assert [e.high - e.difference for e in found] == pytest.approx([critical * np.sqrt(1 / 12)] * 4)
    assert [e.difference - e.low for e in found] == pytest.approx([e.high - e.difference for e in found])


def test_validation_chooses_and_test_reports() -> None:
    test = np.array([[80.0, 90.0], [82.0, 92.0]])
    validation = np.array([[70.0, 60.0], [71.0, 61.0]])
    found = effects(Design((0, 1), {"end": ("1", "2")}, test, validation))
    assert [(e.chosen, e.difference, e.val_difference) for e in found] == [(True, -5, 5), (False, 5, -5)]
    found = effects(Design((0, 1), {"end": ("1", "2")}, test, None))
    assert [(e.chosen, e.val_difference) for e in found] == [(False, None)] * 2


def test_p_is_the_share_of_permutations_that_do_as_much() -> None:
    values = np.array([[1.0, 2.0, 6.0], [0.0, 1.0, 2.0]])
    # Both rows in the same order: of the 6 x 6 pairs of orders, 6 give this spread of means, and none a larger one.
    assert permutation_p(values, 1) == pytest.approx(6 / 36, abs=0.012)
    assert permutation_p(values, 1) == permutation_p(values.copy(), 1)
    assert permutation_p(np.full((3, 4), 80.1), 1) == 1


def test_the_smallest_p_of_a_design() -> None:
    two_values = np.array([[80.0, 85.0]] * 5)
    found = shares(of_values(two_values)).options[0]
    assert found.smallest_p == 2 / 2**5
    assert found.p_value == pytest.approx(found.smallest_p, abs=0.008)
    assert shares(of_values(BY_HAND)).options[0].smallest_p == pytest.approx(2 * 2 / 2**6)


def test_other_options_and_seeds_do_not_hide_an_effect_or_make_one() -> None:
    noise = np.random.default_rng(1).normal(0, 0.1, size=(4, 3, 3))
    small, large, blocks = np.array([0.0, 0.1, 0.2]), np.array([0.0, 30.0, 60.0]), np.arange(4.0) * 50
    values = noise + small[:, None] + large + blocks[:, None, None]
    only = noise + large + blocks[:, None, None]
    assert permutation_p(values, 1) <= 0.01
    assert permutation_p(values, 2) == 1e-4
    assert permutation_p(only, 1) == pytest.approx(permutation_p(noise, 1), abs=1e-9)


def test_p_is_adjusted_for_the_number_of_options() -> None:
    generator = np.random.default_rng(3)
    values = generator.normal(size=(3, 2, 3, 2)) + np.array([0.0, 0.7])
    alone = sorted(permutation_p(values, axis) for axis in (1, 2, 3))
    adjusted = sorted(share.p_value for share in shares(of_values(values)).options)
    assert adjusted[0] == pytest.approx(min(3 * alone[0], 1))
    assert adjusted[1] == pytest.approx(min(max(2 * alone[1], adjusted[0]), 1))
    assert adjusted[2] == pytest.approx(min(max(alone[2], adjusted[1]), 1))


def test_accuracies_that_are_all_equal_show_nothing() -> None:
    same = design(product(lambda end, kind, seed: 80.1))
    found = shares(same)
    assert {(share.omega_squared, share.p_value, share.shown) for share in found.options} == {(0, 1, False)}
    assert (found.seed, found.rest) == (0, 1)
    rounded = effects(of_values(np.full((3, 2), 80.0), examples=797))
    assert rounded[0].high == pytest.approx(stats.t.isf(0.0125, 2) * 100 / 797 / np.sqrt(12) * np.sqrt(1 / 6))


def test_an_option_that_decides_is_shown() -> None:
    found = shares(design(product(lambda end, kind, seed: 80 + int(end) + 10 * seed)))
    end, kind = found.options
    assert (end.option, end.shown, kind.option, kind.shown) == ("end", True, "kind", False)
    assert (kind.omega_squared, kind.p_value) == (0, 1)


def test_on_pure_noise_an_option_is_shown_in_about_5_percent() -> None:
    """27 settings at 3 seeds: fANOVA puts an option above the seed in three of four of such studies."""
    generator, studies, draws = np.random.default_rng(11), 1500, 199
    false_alarms = 0
    for _ in range(studies):
        noise = generator.normal(size=(3, 3, 3, 3)) + generator.normal(size=(3, 1, 1, 1))
        # Holm rejects something if the smallest p is at most 0.05 / 3.
        false_alarms += min(permutation_p(noise, axis, draws) for axis in (1, 2, 3)) <= 0.05 / 3
    # 0.05 / 3 of 200 is 3.33 draws: p = 3 / 200 in each of three options, 4.4 % together.
    expected = 1 - (1 - 3 / 200) ** 3
    assert false_alarms / studies == pytest.approx(expected, abs=3 * np.sqrt(expected / studies))


def test_intervals_cover_all_effects_in_95_percent() -> None:
    generator, studies = np.random.default_rng(12), 1000
    truth = np.array([-1.0, 0.0, 1.0])
    covered = 0
    for _ in range(studies):
        values = truth + generator.normal(size=(3, 3, 3)) + 3 * generator.normal(size=(3, 1, 1))
        found = effects(of_values(values))
        truths = itertools.chain([0.0] * 3, truth)
        covered += all(e.low <= true <= e.high for e, true in zip(found, truths, strict=True))
    assert 0.94 <= covered / studies <= 0.98
