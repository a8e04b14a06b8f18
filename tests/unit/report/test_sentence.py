"""The verdict in words, from tabulated results."""

import dataclasses
from typing import Any

import pytest

from ctkd_study.analysis.cost_ratios import CostRatio
from ctkd_study.analysis.inference import Interval
from ctkd_study.analysis.pairs import PairedDifference
from ctkd_study.analysis.strategies import evaluate
from ctkd_study.analysis.verdict import Remark, TeacherFacts, compare
from ctkd_study.report.sentence import sentence
from ctkd_study.spec import Arm
from tests.support.comparisons import CASES, until_decided
from tests.support.tabulated import arm, cost_ratio, failed, question, quickstart, strategies, trial, with_states

BASE = [95.0, 96.0, 97.0, 96.5]


def test_the_sentence_of_the_quickstart() -> None:
    assert sentence(quickstart()) == (
        "global is not worse than grid (best of 5) by more than 1.5 points (-0.26, 97.5 % interval -0.53 to +0.01), at "
        "0.2 times the TFLOP and device-seconds. "
        "instance against grid (best of 5) is undecided (-0.22, 97.5 % interval -1.83 to +1.38), at 0.2 times the "
        "TFLOP and device-seconds; about 16 more seeds would tell, if they are like these (in 8 of 10 such studies). "
        "Exploratory: student_alone is worse than grid (best of 5) by more than 1.5 points (-6.00, 95 % interval "
        "-6.04 to -5.96), at 0.2 times the TFLOP and device-seconds. "
        "Data digits, teacher resnet20 (98.1 % on test); 8 seeds, each selecting on 200 validation examples, and "
        "tested on 797 examples; margin 1.5 points; the 2 confirmed arms share a one-sided error of 2.5 %; intervals "
        "on this test set, with this teacher and split."
    )


def between(low: float, high: float, error: float = 0.025) -> tuple[Interval, ...]:
    return (Interval("on this test set", low, high, error),)


def said(states: str, given: Arm | None = None, **fields: Any) -> str:
    a, b = with_states(states)
    if given is not None:
        a = dataclasses.replace(a, arm=given)
    found = compare(question(seeds=tuple(range(len(states))), **fields), [b, a])
    return sentence(found)


@pytest.mark.parametrize(
    ("text", "words"),
    [
        (said("........"), "a is better than b (+2.09, 95 % interval"),
        (said("...-----"), "Interim look: 3 seeds of 8."),
        (said(".."), "an interval needs at least 3 seeds"),
        (said("x..."), "is undecided"),
        (said("x..."), "1 of 4 seeds had nothing left to select"),
        (said("xxxx"), "4 of 4 seeds had nothing left to select"),
        (said("----"), "No verdict for quickstart yet: no seed has all trials of two strategies."),
        (
            said("x........."),
            "; 1 of 10 seeds had nothing left to select (as bad as the worst seed, +2.00, it would still be better)",
        ),
        (said("...."), "4 seeds, each selecting on 200 validation examples, and tested on 797 examples"),
        (said("....", margin=0.2), "margin 0.2 points"),
        (said("....", teacher=None), "Data digits; 4 seeds"),
        (said("....", teacher=TeacherFacts("vgg13 from vgg13.pth")), "teacher vgg13 from vgg13.pth; 4 seeds"),
        (
            said("....", charges_teacher=True),
            "Costs include the teacher's training, one seed's looks at it, and evaluation on validation.",
        ),
        (said("....", arm("a", overrides_student=True)), "a (another student) is better"),
        (said("....", arm("a", "a", "c", overrides_epochs=True)), "a (best of 2, other epochs) is better"),
    ],
)
def test_the_sentence_says_what_it_rests_on(text: str, words: str) -> None:
    assert words in text


def test_more_than_two_hundred_seeds_are_named_as_such() -> None:
    wide = strategies({"b": BASE, "a": [125.0, 66.0, 97.0, 96.5]})
    assert "seeds differ too much for your margin: 200 more would not tell" in sentence(
        compare(question(seeds=(0, 1, 2, 3)), wide)
    )


def test_arms_without_the_teacher_come_last() -> None:
    values = {"grid": BASE, "alone": BASE, "curriculum": BASE}
    found = compare(question(seeds=(0, 1, 2, 3)), strategies(values, [arm("alone", uses_teacher=False)]))
    assert sentence(found).index("curriculum ") < sentence(found).index("alone ")
    assert [each.a for each in found.pairs] == ["alone", "curriculum"]


def test_different_costs_of_the_two_kinds_are_both_named() -> None:
    results = [trial("b", "b", seed, 90, 90 + seed / 10) for seed in range(4)]
    results += [trial("a", "a", seed, 90, 90, device_seconds=13.0, tflop=1.0) for seed in range(4)]
    both = evaluate([arm("b"), arm("a")], range(4), results, "validation")
    text = sentence(compare(question(seeds=(0, 1, 2, 3)), both))
    assert "at 0.5 times the TFLOP and 1.3 times the device-seconds" in text
    far = [trial("b", "b", seed, 90, 90 + seed / 10, device_seconds=0.1304) for seed in range(4)] + results[4:]
    both = evaluate([arm("b"), arm("a")], range(4), far, "validation")
    assert "0.5 times the TFLOP and 100 times the device-seconds" in sentence(
        compare(question(seeds=(0, 1, 2, 3)), both)
    )


