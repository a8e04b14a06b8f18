"""A study goes on only with the trials that it recorded; what changed is told key by key."""

from pathlib import Path

import pytest

from ctkd_study.errors import ChangedStudyError
from ctkd_study.records import StudyFolder, refuse_changes
from ctkd_study.records.changes import differences
from ctkd_study.spec import from_mapping
from tests.support.studies import plain
from trainables.record import Manifest
from trainables.storage import Storage
from trainables.trial import describe


@pytest.mark.parametrize(
    ("old", "new", "lines"),
    [
        ({}, {}, []),
        ({"a": 1}, {"a": 1}, []),
        ({}, {"a": 1}, ["a: null -> 1"]),
        ({"a": 1}, {}, ["a: 1 -> null"]),
        ({"a": {"b": 1, "c": 2}}, {"a": {"b": 1, "c": "x"}}, ['a.c: 2 -> "x"']),
        ({"a": {"b": 1}}, {"a": None}, ['a: {"b": 1} -> null']),
        ({"z": 1, "a": 1}, {"b": 2, "a": 2}, ["z: 1 -> null", "a: 1 -> 2", "b: null -> 2"]),
        ({"a": [1, 2]}, {"a": [2, 1]}, ["a: [1, 2] -> [2, 1]"]),
    ],
)
def test_differences_name_each_key_once(old: object, new: object, lines: list[str]) -> None:
    assert differences(old, new) == lines


def test_a_changed_study_is_refused_with_what_differs_and_how_many_trials(tmp_path: Path) -> None:
    folder = StudyFolder(Storage.at(str(tmp_path)), "small")
    before, after = from_mapping(plain()), from_mapping(plain(recipe={"epochs": 3, "lr": 0.1}, margin=1))
    trials = [setting.trial(seed) for setting in before.settings() for seed in before.seeds]
    recorded: dict[str, Manifest] = {trial.id: describe(trial.config, [], None, status="running") for trial in trials}
    refuse_changes(folder, trials, recorded)
    changed = [setting.trial(seed) for setting in after.settings() for seed in after.seeds]
    refuse_changes(folder, changed, {})
    with pytest.raises(ChangedStudyError) as refused:
        refuse_changes(folder, changed, recorded)
    said = str(refused.value).splitlines()
    assert said[0] == f"small has trials in {tmp_path}/small that the study file no longer describes:"
    counted = f"(3 trials, e.g. {trials[0].id})"
    assert said[1:-1] == [f"  {key}.lr: 0.05 -> 0.1    {counted}" for key in ("teacher.recipe", "recipe")]
    assert "--fresh" in said[-1]
