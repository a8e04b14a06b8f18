"""The caveats under a report: each one, literally, and when there is none."""

import dataclasses

import pytest

from ctkd_study.analysis.inference import Interval
from ctkd_study.analysis.strategies import evaluate
from ctkd_study.analysis.verdict import TeacherFacts, compare
from ctkd_study.report import notes
from ctkd_study.spec import from_mapping
from tests.support.comparisons import CASES, HOSTILE
from tests.support.studies import plain
from tests.support.tabulated import arm, failed, question, quickstart, strategies, trial


def test_all_that_went_wrong_is_noted_in_order() -> None:
    named = "; ".join(f"grid-T=4-s{seed} ({HOSTILE})" for seed in range(10))
    lost = "train_loss is nan in epoch 2"
    assert notes.failures(CASES["battered"]) == [
        f"grid: 12 trials failed, and the cost counts: {named}; and 2 more.",
        "grid: 6.00 device-seconds were lost to faults (wasted); they are not in the cost.",
        f"global: 2 trials failed, and the cost counts: global-global-s0 ({lost}); global-global-s1 ({lost}).",
        "global: nothing was left to select at seeds 0, 1; they are left out.",
        "instance: 1 of 12 trials have not ended; incomplete seeds (11) are left out.",
    ]
    assert notes.notes(CASES["battered"]) == [
        "grid, 12 trials: trained on a toaster.",
        "* global trains another student than the study's.",
        "† global trains for another number of epochs than the study's.",
        "Means and costs are over each strategy's own seeds (grid 12, global 10, instance 11), so they do not compare; "
        "differences, and ratios to grid, are over the seeds that both have.",
        "global: its differences to grid are the same at every seed, which seeds can't show to be exact; the interval "
        "is as wide as one test example's rounding makes it.",
        "‡ The teacher comes from a file: it may have seen the validation split.",
        "However often one looks, each of these 95 % intervals holds: global +1.00 to +1.00, instance -43.77 to "
        "+51.04.",
        "This is look 3 at a growing number of seeds; each raises the error of 2.5 % (two looks, at 5 and 10 seeds, "
        "make it 4.4 %).",
    ]


@pytest.mark.parametrize(("count", "ending"), [(1, "s0 (why)."), (10, "s9 (why)."), (11, "s9 (why); and 1 more.")])
def test_ten_failures_are_named(count: int, ending: str) -> None:
    results = [failed("a", "a", seed, reason="why") for seed in range(count)]
    (strategy,) = evaluate([arm("a")], range(count), results, "validation")
    text, *_ = notes.failures(compare(question(charges_teacher=True), [strategy]))
    assert text.startswith(f"a: {count} trial{'s' if count > 1 else ''} failed, and the cost counts: a-a-s0 (why)")
    assert text.endswith(ending)


def test_a_clean_study_has_only_the_note_on_the_teachers_cost() -> None:
    values = {"grid": [95.0, 96.0, 97.0], "global": [95.1, 96.3, 97.2]}
    clean = compare(question(seeds=(0, 1, 2)), strategies(values))
    assert notes.notes(clean) == [
        "The teacher's own 30.0 device-seconds, its work in the trials, and evaluation are not in the cost "
        "(--charge-teacher each adds what one use of a strategy pays of them)."
    ]
    assert notes.notes(dataclasses.replace(clean, looks=1)) == notes.notes(clean), "one look needs no note"
    assert notes.notes(dataclasses.replace(clean, looks=2))[-1].startswith(
        "This is look 2 at a growing number of seeds"
    )
    assert notes.notes(compare(question(seeds=(0, 1, 2), charges_teacher=True), strategies(values))) == []
    assert notes.notes(compare(question(seeds=(0, 1, 2), teacher=None), strategies(values))) == []
    unknown = question(seeds=(0, 1, 2), teacher=TeacherFacts("resnet20"))
    assert notes.notes(compare(unknown, strategies(values))) == [
        "The record of the teacher's training is lost or damaged: what it took is not known."
    ]
    from_file = TeacherFacts("resnet20", may_have_seen_validation=True)
    assert notes.notes(compare(question(seeds=(0, 1, 2), teacher=from_file, charges_teacher=True), strategies(values)))[
        1:
    ] == ["The training of the teacher, which comes from a file, is not in the cost: what it took is not known."]