ENDING = (
    ". Data digits, teacher resnet20 (98.1 % on test); 4 seeds, each selecting on 200 validation examples, and tested "
    "on 797 examples; margin 1.5 points"
)
LIMITS = "; intervals on this test set, with this teacher and split."


@pytest.mark.parametrize(
    ("changes", "clause"),
    [
        ({}, "a is better than b (+1.00, 95 % interval +0.50 to +1.50)"),
        (
            {"verdict": "not_worse"},
            "a is not worse than b by more than 1.5 points (+1.00, 95 % interval +0.50 to +1.50)",
        ),
        (
            {"verdict": "slightly_worse"},
            "a is worse than b, but by less than 1.5 points (+1.00, 95 % interval +0.50 to +1.50)",
        ),
        (
            {"confirmed": False, "intervals": between(-1.0, 2.5, 0.025 / 3)},
            "Exploratory: a is better than b (+1.00, 98.3 % interval -1.00 to +2.50)",
        ),
        ({"verdict": "worse"}, "a is worse than b by more than 1.5 points (+1.00, 95 % interval +0.50 to +1.50)"),
        ({"intervals": ()}, "a is better than b (+1.00)"),
        ({"difference": None}, "a is better than b"),
    ],
)
def test_a_clause_says_verdict_difference_and_interval(changes: dict[str, Any], clause: str) -> None:
    pair = PairedDifference("a", "b", (0, 1, 2, 3), 1.0, between(0.5, 1.5), 0.01, "better", 0, 0, False, ())
    found = compare(question(seeds=(0, 1, 2, 3)), strategies({"b": BASE, "a": BASE}))
    found = dataclasses.replace(found, pairs=(dataclasses.replace(pair, **changes),))
    ending = ENDING + (LIMITS if found.pairs[0].intervals else ".")
    assert sentence(found) == f"{clause}, at 1 times the TFLOP and device-seconds{ending}"
    bare = tuple(dataclasses.replace(summary, cost_ratio=None) for summary in found.summaries)
    assert sentence(dataclasses.replace(found, summaries=bare)) == clause + ending


LIKE_THESE = "would tell, if they are like these (in 8 of 10 such studies)"


@pytest.mark.parametrize(
    ("changes", "what"),
    [
        ({"more_seeds": 11}, f"about 11 more seeds {LIKE_THESE}"),
        ({"more_seeds": 1}, f"about 1 more seed {LIKE_THESE}"),
        ({}, "seeds differ too much for your margin: 200 more would not tell"),
        ({"difference": -0.76}, "the difference is about as large as your margin: 200 more would not tell"),
        ({"seeds": (0, 1, 2), "more_seeds": 11}, f"about 11 more seeds {LIKE_THESE}"),
        ({"seeds": (0, 1), "more_seeds": 11}, "an interval needs at least 3 seeds"),
        ({"dropped": 2, "too_many_dropped": True}, "2 of 6 seeds had nothing left to select"),
        ({"seeds": (), "dropped": 1, "too_many_dropped": True}, "1 of 1 seed had nothing left to select"),
    ],
)
def test_what_is_undecided_says_what_would_tell(changes: dict[str, Any], what: str) -> None:
    pair = PairedDifference("a", "b", (0, 1, 2, 3), 1.0, between(-2.5, 4.5), 0.5, "undecided", None, 0, False, ())
    found = compare(question(seeds=(0, 1, 2, 3)), strategies({"b": BASE, "a": BASE}))
    text = sentence(dataclasses.replace(found, pairs=(dataclasses.replace(pair, **changes),)))
    difference = f"{changes.get('difference', 1.0):+.2f}, 95 % interval -2.50 to +4.50"
    assert text.startswith(f"a against b is undecided ({difference}), at 1 times the TFLOP and device-seconds")
    assert f" and device-seconds; {what}. " in text


@pytest.mark.parametrize(
    ("ratio", "said"),
    [
        (cost_ratio(0.2, 0.2), "0.2 times the TFLOP and device-seconds"),
        (cost_ratio(1.0, 1.04), "1 times the TFLOP and device-seconds"),
        (cost_ratio(0.2, 0.213), "0.2 times the TFLOP and 0.21 times the device-seconds"),
        (cost_ratio(0.2, 0.2, 0.05), "0.2 times the TFLOP and 0.2 times the device-seconds (0.15 to 0.25)"),
        (cost_ratio(99.5, 99.4), "100 times the TFLOP and 99 times the device-seconds"),
        (cost_ratio(27.0, 1234.5), "27 times the TFLOP and 1,234 times the device-seconds"),
    ],
)
def test_costs_are_said_with_two_digits(ratio: CostRatio, said: str) -> None:
    found = compare(question(seeds=(0, 1, 2, 3)), strategies({"b": BASE, "a": BASE}))
    summaries = (found.summaries[0], dataclasses.replace(found.summaries[1], cost_ratio=ratio))
    assert f", at {said}. Data" in sentence(dataclasses.replace(found, summaries=summaries))


