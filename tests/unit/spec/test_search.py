"""Searched arms: how they are written, what they suggest, and what is due of them."""

import functools
import statistics
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Literal

import pytest

from ctkd_study import choice, grid, loguniform, uniform
from ctkd_study.errors import SpecError
from ctkd_study.spec import Arm, PlannedTrial, from_mapping, samplers, warnings
from ctkd_study.spec.samplers import Dimension, Seen, suggest
from ctkd_study.spec.search import SearchedArm
from tests.support.studies import Expected, assert_faults, file_with, plain, read
from trainables.record import Manifest, Summary

T = Dimension(("temperature", "value"), "loguniform", (1.0, 16.0))
RATE = Dimension(("recipe", "lr"), "uniform", (0.01, 0.5))


@functools.cache
def arm(by: str = "tpe", settings: int = 4, **options: Any) -> SearchedArm:
    """An arm that searches T between 1 and 16."""
    block = {
        "temperature": {"kind": "fixed", "value": loguniform(1, 16)},
        "search": {"by": by, "settings": settings, **options},
    }
    (found,) = from_mapping(plain(arms={"s": block})).resolved_arms
    assert isinstance(found, SearchedArm)
    return found


def record(
    trial: PlannedTrial, top1: float | None, status: Literal["running", "finished", "failed"] = "finished"
) -> Manifest:
    """A trial's record with this validation accuracy."""
    setting = trial.setting
    return Manifest(
        study="small",
        uid="u",
        trial=trial.id,
        arm=trial.arm,
        setting=setting.label,
        suggestion=setting.suggestion,
        search=dict(setting.search or {}),
        seed=trial.seed,
        fingerprint="f",
        config=trial.config.identity(),
        attempt=1,
        epoch=1,
        epochs=1,
        status=status,
        summary=Summary(val_top1=top1),
    )


def temperature(trial: PlannedTrial) -> float:
    return float(trial.config.temperature.value)  # type: ignore[union-attr]


def searched(of: Arm, seed: int = 0, failing: Sequence[int] = ()) -> dict[str, Manifest]:
    """Run an arm's search to its end; accuracy is best at T = 4. Returns the records, in the order of the trials."""
    records: dict[str, Manifest] = {}
    while due := of.due(seed, records):
        (trial,) = due
        fails = trial.setting.suggestion in failing
        top1 = None if fails else 100 - (temperature(trial) - 4) ** 2
        records[trial.id] = record(trial, top1, "failed" if fails else "finished")
    return records


def accuracies(records: Mapping[str, Manifest]) -> list[float]:
    return [each.summary.val_top1 for each in records.values() if each.summary.val_top1 is not None]


# -- writing ---------------------------------------------------------------------------------------------------------

