"""Strategies side by side: differences, verdicts, and the sentence, from tabulated results."""

import dataclasses
import math
from typing import Any

import numpy as np
import pytest

from ctkd_study.analysis.families import confirmed_arms, default_baseline
from ctkd_study.analysis.pairs import PairedDifference, paired_difference
from ctkd_study.analysis.strategies import Cost, Strategy, evaluate
from ctkd_study.analysis.verdict import StrategySummary, compare
from ctkd_study.errors import StudyError
from ctkd_study.spec import Vary
from tests.support.tabulated import arm, cost_ratio, failed, question, quickstart, strategies, trial, with_states

BASE = [95.0, 96.0, 97.0, 96.5]


def ratios(summary: StrategySummary) -> tuple[float | None, float | None]:
    """Of TFLOP and device-seconds."""
    found = summary.cost_ratio
    assert found is not None
    tflop, seconds = (each.ratio if each is not None else None for each in (found.tflop, found.device_seconds))
    return tflop, seconds


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
    # t = (2 + 1.5) / 0.408248 = 8.573214 with three degrees of freedom: the chance beyond is 0.0016678.
    assert found.p_not_worse == pytest.approx(0.0016678, abs=1e-6)
    assert found.per_seed == pytest.approx((1.0, 2.0, 3.0, 2.0))
    assert (found.verdict, found.more_seeds) == ("better", 0)