def test_no_verdict_says_why() -> None:
    paper = (
        "No verdict for quickstart: protocol 'paper' selects epochs and settings by test accuracy, so its accuracies "
        "are too high, by an amount that differs between strategies. {} protocol 'validation' for a verdict."
    )
    assert sentence(CASES["paper"]) == paper.format("Means and costs stand; use")
    nothing = compare(question(protocol="paper"), evaluate([arm("a")], range(8), [], "paper"))
    assert sentence(nothing) == paper.format("Use")
    assert sentence(CASES["empty"]) == "No verdict for quickstart yet: no seed has all trials of two strategies."


def test_numbers_of_seeds_that_differ_are_a_range_and_a_look_may_be_interim() -> None:
    assert " Interim look: 10 to 11 seeds of 20. Data digits, teacher <script>" in sentence(CASES["battered"])
    assert "; 10 to 11 seeds, each selecting on 200 validation examples, and tested on its test set;" in sentence(
        CASES["battered"]
    )
    assert " Interim look: 1 seed of 8. Data digits" in said(".-------")
    assert "Interim" not in said("....")
    assert "; no seed with a result of two strategies, each selecting" in said("xxxx")


def test_arms_are_described_and_the_teacher_is_named_as_far_as_known() -> None:
    both = arm("a", "a", "c", overrides_student=True, overrides_epochs=True)
    assert said("....", both).startswith("a (best of 2, another student, other epochs) is better than b (+2.07, 95 % ")
    limits = "on 797 examples; margin 1.5 points; intervals on this test set, with this"
    ending = f"; 4 seeds, each selecting on 200 validation examples, and tested {limits}"
    assert said("....", teacher=TeacherFacts("vgg13")).endswith(
        f". Data digits, teacher vgg13{ending} teacher and split."
    )
    assert said("....", teacher=None).endswith(f". Data digits{ending} split.")


# -- seeds that are added until it is decided ------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("changes", "clause"),
    [
        ({"seeds": 7}, "-3.49 to +4.49), at 0.5 times the TFLOP and device-seconds; the next look is at 8 seeds."),
        ({"seeds": 4}, "undecided (+0.25), at 0.5 times the TFLOP and device-seconds; the first look is at 5 seeds."),
        ({"seeds": 20}, "instance is not worse than grid (best of 2) by more than 1.5 points (+0.38, repeated 97.5 % "),
        ({"seeds": 20}, "device-seconds; decided at look 9 of at most 16."),
        ({"looks": (5, 6, 7)}, "; given up at look 2 of 3: a decision by 7 seeds had a chance below 10 %."),
        ({"looks": (5, 7)}, "; not decided at any of the 2 looks, the last at 7 seeds."),
        ({"device_seconds": 1.0}, "; the budget ended it after 1 look of at most 16."),
    ],
)
def test_each_arm_says_at_which_look_it_was_decided_or_why_there_is_no_other(
    changes: dict[str, Any], clause: str
) -> None:
    found = until_decided(**changes)
    said = sentence(found)
    assert clause in said
    assert ("Interim look" in said) == found.interim == ("look is at" in said)
    assert "decided at look 1 of" in said or changes == {"seeds": 4}
    alone = said[said.index("alone is worse") :]
    assert " look" not in alone[: alone.index(".", alone.index("TFLOP"))], "it is not confirmed"


def test_the_gravest_remark_ends_the_sentence() -> None:
    mild = Remark("grid_end", "grid", "grid: 8 of 8 seeds keep an end.")
    grave = [Remark("student_guesses", arm, f"{arm} guesses.", grave=True) for arm in ("global", "grid", "alone")]
    plain = sentence(quickstart())
    for said, ending in (
        ((mild,), ""),
        ((grave[0], mild), " Caution: global guesses."),
        ((*grave[:2], mild), " Caution: global guesses. (1 more warning like this.)"),
        (grave, " Caution: global guesses. (2 more warnings like this.)"),
    ):
        assert sentence(dataclasses.replace(quickstart(), remarks=tuple(said))) == plain + ending


def test_a_setting_that_never_worked_is_not_counted_and_what_was_set_after_looking_is_said() -> None:
    arms = (arm("grid", "T=1", "T=4", "T=9", fixed=True), arm("a"))
    results = [trial("grid", f"T={value}", seed, 90, 90 + seed) for value in (1, 4) for seed in range(4)]
    results += [failed("grid", "T=9", seed) for seed in range(4)] + [trial("a", "a", seed, 90, 91) for seed in range(4)]
    found = compare(question(seeds=(0, 1, 2, 3)), evaluate(arms, range(4), results, "validation"))
    assert "a against grid (best of the 2 of 3 that worked) is" in sentence(found)
    assert "after looking" not in sentence(found)
    later = dataclasses.replace(found, set_after_looking=("margin", "baseline"))
    assert sentence(later).endswith(". Margin, baseline set after looking.")
