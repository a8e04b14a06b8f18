"""What runs next, of a study with two arms and two seeds."""

from typing import get_args

import pytest

from ctkd_study.plan import due, make_plan
from ctkd_study.spec import StudySpec, from_mapping
from tests.support.studies import plain
from trainables.record import Manifest, Status

FOUR = {"temperature": {"kind": "fixed", "value": 4}}


def study() -> StudySpec:
    two = {"temperature": {"kind": "fixed", "value": {"grid": [2, 8]}}}
    return from_mapping(plain(arms={"grid": two, "four": FOUR}, seeds=[5, 3]))


def manifest(trial_id: str, status: Status) -> Manifest:
    return Manifest(
        study="small", uid="u", trial=trial_id, arm="a", setting="T=4", seed=0, fingerprint="f", config={}, attempt=1,
        epoch=1, epochs=3, status=status,
    )  # fmt: skip


def shown(trials: object) -> list[tuple[str, str, int]]:
    assert isinstance(trials, tuple)
    return [(trial.arm, trial.setting.label, trial.seed) for trial in trials]


ALL = [
    *(("grid", "T=2", 5), ("grid", "T=8", 5), ("four", "T=4", 5)),
    *(("grid", "T=2", 3), ("grid", "T=8", 3), ("four", "T=4", 3)),
]


def test_all_is_due_at_first_seed_by_seed_and_in_the_order_of_the_file() -> None:
    assert shown(due(study(), {})) == ALL
    assert shown(make_plan(study()).trials) == ALL
    assert make_plan(study()).spec == study()


@pytest.mark.parametrize("status", get_args(Status))
def test_what_has_ended_is_not_due_and_what_was_interrupted_is(status: Status) -> None:
    ids = [trial.id for trial in due(study(), {})]
    left = shown(due(study(), {ids[1]: manifest(ids[1], status)}))
    assert left == (ALL if status == "running" else [ALL[0], *ALL[2:]])


def test_nothing_is_due_when_all_have_ended() -> None:
    records = {trial.id: manifest(trial.id, "finished") for trial in due(study(), {})}
    assert due(study(), records) == ()


def test_records_of_trials_that_are_no_longer_planned_do_not_matter() -> None:
    assert shown(due(study(), {"gone-00000000-s5": manifest("gone-00000000-s5", "running")})) == ALL