@pytest.mark.parametrize(
    ("differences", "verdict"),
    [
        ([1.0, 2.0, 3.0, 2.0], "better"),
        ([-0.2, 0.2, -0.1, 0.1], "not_worse"),
        ([-0.6, -0.4, -0.5, -0.5], "slightly_worse"),
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
    assert (found.low, found.high, found.p_not_worse, found.verdict) == (None, None, None, "undecided")


def test_the_margin_decides_between_not_worse_and_undecided() -> None:
    assert against([-0.5, 0.1, -0.9, -0.2], margin=1.5).verdict == "not_worse"
    assert against([-0.5, 0.1, -0.9, -0.2], margin=0.5).verdict == "undecided"


def test_more_seeds_is_null_where_two_hundred_would_not_do() -> None:
    assert against([-30.0, 30.0, -20.0, 20.0], margin=0.5).more_seeds is None


def test_equal_differences_have_the_width_of_the_test_sets_resolution() -> None:
    # sqrt(2) * 100 / 800 / sqrt(12) = 0.0510310; t(0.975, 3) = 3.182446; four seeds.
    found = against([-0.25] * 4, test=800)
    assert found.low == pytest.approx(-0.25 - 3.182446 * 0.0510310 / 2, abs=1e-6)
    assert found.verdict == "slightly_worse"
    assert found.p_not_worse is not None
    assert 0 < found.p_not_worse < 0.01
    same = against([0.0] * 4, test=800)
    assert same.verdict == "not_worse"


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
    assert default_baseline(plans) == "grid"
    assert default_baseline(plans[:2]) == "curves"


def test_a_given_baseline_is_taken_and_must_be_an_arm() -> None:
    found = quickstart(baseline="global")
    assert found.baseline == "global"
    assert [pair.a for pair in found.pairs] == ["grid", "instance", "student_alone"]
    assert {pair.b for pair in found.pairs} == {"global"}
    with pytest.raises(StudyError, match=r"must be one of the arms, grid, global, .*but got 'gird'"):
        quickstart(baseline="gird")


def test_costs_are_compared_with_the_baselines_and_priced() -> None:
    grid, curriculum, *_ = quickstart(price_per_device_hour=3.6).summaries
    assert (grid.cost, grid.cost_ratio) == (Cost(50, 10), cost_ratio(1.0, 1.0))
    assert grid.money == pytest.approx(0.05)
    assert ratios(curriculum) == pytest.approx((0.2, 0.2))
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
    assert ratios(found.summaries[1]) == pytest.approx((0.2, 0.2))


# -- pairing, and what a summary holds -------------------------------------------------------------------------------


def with_first_seed_failed() -> tuple[Strategy, Strategy]:
    """Five seeds of a strategy whose first one failed, and of a baseline that varies much more than they differ."""
    base = [90.0, 94.0, 91.0, 97.0, 93.0]
    differences = [0.0, 1.0, 2.0, 3.0, 2.0]
    results = [trial("b", "b", seed, value, value) for seed, value in enumerate(base)]
    results += [failed("a", "a", 0)]
    results += [trial("a", "a", seed, 90, base[seed] + differences[seed]) for seed in range(1, 5)]
    a, b = evaluate([arm("a"), arm("b")], range(5), results, "validation")
    return a, b


def test_differences_are_paired_by_seed_not_by_place() -> None:
    a, b = with_first_seed_failed()
    for baseline in (b, dataclasses.replace(b, replicates=b.replicates[::-1])):
        found = paired_difference(a, baseline, 1.5)
        assert (found.seeds, found.dropped) == ((1, 2, 3, 4), 1)
        assert found.per_seed == (None, 1.0, 2.0, 3.0, 2.0)
        assert (found.difference, found.low, found.high) == pytest.approx((2.0, 0.700772, 3.299228), abs=1e-6)
        assert found.p_not_worse == pytest.approx(0.0016678, abs=1e-6)
        assert (found.verdict, found.too_many_dropped, found.more_seeds) == ("undecided", True, None)
    turned = paired_difference(b, a, 1.5)
    assert (turned.a, turned.b, turned.dropped, turned.per_seed) == ("b", "a", 1, (None, -1.0, -2.0, -3.0, -2.0))


def test_a_tenth_may_be_dropped_but_no_more() -> None:
    assert not paired_difference(*with_states("x........."), 1.5).too_many_dropped
    assert paired_difference(*with_states("x........"), 1.5).too_many_dropped
    assert not paired_difference(*with_states("-.."), 1.5).too_many_dropped


def test_the_interval_of_equal_differences_needs_the_number_of_test_examples() -> None:
    a, b = strategies({"a": [91.0, 92.0, 93.0], "b": [90.0, 91.0, 92.0]})
    known, unknown = (compare(question(seeds=(0, 1, 2), test=test), [b, a]).pairs[0] for test in (800, None))
    half = 4.3026527 * 0.0510310 / math.sqrt(3)
    assert (known.low, known.high) == pytest.approx((1 - half, 1 + half), abs=1e-6)
    assert (unknown.low, unknown.high, unknown.p_not_worse) == (1.0, 1.0, None)


def test_means_of_equal_accuracies_are_as_wide_as_the_rounding_to_examples() -> None:
    (summary,) = compare(question(seeds=(0, 1, 2), validation=200, test=797), strategies({"a": [90.0] * 3})).summaries
    for mean, examples in ((summary.val_top1, 200), (summary.test_top1, 797)):
        assert mean.high == pytest.approx(90 + 4.3026527 * 100 / examples / math.sqrt(12) / math.sqrt(3), abs=1e-6)
    (two,) = compare(question(seeds=(0, 1)), strategies({"a": [90.0, 91.0]})).summaries
    assert dataclasses.astuple(two.test_top1) == (90.5, None, None, (90.0, 91.0))


@pytest.mark.parametrize(
    ("base", "ratio"),
    [
        ({}, (0.5, 1.3)),
        ({"device_seconds": 0.0}, (0.5, None)),
        ({"tflop": 0.0}, (None, 1.3)),
        ({"device_seconds": 0.5, "tflop": 0.25}, (4.0, 26.0)),
    ],
)
def test_each_kind_of_cost_has_its_ratio_where_the_baselines_is_above_0(
    base: dict[str, float], ratio: tuple[float | None, float | None]
) -> None:
    results = [trial("b", "b", 0, 90, 90, **base), trial("a", "a", 0, 90, 90, device_seconds=13.0, tflop=1.0)]
    found = compare(
        question(seeds=(0,), price_per_device_hour=36.0),
        evaluate([arm("b"), arm("a"), arm("missing")], [0], results, "validation"),
    )
    _, ours, missing = found.summaries
    assert (ours.cost, *ratios(ours)) == (Cost(13.0, 1.0), *map(pytest.approx, ratio))
    assert ours.money == pytest.approx(0.13)
    assert (missing.cost, missing.cost_ratio, missing.money) == (None, None, None)


def test_no_ratio_before_the_baseline_has_a_cost() -> None:
    found = evaluate([arm("b"), arm("a")], [0], [trial("a", "a", 0, 90, 90)], "validation")
    assert [summary.cost_ratio for summary in compare(question(seeds=(0,)), found).summaries] == [None, None]


def test_the_planned_number_of_seeds_is_final() -> None:
    assert (question().final_seeds, question(seeds_planned=20).final_seeds) == (8, 20)
    assert (quickstart().looks, quickstart().sentence) == (0, ""), "Study.compare fills both"


def test_more_seeds_are_planned_from_the_differences_the_margin_and_the_rounding() -> None:
    study = quickstart()
    assert [(pair.verdict, pair.more_seeds) for pair in study.pairs] == [
        ("not_worse", 0),
        ("undecided", 16),
        ("worse", 0),
    ]
    assert (study.question, [summary.strategy.name for summary in study.summaries]) == (
        question(),
        ["grid", "global", "instance", "student_alone"],
    )
    # Two equal differences spread by the rounding: sqrt(2) * 100 / 20 / sqrt(12) = 2.0412415.
    a, b = strategies({"a": [91.0, 91.0], "b": [90.0, 90.0]})
    assert paired_difference(a, b, 5.0, test=20).more_seeds == 6
    assert paired_difference(a, b, 5.0).more_seeds == 1


# -- families --------------------------------------------------------------------------------------------------------

FOUR = (arm("grid", "T=1", "T=4", fixed=True), arm("global"), arm("instance"), arm("alone", uses_teacher=False))


@pytest.mark.parametrize(
    ("arms", "baseline", "named", "confirmed"),
    [
        (FOUR, "grid", None, ("global", "instance")),
        (FOUR, "global", None, ("grid", "instance")),
        (FOUR, "grid", ("alone", "global"), ("global", "alone")),
        (FOUR, "global", ("global",), ()),
        ((FOUR[3], arm("other", uses_teacher=False)), "alone", None, ("other",)),
    ],
)
def test_which_arms_share_the_error(
    arms: tuple[Any, ...], baseline: str, named: tuple[str, ...] | None, confirmed: tuple[str, ...]
) -> None:
    assert confirmed_arms(arms, baseline, named) == confirmed


@pytest.mark.parametrize(("confirm", "confidence"), [(None, 0.975), (("global",), 0.95), (("instance",), 0.95)])
def test_confirmed_arms_share_the_error_and_others_have_their_own(
    confirm: tuple[str, ...] | None, confidence: float
) -> None:
    found = quickstart(confirm=confirm)
    assert found.confirmed == (confirm or ("global", "instance"))
    for pair in found.pairs:
        assert pair.interval is not None
        assert pair.confirmed == (pair.a in found.confirmed)
        assert pair.interval.confidence == pytest.approx(confidence if pair.confirmed else 0.95)
    # t(1 - 0.0125, 7) = 2.8412442 and t(0.975, 7) = 2.3646243.
    (wide, plain) = (quickstart(confirm=names).pairs[1] for names in (None, ("instance",)))
    assert wide.high is not None
    assert plain.high is not None
    assert wide.difference is not None
    assert wide.difference == plain.difference
    assert (wide.high - wide.difference) / (plain.high - wide.difference) == pytest.approx(2.8412442 / 2.3646243)
    assert wide.p_not_worse == plain.p_not_worse


def with_groups(differences: list[float], **fields: Any) -> PairedDifference:
    """Ten seeds of b, and of a with these differences to them, in five groups."""
    a, b = strategies({"a": [95.0 + other for other in differences], "b": [95.0] * 10})
    return paired_difference(a, b, 1.5, vary=Vary(teacher=5, split=5), **fields)


def test_where_groups_differ_their_means_give_difference_interval_and_plan() -> None:
    # Means of the groups -2, 0, 1, -1, 0.5: mean -0.3, deviation 1.204159, t(0.975, 4) = 2.776445: half = 1.495161.
    found = with_groups([-2.1, 0.2, 1.1, -1.2, 0.6, -1.9, -0.2, 0.9, -0.8, 0.4])
    assert found.difference == pytest.approx(-0.3)
    assert (found.low, found.high) == pytest.approx((-1.795161, 1.195161), abs=1e-6)
    assert found.interval is not None
    assert found.interval.about == "with new teachers and splits on this test set"
    assert (found.verdict, found.more_seeds, found.anytime) == ("undecided", None, None)
    assert found.more_groups is not None
    assert found.more_groups > 0
    decided = with_groups([0.1, -0.1, 0.2, -0.2, 0.0] * 2)
    assert (decided.verdict, decided.more_seeds, decided.more_groups) == ("not_worse", 0, 0)


def test_groups_of_unequal_size_count_alike() -> None:
    a, b = strategies({"a": [96.0, 95.0, 95.0, 95.0, 95.0, 98.0], "b": [95.0] * 6})
    assert paired_difference(a, b, 1.5, vary=Vary(teacher=5)).difference == pytest.approx(2.0 / 5)
    found = compare(dataclasses.replace(question(), vary=Vary(teacher=5), baseline="b"), [a, b])
    assert found.summaries[0].test_top1.mean == pytest.approx(95 + 2.0 / 5)


def test_the_examples_of_the_selected_trials_alone_are_asked_for() -> None:
    asked, rng = [], np.random.default_rng(4)
    lean = rng.random(400)

    def correct(trial_id: str) -> Any:
        asked.append(trial_id)
        return rng.random(400) < (lean if trial_id.startswith("a") else 0.5)

    a, b, c = strategies({name: [95.0 + place for place in range(8)] for name in "abc"})
    found = compare(dataclasses.replace(question(), baseline="b"), [a, b, c], correct=correct)
    chosen = [each.trial for strategy in (a, b, c) for each in strategy.replicates]
    assert sorted(asked) == sorted(str(each) for each in chosen), "each once, the baseline's too"
    assert [[each.about for each in pair.intervals] for pair in found.pairs] == [
        ["on this test set", "on new examples"]
    ] * 2
    nothing = compare(dataclasses.replace(question(), baseline="b"), [a, b], correct=lambda trial: None)
    assert [each.about for each in nothing.pairs[0].intervals] == ["on this test set"]
