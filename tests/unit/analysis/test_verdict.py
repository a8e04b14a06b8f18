"""Strategies side by side: differences, verdicts, and the sentence, from tabulated results."""

from typing import Any

import pytest

from ctkd_study.analysis.strategies import Cost, evaluate
from ctkd_study.analysis.verdict import PairedDifference, compare, default_baseline, paired_difference
from ctkd_study.errors import StudyError
from tests.support.tabulated import arm, question, quickstart, strategies, with_states

BASE = [95.0, 96.0, 97.0, 96.5]


def against(others: list[float], margin: float = 1.5, **fields: Any) -> PairedDifference:
    """Four seeds of b, and of a with these differences to them."""
    a, b = strategies(
        {"a": [base + other for base, other in zip(BASE, others, strict=False)], "b": BASE[: len(others)]}
    )
    return paired_difference(a, b, margin, **fields)


def test_a_pair_worked_out_by_hand() -> None:
    # Differences 1, 2, 3, 2: mean 2, deviation 0.816497, t(0.975, 3) = 3.182446: half = 3.182446 * 0.408248 = 1.299228.
    found = against([1.0, 2.0, 3.0, 2.0])
    assert (found.a, found.b, found.seeds) == ("a", "b", (0, 1, 2, 3))
    assert found.difference == pytest.approx(2.0)
    assert found.low == pytest.approx(0.700772, abs=1e-6)
    assert found.high == pytest.approx(3.299228, abs=1e-6)
    # t = 2 / 0.408248 = 2√2·√3, with three degrees of freedom: p = 1 - 2/π · (2√2 / 9 + arctan 2√2).
    assert found.p_value == pytest.approx(0.0162766, abs=1e-6)
    assert found.per_seed == pytest.approx((1.0, 2.0, 3.0, 2.0))
    assert (found.verdict, found.more_seeds) == ("better", 0)


@pytest.mark.parametrize(
    ("differences", "verdict"),
    [
        ([1.0, 2.0, 3.0, 2.0], "better"),
        ([-0.2, 0.2, -0.1, 0.1], "not_worse"),
        ([-0.6, -0.4, -0.5, -0.5], "not_worse"),
        ([-1.4, -1.6, -1.5, -1.5], "undecided"),
        ([-3.0, 3.0, -2.0, 2.0], "undecided"),
        ([-4.0, -4.2, -3.8, -4.0], "worse"),
    ],
)
def test_each_verdict(differences: list[float], verdict: str) -> None:
    found = against(differences)
    assert found.verdict == verdict
    assert (found.more_seeds == 0) == (verdict != "undecided")


@pytest.mark.parametrize("count", [1, 2])
def test_below_three_seeds_there_are_numbers_but_no_interval_and_no_verdict(count: int) -> None:
    found = against([5.0, 5.2][:count])
    assert found.difference == pytest.approx(sum([5.0, 5.2][:count]) / count)
    assert (found.low, found.high, found.p_value, found.verdict) == (None, None, None, "undecided")


def test_the_margin_decides_between_not_worse_and_undecided() -> None:
    assert against([-0.5, 0.1, -0.9, -0.2], margin=1.5).verdict == "not_worse"
    assert against([-0.5, 0.1, -0.9, -0.2], margin=0.5).verdict == "undecided"


def test_more_seeds_is_null_where_two_hundred_would_not_do() -> None:
    assert against([-30.0, 30.0, -20.0, 20.0], margin=0.5).more_seeds is None


def test_equal_differences_have_the_width_of_the_test_sets_resolution() -> None:
    # sqrt(2) * 100 / 800 / sqrt(12) = 0.0510310; t(0.975, 3) = 3.182446; four seeds.
    found = against([-0.25] * 4, test=800)
    assert found.low == pytest.approx(-0.25 - 3.182446 * 0.0510310 / 2, abs=1e-6)
    assert found.verdict == "not_worse"
    assert found.p_value is not None
    assert 0 < found.p_value < 0.01
    same = against([0.0] * 4, test=800)
    assert same.verdict == "not_worse"
    assert same.p_value == pytest.approx(1.0)