SEARCH = "search: {by: tpe, settings: 4}"
FAULTS: Mapping[str, tuple[str, Expected]] = {
    "no search": (
        "temperature: {kind: fixed, value: {uniform: [1, 8]}}",
        [(10, "arms.four.temperature.value.uniform", "needs `search: {by: tpe, settings: N}` in its arm")],
    ),
    "no distribution": (
        f"temperature: {{kind: fixed, value: 4}}, {SEARCH}",
        [(10, "arms.four.search", "a search needs a distribution")],
    ),
    "a grid beside it": (
        f"temperature: {{kind: fixed, value: {{uniform: [1, 8]}}}}, recipe: {{lr: {{grid: [0.1, 0.2]}}}}, {SEARCH}",
        [(10, "arms.four.recipe.lr.grid", "cannot stand in one arm")],
    ),
    "no way to search": (
        "temperature: {kind: fixed, value: {uniform: [1, 8]}}, search: {by: best, settings: 0, at: 1}",
        [
            (10, "arms.four.search.by", 'must be one of tpe, random, cmaes, gp, but got "best"'),
            (10, "arms.four.search.settings", "must be at least 1, but got 0"),
            (10, "arms.four.search.at", "unknown key"),
        ],
    ),
    "an end is not valid": (
        f"temperature: {{kind: fixed, value: {{uniform: [-1, 8]}}}}, {SEARCH}",
        [(10, "arms.four.temperature.value", "must be at least 0.01, but got -1")],
    ),
    "a value is not valid": (
        f"temperature: {{kind: fixed, value: {{choice: [1, true]}}}}, {SEARCH}",
        [(10, "arms.four.temperature.value", "must be a number, but got true")],
    ),
    "the ends are the wrong way round": (
        f"temperature: {{kind: fixed, value: {{uniform: [8, 1]}}}}, {SEARCH}",
        [(10, "arms.four.temperature.value", "uniform must be a list of two numbers [a, b] with a < b, but got")],
    ),
    "the logarithm of 0": (
        f"recipe: {{lr: {{loguniform: [0, 1]}}}}, temperature: {{kind: global}}, {SEARCH}",
        [(10, "arms.four.recipe.lr", "with 0 < a < b, but got [0, 1]")],
    ),
    "one choice": (
        f"temperature: {{kind: fixed, value: {{choice: [1]}}}}, {SEARCH}",
        [(10, "arms.four.temperature.value", "a choice must be a list of at least two values, but got [1]")],
    ),
    "a choice twice": (
        f"temperature: {{kind: fixed, value: {{choice: [1, 2, 1.0]}}}}, {SEARCH}",
        [(10, "arms.four.temperature.value.choice[2]", "a choice must hold no value twice")],
    ),
    "a range of text": (
        f"temperature: {{kind: {{uniform: [1, 2]}}}}, {SEARCH}",
        [(10, "arms.four.temperature.kind", "must be one of")] * 2,
    ),
    "more settings than there are": (
        "temperature: {kind: fixed, value: {choice: [1, 2, 4]}}, search: {by: random, settings: 4}",
        [(10, "arms.four.search.settings", "must be at most 3, the number of different settings, but got 4")],
    ),
    "no such scheduler": (
        "temperature: {kind: fixed, value: 4}, scheduler: best",
        [(10, "arms.four.scheduler.by", 'must be one of asha, hyperband, median, but got "best"')],
    ),
    "a scheduler without sense": (
        "temperature: {kind: fixed, value: 4}, scheduler: {by: asha, grace: 0, factor: 1}",
        [
            (10, "arms.four.scheduler.grace", "must be at least 1, but got 0"),
            (10, "arms.four.scheduler.factor", "must be at least 2, but got 1"),
        ],
    ),
    "cmaes of one number": (
        "temperature: {kind: fixed, value: {uniform: [1, 2]}}, search: {by: cmaes, settings: 4}",
        [(10, "arms.four.search.by", "cmaes searches two or more ranges of numbers")],
    ),
}


