"""Arms, settings and planned trials: ids, configurations, what an arm says of its settings, and what is due."""

import functools
import time
from collections.abc import Sequence
from typing import Any, Literal

import pytest

from ctkd_study.spec import Arm, from_mapping, grid
from tests.support.studies import plain
from trainables.record import Manifest
from trainables.temperatures.fixed import FixedOptions

FIXED = {"temperature": {"kind": "fixed", "value": grid(1, 4)}}
LEARNED = {"temperature": {"kind": "global"}}


def arms(**blocks: Any) -> tuple[Arm, ...]:
    """The resolved arms of the small study with these blocks."""
    return from_mapping(plain(arms=blocks)).resolved_arms


@functools.cache
def two_by_two() -> Arm:
    """An arm of four settings: T in (1, 4) times epochs in (2, 3)."""
    (arm,) = arms(a={**FIXED, "recipe": {"epochs": grid(2, 3)}})
    return arm


def record(trial: str, status: Literal["running", "finished", "failed"]) -> Manifest:
    """A trial's record with this status."""
    return Manifest(
        study="small",
        uid="u",
        trial=trial,
        arm="a",
        setting="s",
        seed=0,
        fingerprint="f",
        config={},
        attempt=1,
        epoch=1,
        epochs=2,
        status=status,
    )


# -- settings and trials ---------------------------------------------------------------------------------------------


def test_a_trial_is_its_setting_with_a_seed() -> None:
    setting = two_by_two().settings[2]
    trial = setting.trial(7)
    assert (trial.setting, trial.seed, trial.arm) == (setting, 7, "a")
    assert trial.id == f"a-{setting.key}-s7"
    assert trial.config.seed == 7
    assert trial.config == setting.config.model_copy(update={"seed": 7})
    assert setting.config.seed == 0, "the setting itself has no seed yet"


def test_an_id_is_the_same_from_version_to_version() -> None:
    (arm,) = arms(four={"temperature": {"kind": "fixed", "value": 4}})
    assert [trial.id for trial in arm.due(3, {})] == ["four-ef9668bb-s3"]


# -- arms ------------------------------------------------------------------------------------------------------------


def test_arms_keep_the_order_of_the_file_and_of_their_grids() -> None:
    found = arms(b=FIXED, a=LEARNED)
    assert [arm.name for arm in found] == ["b", "a"]
    assert [[setting.label for setting in arm.settings] for arm in found] == [["T=1", "T=4"], ["a"]]
    assert all(setting.arm == arm.name for arm in found for setting in arm.settings)
    tried = [(s.config.temperature, s.config.recipe.epochs) for s in two_by_two().settings]
    assert tried == [(FixedOptions(value=t), epochs) for t in (1, 4) for epochs in (2, 3)]


def test_the_flat_view_is_that_of_the_arms() -> None:
    spec = from_mapping(plain(arms={"b": FIXED, "a": LEARNED}))
    assert spec.settings() == (*spec.resolved_arms[0].settings, *spec.resolved_arms[1].settings)
    assert spec.arms == {arm.name: arm.block for arm in spec.resolved_arms}


def test_a_copy_has_arms_of_its_own() -> None:
    spec = from_mapping(plain(arms={"a": LEARNED}))
    copy = spec.model_copy(update={"arms": {"b": {"temperature": {"kind": "fixed", "value": 2.0}}}})
    assert [(arm.name, arm.settings[0].label) for arm in copy.resolved_arms] == [("b", "T=2")]
    assert [arm.name for arm in spec.resolved_arms] == ["a"]
    assert spec.model_copy() == spec


MIXED_KINDS = {"temperature": {"kind": grid("global", "instance")}}


@pytest.mark.parametrize(
    ("block", "fixed"),
    [
        (FIXED, True),
        (LEARNED, False),
        (MIXED_KINDS, False),
        ({"distiller": {"name": "none"}}, False),
        ({"temperature": {"kind": "fixed", "value": 4}}, True),
    ],
)
def test_an_arm_is_fixed_if_every_setting_holds_one_temperature(block: dict[str, Any], fixed: bool) -> None:
    (arm,) = arms(a=block)
    assert arm.fixed is fixed


@pytest.mark.parametrize(
    ("block", "uses_teacher"), [(FIXED, True), (LEARNED, True), ({"distiller": {"name": "none"}}, False)]
)
def test_an_arm_knows_whether_it_uses_the_teacher(block: dict[str, Any], uses_teacher: bool) -> None:
    (arm,) = arms(a=block)
    assert arm.uses_teacher is uses_teacher


@pytest.mark.parametrize(
    ("changes", "student", "epochs"),
    [
        ({}, False, False),
        ({"student": {"model": "resnet8"}, "recipe": {"epochs": 3, "lr": 0.2}}, False, False),
        ({"student": {"model": grid("resnet8", "resnet20")}}, True, False),
        ({"recipe": {"epochs": grid(3, 2)}}, False, True),
    ],
    ids=["nothing", "the same again", "one other student", "one other length"],
)
def test_an_arm_overrides_what_any_of_its_settings_does(changes: dict[str, Any], student: bool, epochs: bool) -> None:
    (arm,) = arms(a={**LEARNED, **changes})
    assert (arm.overrides_student, arm.overrides_epochs) == (student, epochs)


# -- what is due -----------------------------------------------------------------------------------------------------


def due(records: Sequence[Manifest], seed: int = 0) -> list[tuple[int, int]]:
    """The due trials of the arm of four: (place of the setting, seed) of each."""
    arm = two_by_two()
    found = arm.due(seed, {record.trial: record for record in records})
    return [(arm.settings.index(trial.setting), trial.seed) for trial in found]


def test_all_trials_of_a_grid_are_due_at_once() -> None:
    assert due([]) == [(0, 0), (1, 0), (2, 0), (3, 0)]
    assert due([], seed=5) == [(0, 5), (1, 5), (2, 5), (3, 5)]


def test_a_trial_is_due_until_it_has_ended() -> None:
    ids = [setting.trial(0).id for setting in two_by_two().settings]
    records = [record(ids[0], "running"), record(ids[1], "finished"), record(ids[2], "failed")]
    assert due(records) == [(0, 0), (3, 0)]
    assert due([record(id, "finished") for id in ids]) == []


def test_records_of_other_seeds_and_arms_do_not_count() -> None:
    settings = two_by_two().settings
    others = [settings[0].trial(1).id, settings[1].trial(0).id.replace("a-", "b-", 1)]
    assert due([record(other, "finished") for other in others]) == [(0, 0), (1, 0), (2, 0), (3, 0)]


# -- speed -----------------------------------------------------------------------------------------------------------


def test_a_large_study_is_read_fast() -> None:
    values, rates = [1 + i / 10 for i in range(100)], [i / 100 for i in range(1, 11)]
    block = {"temperature": {"kind": "fixed", "value": grid(*values)}, "recipe": {"lr": grid(*rates)}}
    began = time.process_time()
    spec = from_mapping(plain(arms={"a": block}, seeds=5))
    assert time.process_time() - began < 2  # 0.08 s on a free core
    assert len(spec.resolved_arms[0].due(0, {})) == 1000