@pytest.mark.parametrize(
    ("states", "seeds", "dropped", "verdict"),
    [
        ("..........", 10, 0, "better"),
        ("x.........", 9, 1, "better"),  # one of ten is not over 10 %
        ("x........", 8, 1, "undecided"),  # one of nine is
        ("xx........", 8, 2, "undecided"),
        ("x........-", 8, 1, "undecided"),  # what is still to run counts for neither
        ("-.........", 9, 0, "better"),
        ("xxx", 0, 3, "undecided"),
        ("---", 0, 0, "undecided"),
    ],
)
def test_seeds_without_anything_to_select_are_dropped_and_over_a_tenth_of_them_leave_it_undecided(
    states: str, seeds: int, dropped: int, verdict: str
) -> None:
    found = paired_difference(*with_states(states), 1.5)
    assert (len(found.seeds), found.dropped, found.verdict) == (seeds, dropped, verdict)
    # More seeds would not mend what fails.
    assert found.more_seeds == (0 if verdict == "better" else None)


# -- comparisons -----------------------------------------------------------------------------------------------------


def test_the_baseline_is_the_first_arm_with_several_fixed_settings() -> None:
    plans = [
        arm("curves", "λ=1", "λ=2"),
        arm("fixed", "T=4", fixed=True),
        arm("grid", "T=1", "T=4", fixed=True),
        arm("grid2", "T=2", "T=8", fixed=True),
    ]
    assert default_baseline(evaluate(plans, [0], [], "validation")) == "grid"
    assert default_baseline(evaluate(plans[:2], [0], [], "validation")) == "curves"


def test_a_given_baseline_is_taken_and_must_be_an_arm() -> None:
    found = quickstart(baseline="global")
    assert found.baseline == "global"
    assert [pair.a for pair in found.pairs] == ["grid", "instance", "student_alone"]
    assert {pair.b for pair in found.pairs} == {"global"}
    with pytest.raises(StudyError, match=r"must be one of the arms, grid, global, .*but got 'gird'"):
        quickstart(baseline="gird")


def test_costs_are_compared_with_the_baselines_and_priced() -> None:
    grid, curriculum, *_ = quickstart(price_per_device_hour=3.6).summaries
    assert (grid.cost, grid.cost_ratio) == (Cost(50, 10), Cost(1, 1))
    assert grid.money == pytest.approx(0.05)
    assert curriculum.cost_ratio == Cost(0.2, 0.2)
    assert quickstart().summaries[0].money is None


def test_means_have_their_interval_over_seeds() -> None:
    (only,) = strategies({"a": [1.0, 2.0, 3.0]})
    summary = compare(question(seeds=(0, 1, 2)), [only]).summaries[0]
    mean = summary.test_top1
    assert (mean.mean, mean.low, mean.high) == pytest.approx((2.0, -0.484138, 4.484138), abs=1e-6)
    assert mean.per_seed == (1.0, 2.0, 3.0)


@pytest.mark.parametrize(
    ("planned", "recorded", "interim"), [(None, 8, False), (None, 5, True), (12, 8, True), (8, 8, False)]
)
def test_a_look_before_the_last_seed_is_interim(planned: int | None, recorded: int, interim: bool) -> None:
    a, b = with_states("." * recorded + "-" * (8 - recorded))
    found = compare(question(seeds_planned=planned), [b, a])
    assert found.interim == interim


def test_a_dropped_seed_is_no_reason_to_call_a_look_interim() -> None:
    a, b = with_states("x.......")
    assert not compare(question(), [b, a]).interim


def test_the_papers_protocol_gives_means_and_costs_but_no_pairs() -> None:
    found = quickstart(protocol="paper")
    assert (found.pairs, found.interim) == ((), False)
    assert found.summaries[0].test_top1.mean == pytest.approx(96.125)
    assert found.summaries[1].cost_ratio == Cost(0.2, 0.2)