@pytest.mark.parametrize("case", FAULTS)
def test_faults(case: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("ctkd_study.spec.search.missing_package", lambda by: None)
    arm, expected = FAULTS[case]
    with pytest.raises(SpecError) as caught:
        read(tmp_path, file_with({10: f"  four: {{{arm}}}"}))
    found = {str(fault): fault for fault in caught.value.faults}
    assert_faults(list(found.values()), expected)


def test_a_distribution_stands_only_in_an_arm(tmp_path: Path) -> None:
    with pytest.raises(SpecError, match=r"recipe.epochs: a distribution may stand only at a scalar of an arm"):
        read(tmp_path, file_with({5: "recipe: {epochs: {uniform: [1, 3]}}"}))


def test_a_package_that_is_missing_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(samplers, "find_spec", lambda name: None)
    block = "temperature: {kind: fixed, value: {uniform: [1, 2]}}, recipe: {lr: {uniform: [0.1, 0.2]}}"
    with pytest.raises(SpecError, match="cmaes needs the package cmaes, which is not installed"):
        read(tmp_path, file_with({10: f"  four: {{{block}, search: {{by: cmaes, settings: 4}}}}"}))


def test_an_arm_keeps_its_distributions_as_validated() -> None:
    assert arm().block == {
        "temperature": {"kind": "fixed", "value": {"loguniform": [1.0, 16.0]}},
        "search": {"by": "tpe", "settings": 4, "startup": 5},
    }
    assert arm().size == 4
    assert [setting.label for setting in arm().settings] == ["T=1", "T=16"]
    assert arm().fixed
    spec = from_mapping(plain(arms={"s": arm().block}))
    assert spec.resolved_arms == (arm(),)
    assert from_mapping(spec.plain()).resolved_arms == spec.resolved_arms == spec.model_copy().resolved_arms


def test_a_search_that_is_random_throughout_is_warned_of() -> None:
    block = {"temperature": {"kind": "fixed", "value": uniform(1, 2)}, "search": {"by": "gp", "settings": 5}}
    found = warnings(from_mapping(plain(arms={"s": block, "one": {"temperature": {"kind": "fixed", "value": 1}}})))
    assert [text for text in found if "drawn at random" in text] == [
        "arms.s: all 5 settings are drawn at random; lower search.startup"
    ]
    assert not [text for text in found if "trained twice" in text], "the ends of a range are not trained"


# -- what is due -----------------------------------------------------------------------------------------------------


def test_one_trial_of_a_seed_is_due_at_a_time() -> None:
    (first,) = arm().due(0, {})
    assert (first.setting.suggestion, first.setting.search) == (1, arm().searched)
    running = {first.id: record(first, 50.0, "running")}
    assert arm().due(0, running) == arm().due(0, {}) == (first,)
    ended = {first.id: record(first, 50.0)}
    (second,) = arm().due(0, ended)
    assert second.setting.suggestion == 2
    assert arm().trials(0, ended) == (first, second)


def test_seeds_and_arms_search_for_themselves() -> None:
    twin = SearchedArm("other", arm().settings, arm().block, arm().search, arm().space, arm().setting_of)
    found = [temperature(arm().due(seed, {})[0]) for seed in range(20)] + [temperature(twin.due(0, {})[0])]
    assert len(set(found)) == 21
    assert all(1 <= value <= 16 for value in found)


def test_a_trial_is_the_setting_that_one_would_write() -> None:
    (trial,) = arm().due(3, {})
    value = temperature(trial)
    assert trial.setting.label == f"T={value:.6g}"
    (written,) = from_mapping(plain(arms={"s": {"temperature": {"kind": "fixed", "value": value}}})).settings()
    assert trial.id == written.trial(3).id


@pytest.mark.parametrize("by", ["random", "tpe", "gp"])
def test_a_search_goes_on_as_if_it_had_never_ended(by: str) -> None:
    whole = searched(arm(by, 8))
    assert list(searched(arm(by, 4))) == list(whole)[:4]
    suggest.cache_clear()
    for done in (0, 1, 5, 7):
        kept = dict(list(whole.items())[:done])
        (following,) = arm(by, 8).due(0, kept)
        assert following.id == list(whole)[done]
    assert not arm(by, 8).due(0, whole)


@pytest.mark.parametrize("by", ["tpe", "gp"])
def test_a_search_finds_what_is_good(by: str) -> None:
    """Its later settings are better than those drawn at random."""
    found = [accuracies(searched(arm(by, 12), seed)) for seed in range(3)]
    early, late = [top1 for each in found for top1 in each[:5]], [top1 for each in found for top1 in each[7:]]
    assert statistics.median(late) > statistics.median(early)
    assert max(late) > 99.5


def test_a_failed_trial_is_part_of_the_search() -> None:
    whole = searched(arm("tpe", 8), failing=(2, 6))
    assert [each.status for each in whole.values()].count("failed") == 2
    assert len(whole) == 8


def test_a_trial_that_is_tried_again_keeps_its_place() -> None:
    whole = searched(arm("tpe", 8), failing=(6,))
    forgotten = {key: each for key, each in whole.items() if each.status != "failed"}
    (again,) = arm("tpe", 8).due(0, forgotten)
    assert again.id == list(whole)[5]
    assert [trial.id for trial in arm("tpe", 8).trials(0, forgotten)] == list(whole)


def test_records_of_another_search_are_not_its_history() -> None:
    whole = searched(arm("random", 3))
    assert [trial.setting.suggestion for trial in arm("tpe", 3).trials(0, whole)] == [1]


# -- suggestions -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("by", ["tpe", "gp"])
def test_what_was_seen_decides(by: Literal["tpe", "gp"]) -> None:
    values = (8.8, 7.5, 1.5, 1.4, 3.3)
    low, high = (tuple(Seen((value,), sign * value) for value in values) for sign in (-1, 1))
    (from_low,), (from_high,) = suggest(by, 5, (T,), low, "s", 0), suggest(by, 5, (T,), high, "s", 0)
    assert from_low < 4 < from_high
    assert suggest("random", 5, (T,), low, "s", 0) == suggest("random", 5, (T,), high, "s", 0)


@pytest.mark.parametrize("by", ["random", "tpe", "gp"])
def test_no_setting_is_tried_twice(by: Literal["random", "tpe", "gp"]) -> None:
    space = (Dimension(("a",), "choice", ("x", "y")), Dimension(("b",), "uniform", (1, 4)))
    seen: list[Seen] = []
    for _ in range(8):
        values = suggest(by, 2, space, tuple(seen), "s", 0)
        seen.append(Seen(values, 50.0 + (values[1] if values[0] == "x" else 0)))
    assert {each.values for each in seen} == {(a, b) for a in "xy" for b in range(1, 5)}
    assert all(isinstance(each.values[1], int) for each in seen)


def test_values_are_rounded_and_stay_in_their_range() -> None:
    narrow = Dimension(("a",), "uniform", (1.23456789, 1.234568))
    assert (T.rounded(3.14159265), T.rounded(16.0), T.rounded(1.0000001)) == (3.14159, 16.0, 1.0)
    assert narrow.rounded(1.2345679) == 1.234568
    assert narrow.rounded(1.23456789) == 1.234568
    assert Dimension(("a",), "uniform", (1.0, 1.23456789)).rounded(1.23456789) == 1.23456789
    assert Dimension(("a",), "choice", (1.23456789, 2.0)).rounded(1.23456789) == 1.23456789


def test_suggestions_are_the_same_from_version_to_version() -> None:
    assert suggest("random", 5, (T, RATE), (), "s", 0) == (8.77275, 0.248937)


@pytest.mark.parametrize("written", [choice(1, 4, 16), uniform(1, 16), loguniform(1, 16)])
def test_each_distribution_is_searched(written: dict[str, list[Any]]) -> None:
    block = {"temperature": {"kind": "fixed", "value": written}, "search": {"by": "random", "settings": 3}}
    (found,) = from_mapping(plain(arms={"s": block})).resolved_arms
    assert len({temperature(trial) for seed in range(5) for trial in found.due(seed, {})}) > 1


def test_options_of_any_part_may_be_searched() -> None:
    block = {
        "temperature": {"kind": choice("global", "instance")},
        "recipe": {"epochs": uniform(2, 9), "lr": loguniform(0.01, 0.5)},
        "search": {"by": "random", "settings": 3},
    }
    (found,) = from_mapping(plain(arms={"s": block})).resolved_arms
    settings = [trial.setting for seed in range(9) for trial in found.due(seed, {})]
    assert {setting.config.temperature.kind for setting in settings} == {"global", "instance"}  # type: ignore[union-attr]
    assert {type(setting.config.recipe.epochs) for setting in settings} == {int}
    assert all(label.count("=") == 3 for label in (setting.label for setting in settings))
    assert grid(1) == {"grid": [1]}


# -- schedulers ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("written", ["asha", {"by": "asha"}, {"by": "asha", "grace": 1, "factor": 4}])
def test_a_scheduler_is_part_of_its_arm_but_not_of_its_trials(written: Any) -> None:
    block = {"temperature": {"kind": "fixed", "value": grid(1, 4)}}
    plainly, stopped = from_mapping(plain(arms={"a": block, "b": {**block, "scheduler": written}})).resolved_arms
    assert "scheduler" not in plainly.block
    assert stopped.block["scheduler"] == {"by": "asha", "grace": 1, "factor": 4}
    assert [setting.scheduler for setting in plainly.settings] == [None, None]
    assert [setting.scheduler for setting in stopped.settings] == [stopped.block["scheduler"]] * 2
    assert [setting.key for setting in stopped.settings] == [setting.key for setting in plainly.settings]
    again = from_mapping(plain(arms={"a": plainly.block, "b": stopped.block}))
    assert again.resolved_arms == (plainly, stopped)


def test_a_searched_trial_has_the_scheduler_of_its_arm() -> None:
    block = {**arm().block, "scheduler": {"by": "median", "grace": 2}}
    (found,) = from_mapping(plain(arms={"s": block})).resolved_arms
    (trial,) = found.due(0, {})
    assert trial.setting.scheduler == {"by": "median", "grace": 2, "factor": 4}


def test_a_stopped_trial_tells_the_search_what_it_reached() -> None:
    whole = searched(arm("tpe", 7))
    stopped = {key: each.model_copy(update={"status": "stopped"}) for key, each in whole.items()}
    assert arm("tpe", 8).due(0, stopped) == arm("tpe", 8).due(0, whole)


def test_protocol_paper_takes_no_scheduler(tmp_path: Path) -> None:
    lines = {2: "data: {name: digits, validation: 0}", 11: "protocol: paper"}
    with pytest.raises(SpecError, match="protocol 'paper' does not have"):
        read(tmp_path, file_with({**lines, 10: "  four: {temperature: {kind: fixed, value: 4}, scheduler: asha}"}))
