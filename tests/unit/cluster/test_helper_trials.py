"""Helper trials: which a launch needs, and the teacher's status as they end."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from ctkd_study.cluster.helper_trials import HelperTrials
from ctkd_study.cluster.trial_feed import QueuedTrial
from ctkd_study.launch import RetryPolicy
from ctkd_study.spec import Vary
from tests.support.banks import banked
from tests.support.clocks import Clock
from trainables.config import TrialConfig


def taken(give: Callable[[], QueuedTrial | None]) -> list[QueuedTrial]:
    """All that are handed out now."""
    return list(iter(give, None))


def ids(give: Callable[[], QueuedTrial | None]) -> list[str]:
    return [trial.id for trial in taken(give)]


def seeds(folder: Path, count: int = 4) -> list[TrialConfig]:
    return [banked(folder, seed) for seed in range(count)]


def test_without_a_teacher_there_are_none() -> None:
    helpers = HelperTrials([], 3, slots=8)
    assert ids(helpers.next_preparation) == ids(helpers.next_standing_by) == []
    assert (helpers.teachers, helpers.note, helpers.not_ready) == ({}, "", frozenset())


def test_a_bank_of_many_views_is_filled_in_a_part_for_each_slot_once_the_teacher_is_trained(tmp_path: Path) -> None:
    helpers = HelperTrials(seeds(tmp_path), 0, slots=2)
    (training,) = taken(helpers.next_preparation)
    assert training.id == ".teacher"
    assert [config["teacher_source"] for config in training.config["prepare"]] == ["online"]
    assert "shard" not in training.config
    helpers.ended(".teacher", "")
    first, second = taken(helpers.next_preparation)
    assert (first.id, second.id) == (".bank-1", ".bank-2")
    assert (first.config["shard"], second.config["shard"]) == ([0, 2], [1, 2])
    for part in (first, second):
        assert [config["seed"] for config in part.config["prepare"]] == [0, 1, 2, 3]
        assert {config["teacher_source"] for config in part.config["prepare"]} == {"bank32"}


def test_a_bank_has_no_more_parts_than_trials_read_it(tmp_path: Path) -> None:
    helpers = HelperTrials(seeds(tmp_path, 2), 0, slots=8)
    assert ids(helpers.next_preparation) == [".teacher"]
    helpers.ended(".teacher", "")
    assert ids(helpers.next_preparation) == [".bank-1", ".bank-2"]


@pytest.mark.parametrize(
    ("changes", "slots"),
    [
        ({"data": {"name": "digits", "validation": 100}}, 4),  # one view
        ({"teacher_source": "online"}, 4),
        ({}, 1),
    ],
)
def test_one_trial_prepares_what_is_not_worth_dividing(tmp_path: Path, changes: dict[str, Any], slots: int) -> None:
    needing = [banked(tmp_path, seed, **changes) for seed in range(4)]
    helpers = HelperTrials(needing, 0, slots)
    (only,) = taken(helpers.next_preparation)
    assert only.id == ".teacher"
    assert {config["teacher_source"] for config in only.config["prepare"]} == {needing[0].teacher_source}
    helpers.ended(".teacher", "")
    assert helpers.teachers[0] == "bank filled"
    assert taken(helpers.next_preparation) == []


@pytest.mark.parametrize(
    ("needing", "others", "slots", "standing_by"),
    [
        (4, 0, 4, 3),  # one slot trains the teacher
        (4, 2, 4, 1),  # two slots have work of their own
        (4, 3, 4, 0),
        (4, 9, 4, 0),
        (2, 0, 8, 1),  # no more actors than trials
        (4, 0, 1, 0),
    ],
)
def test_an_actor_stands_by_for_each_slot_without_work(
    tmp_path: Path, needing: int, others: int, slots: int, standing_by: int
) -> None:
    helpers = HelperTrials(seeds(tmp_path, needing), others, slots)
    assert [trial.config for trial in taken(helpers.next_standing_by)] == [{"stand_by": True}] * standing_by


def test_the_status_of_the_teacher_follows_the_helpers(tmp_path: Path) -> None:
    helpers = HelperTrials(seeds(tmp_path), 0, slots=2)
    assert (helpers.teachers[0], helpers.note) == ("not trained", "the teacher is being made ready")
    helpers.ended(".stand-by-0", "")
    assert helpers.note == "the teacher is being made ready"
    helpers.ended(".teacher", "")
    assert (helpers.teachers[0], helpers.note) == ("trained", "the teacher's bank is being filled")
    helpers.ended(".bank-2", "")
    helpers.ended(".bank-2", "")
    assert helpers.note == "the teacher's bank is being filled"
    helpers.ended(".bank-1", "")
    assert (helpers.teachers[0], helpers.note, helpers.fault) == ("bank filled", "", "")


def test_the_first_fault_is_kept_and_final(tmp_path: Path) -> None:
    helpers = HelperTrials(seeds(tmp_path), 0, slots=2)
    helpers.ended(".teacher", "")
    helpers.ended(".bank-1", "disk full")
    helpers.ended(".bank-2", "another")
    assert (helpers.teachers[0], helpers.note, helpers.fault) == (
        "failed",
        "",
        "the teacher could not be made ready: disk full",
    )


def test_a_bank_is_not_filled_without_its_teacher(tmp_path: Path) -> None:
    helpers = HelperTrials(seeds(tmp_path), 0, slots=2)
    assert ids(helpers.next_preparation) == [".teacher"]
    helpers.ended(".teacher", "no memory")
    assert ids(helpers.next_preparation) == []


def test_nothing_stands_by_once_the_teacher_is_trained_or_has_failed(tmp_path: Path) -> None:
    for fault in ("", "no memory"):
        helpers = HelperTrials(seeds(tmp_path), 0, slots=4)
        assert helpers.next_standing_by() is not None
        assert not helpers.released(".stand-by-0")
        helpers.ended(".teacher", fault)
        assert helpers.released(".stand-by-0")
        assert not helpers.released(".bank-1")
        assert not helpers.released("kd-s0")
        assert helpers.next_standing_by() is None


def test_helpers_are_told_from_the_trials_of_a_study(tmp_path: Path) -> None:
    helpers = HelperTrials(seeds(tmp_path), 0, slots=2)
    assert all(trial_id in helpers for trial_id in (".teacher", ".bank-2", ".stand-by-0"))
    assert "teacher-0123abcd-s0" not in helpers


def test_what_was_interrupted_is_handed_out_again_after_growing_pauses(tmp_path: Path) -> None:
    clock = Clock()
    helpers = HelperTrials(seeds(tmp_path), 0, slots=2, now=clock)
    first = helpers.next_preparation()
    assert first is not None
    for number, pause in enumerate((1, 2, 4), start=2):
        given = f".teacher.{number - 1}" if number > 2 else ".teacher"
        assert helpers.interrupted(given, "the worker died")
        assert (helpers.teachers[0], helpers.fault) == ("not trained", "")
        clock.now += pause - 0.001
        assert taken(helpers.next_preparation) == []
        clock.now += 0.002
        (again,) = taken(helpers.next_preparation)
        assert (again.id, again.config) == (f".teacher.{number}", first.config)
        assert (again.id in helpers, helpers.job(again.id), helpers.released(again.id)) == (True, ".teacher", False)
    helpers.ended(".teacher.4", "")
    assert (helpers.teachers[0], ids(helpers.next_preparation)) == ("trained", [".bank-1", ".bank-2"])


def test_each_part_of_a_bank_is_tried_again_by_itself(tmp_path: Path) -> None:
    clock = Clock()
    helpers = HelperTrials(seeds(tmp_path), 0, slots=2, now=clock)
    taken(helpers.next_preparation)
    helpers.ended(".teacher", "")
    taken(helpers.next_preparation)
    for part in (".bank-2", ".bank-1"):
        assert helpers.interrupted(part, "gone")
    clock.now += 1
    assert ids(helpers.next_preparation) == [".bank-2.2", ".bank-1.2"]
    helpers.ended(".bank-1.2", "")
    assert helpers.teachers[0] == "trained"
    assert helpers.interrupted(".bank-2.2", "gone")
    clock.now += 2
    assert ids(helpers.next_preparation) == [".bank-2.3"]
    helpers.ended(".bank-2.3", "")
    assert (helpers.teachers[0], helpers.fault) == ("bank filled", "")


def test_the_teacher_fails_when_a_helper_was_interrupted_too_often(tmp_path: Path) -> None:
    clock = Clock()
    helpers = HelperTrials(seeds(tmp_path), 0, slots=2, policy=RetryPolicy(tries=2), now=clock)
    taken(helpers.next_preparation)
    assert helpers.interrupted(".teacher", "gone")
    clock.now += 1
    taken(helpers.next_preparation)
    assert not helpers.interrupted(".teacher.2", "gone for good")
    assert (helpers.teachers[0], helpers.fault) == ("failed", "the teacher could not be made ready: gone for good")
    clock.now += 100
    assert ids(helpers.next_preparation) == []


def test_one_that_stands_by_is_not_tried_again(tmp_path: Path) -> None:
    clock = Clock()
    helpers = HelperTrials(seeds(tmp_path), 0, slots=4, now=clock)
    taken(helpers.next_preparation)
    taken(helpers.next_standing_by)
    assert not helpers.interrupted(".stand-by-0", "gone")
    clock.now += 100
    assert ids(helpers.next_preparation) == ids(helpers.next_standing_by) == []
    assert helpers.teachers[0] == "not trained"


# -- several teachers ------------------------------------------------------------------------------------------------

FIVE = Vary(teacher=5)


def of_groups(folder: Path, slots: int, count: int = 10, **changes: Any) -> HelperTrials:
    """The helpers of trials with one seed each, in five groups."""
    needing = [FIVE.applied(banked(folder, 0, **changes), seed) for seed in range(count)]
    return HelperTrials(needing, 0, slots, vary=FIVE)


def test_teachers_of_groups_are_made_ready_at_the_same_time_each_for_its_own_seeds(tmp_path: Path) -> None:
    helpers = of_groups(tmp_path, slots=2)
    given = taken(helpers.next_preparation)
    assert [trial.id for trial in given] == [f".teacher-{group}" for group in range(5)]
    assert [[c["seed"] for c in trial.config["prepare"]] for trial in given] == [[g, g + 5] for g in range(5)]
    assert [{c["teacher"]["seed"] for c in trial.config["prepare"]} for trial in given] == [{g} for g in range(5)]
    assert (set(helpers.not_ready), helpers.note) == ({0, 1, 2, 3, 4}, "5 of 5 teachers are being made ready")
    helpers.ended(".teacher-3", "")
    assert (set(helpers.not_ready), helpers.note) == ({0, 1, 2, 4}, "4 of 5 teachers are being made ready")


def test_a_trained_teachers_bank_comes_before_the_next_teacher(tmp_path: Path) -> None:
    helpers = of_groups(tmp_path, slots=10)
    first, second = helpers.next_preparation(), helpers.next_preparation()
    assert first is not None
    assert second is not None
    assert [config["teacher_source"] for config in second.config["prepare"]] == ["online"]
    helpers.ended(second.id, "")
    assert ids(helpers.next_preparation) == [".bank-1-1", ".bank-2-1", ".teacher-2", ".teacher-3", ".teacher-4"]


def test_a_teacher_that_fails_keeps_only_its_own_group_from_running(tmp_path: Path) -> None:
    helpers = of_groups(tmp_path, slots=2)
    given = ids(helpers.next_preparation)
    helpers.ended(given[1], "no memory")
    assert (helpers.gave_up, set(helpers.not_ready)) == (False, {0, 1, 2, 3, 4})
    for job in (given[0], given[2], given[4]):
        helpers.ended(job, "")
    assert (helpers.gave_up, set(helpers.not_ready), helpers.note) == (
        False,
        {1, 3},
        "1 of 5 teachers are being made ready",
    )
    helpers.ended(given[3], "no disk")
    assert (helpers.gave_up, set(helpers.not_ready), helpers.note) == (True, {1, 3}, "")
    assert helpers.fault == "the teacher of group 1 and of group 3 could not be made ready: no memory"


def test_actors_stand_by_until_the_first_of_several_teachers_is_trained(tmp_path: Path) -> None:
    helpers = of_groups(tmp_path, slots=7)
    assert ids(helpers.next_standing_by) == [".stand-by-0", ".stand-by-1"]
    assert not helpers.released(".stand-by-0")
    helpers.ended(".teacher-4", "")
    assert helpers.released(".stand-by-0")
    assert ids(of_groups(tmp_path, slots=5).next_standing_by) == []