@pytest.mark.parametrize(
    ("differences", "noted"),
    [((0.1, 0.1, 0.1), True), ((0.1, 0.1), False), ((0.1, 0.1, 0.2), False), ((0.1, 0.1, 0.1 + 1e-12), True)],
)
def test_equal_differences_are_noted_from_three_seeds_on(differences: tuple[float, ...], noted: bool) -> None:
    values = {"grid": [90.0] * len(differences), "global": [90 + difference for difference in differences]}
    found = compare(question(seeds=tuple(range(len(differences))), charges_teacher=True), strategies(values))
    assert bool(notes.notes(found)) == noted


def test_names_are_marked() -> None:
    leaky = TeacherFacts("t", may_have_seen_validation=True)
    results = [trial(name, name, 0, 90, 90) for name in ("a", "b", "c")]
    arms = [arm("a", overrides_student=True), arm("b", overrides_epochs=True), arm("c", uses_teacher=False)]
    a, b, c = evaluate(arms, [0], results, "validation")
    assert [notes.marked_name(each, leaky) for each in (a, b, c)] == ["a*‡", "b†‡", "c"]
    assert [notes.marked_name(each, TeacherFacts("t")) for each in (a, b, c)] == ["a*", "b†", "c"]
    assert [notes.marked_name(each, None) for each in (a, b, c)] == ["a*", "b†", "c"]


def test_every_interval_is_named_where_there_are_several() -> None:
    found = quickstart()
    assert not any("Intervals on" in note for note in notes.notes(found))
    pairs = [
        dataclasses.replace(
            pair,
            intervals=(
                Interval("on this test set", -1.0, 0.5 + place, 0.025),
                Interval("on new examples", -1.25, 0.75 + place, 0.025),
            ),
        )
        for place, pair in enumerate(found.pairs[:2])
    ]
    a, b = (pair.a for pair in pairs)
    assert (
        f"Intervals on this test set: {a} -1.00 to +0.50, {b} -1.00 to +1.50; on new examples: {a} -1.25 to +0.75, "
        f"{b} -1.25 to +1.75. Each verdict is read off the wider one."
    ) in notes.notes(dataclasses.replace(found, pairs=tuple(pairs)))


def test_settings_that_the_baseline_shares_are_said_and_so_is_what_was_set_after_looking() -> None:
    default = arm("default", "T=4", fixed=True)
    arms = [default, arm("grid", "T=1", "T=4", fixed=True)]
    results = [trial(each.name, s.label, seed, 90, 90) for each in arms for s in each.settings for seed in range(2)]
    found = compare(
        question(seeds=(0, 1), baseline="default", teacher=None), evaluate(arms, (0, 1), results, "validation")
    )
    assert notes.notes(found) == [
        "grid and default share settings (T=4): each runs and pays them, and a seed at which both keep the same one "
        "adds a difference of exactly 0."
    ]
    after = dataclasses.replace(quickstart(), set_after_looking=("margin", "confirm"))
    (new,) = set(notes.notes(after)) - set(notes.notes(quickstart()))
    assert (
        new
        == "Margin, confirm set after looking: chosen with knowledge of the result, the error of 2.5 % no longer holds."
    )


def test_a_setting_has_the_same_key_in_every_arm() -> None:
    values = {"grid": {"grid": [1, 4]}, "four": 4}
    arms = {name: {"temperature": {"kind": "fixed", "value": value}} for name, value in values.items()}
    grid, four = (each.settings for each in from_mapping(plain(arms=arms)).resolved_arms)
    assert [setting.key for setting in grid if setting.label == "T=4"] == [four[0].key]
