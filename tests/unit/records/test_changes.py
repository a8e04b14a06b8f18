"""A study goes on only with the trials that it recorded; what changed is told key by key."""

from pathlib import Path
from typing import Any

import pytest

from ctkd_study.errors import ChangedStudyError
from ctkd_study.records import StudyFolder, refuse_changes
from ctkd_study.records.changes import differences
from ctkd_study.spec import from_mapping
from tests.support.studies import plain
from trainables.inputs import Inputs
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
    refuse_changes(folder, [], trials, recorded)
    changed = [setting.trial(seed) for setting in after.settings() for seed in after.seeds]
    refuse_changes(folder, [], changed, {})
    with pytest.raises(ChangedStudyError) as refused:
        refuse_changes(folder, [], changed, recorded)
    said = str(refused.value).splitlines()
    assert said[0] == f"small has trials in {tmp_path}/small that the study file no longer describes:"
    counted = f"(3 trials, e.g. {trials[0].id})"
    assert said[1:-1] == [f"  {key}.lr: 0.05 -> 0.1    {counted}" for key in ("teacher.recipe", "recipe")]
    assert "--fresh" in said[-1]


A, B = "a" * 64, "b" * 64


def study_of(folder: Path, *inputs: dict[str, Any]) -> tuple[StudyFolder, list[Any], dict[str, Manifest]]:
    """A study whose three trials, or the first of them, have read this."""
    spec = from_mapping(plain())
    trials = [setting.trial(seed) for setting in spec.settings() for seed in spec.seeds]
    some = zip(trials, inputs, strict=False)
    recorded = {trial.id: describe(trial.config, [], None, status="running", **each) for trial, each in some}
    return StudyFolder(Storage.at(str(folder)), "small"), trials, recorded


def test_other_data_or_another_teacher_is_refused_like_any_other_change(tmp_path: Path) -> None:
    folder, trials, recorded = study_of(tmp_path, *[{"data": A, "teacher": A}] * 2, {"data": A})
    for now in (Inputs(), Inputs(A), Inputs(A, A), Inputs(None, A)):
        refuse_changes(folder, [], trials, recorded, {0: now})
    with pytest.raises(ChangedStudyError) as refused:
        refuse_changes(folder, [], trials, recorded, {0: Inputs(B, B)})
    first = trials[0].id
    assert str(refused.value).splitlines()[1:-1] == [
        f"  data (content): aaaaaaaaaaaa -> bbbbbbbbbbbb    (3 trials, e.g. {first})",
        f"  teacher (weights): aaaaaaaaaaaa -> bbbbbbbbbbbb    (2 trials, e.g. {first})",
    ]
    assert "--fresh" in str(refused.value)


def test_a_record_that_does_not_say_what_it_read_is_compared_with_nothing(tmp_path: Path) -> None:
    folder, trials, recorded = study_of(tmp_path, {}, {"data": A}, {"teacher": B})
    refuse_changes(folder, [], trials, recorded, {0: Inputs(A, B)})


def test_records_that_have_read_different_things_are_refused_without_the_data(tmp_path: Path) -> None:
    """The driver of a cluster, which has no data, compares the records among each other."""
    folder, trials, recorded = study_of(tmp_path, {"data": A}, {"data": B}, {"data": A})
    with pytest.raises(ChangedStudyError) as refused:
        refuse_changes(folder, [], trials, recorded)
    said, ids = str(refused.value).splitlines(), [trial.id for trial in trials]
    assert said[0] == f"small mixes trials in {tmp_path}/small that were trained on different data or teachers:"
    assert said[1:-1] == [
        f"  data (content) aaaaaaaaaaaa    (2 trials: {ids[0]}, {ids[2]})",
        f"  data (content) bbbbbbbbbbbb    (1 trials: {ids[1]})",
    ]
    folder, trials, recorded = study_of(tmp_path, {"data": A, "teacher": A}, {"data": A, "teacher": B})
    with pytest.raises(ChangedStudyError, match="teacher \\(weights\\) bbbbbbbbbbbb"):
        refuse_changes(folder, [], trials, recorded)


def test_what_counts_as_a_plug_ins_code_is_said_where_it_has_changed(tmp_path: Path) -> None:
    folder, trials, recorded = study_of(tmp_path, {})
    key, manifest = next(iter(recorded.items()))
    changed = {"fingerprint": "other", "config": {**manifest.config, "code": {"data": "noise 1"}}}
    with pytest.raises(ChangedStudyError) as refused:
        refuse_changes(folder, [], trials, {key: manifest.model_copy(update=changed)})
    said = str(refused.value)
    assert f'code: {{"data": "noise 1"}} -> null    (1 trials, e.g. {key})' in said
    assert "version: ClassVar[str]" in said
