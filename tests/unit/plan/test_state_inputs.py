"""A study's data and teacher, as its records state them and as they are now."""

from pathlib import Path
from typing import Any

import pytest

from ctkd_study.errors import ChangedStudyError
from ctkd_study.launch import TrialQueue
from ctkd_study.plan import StudyState, read_data
from ctkd_study.spec import from_mapping
from tests.support import settings
from tests.support.studies import plain
from trainables import preparation, record, teacher
from trainables.config import RunOptions
from trainables.data import Loaded
from trainables.inputs import Inputs
from trainables.record import Contents, Run
from trainables.storage import Storage
from trainables.trial import describe

SMALL: dict[str, Any] = {"student": settings.STUDENT, "teacher": settings.TEACHER, "teacher_source": "online"}
A, B = "a" * 64, "b" * 64


def state(folder: Path, **changes: Any) -> StudyState:
    return StudyState(from_mapping(plain(**{**SMALL, **changes})), Storage.at(str(folder)))


def write(here: StudyState, number: int, inputs: Inputs) -> None:
    """Record one of the planned trials, as a worker does."""
    trial = here.plan.trials[number]
    run = trial.config.run.model_copy(update={"trial": trial.id, "uid": here.stored(), "attempt": 1})
    config = trial.config.model_copy(update={"run": run})
    manifest = describe(config, [], None, status="running", data=inputs.data, teacher=inputs.teacher)
    storage = here.folder.trial(trial.id)
    Run.begin(storage, record.scan(storage), 1).save(manifest, Contents([], {}))


def trained(folder: Path, here: StudyState) -> str:
    """Train the study's teacher; returns the SHA-256 of its weights."""
    config = here.plan.trials[0].config.model_copy(update={"run": RunOptions(teachers=str(folder))})
    preparation.ensure_trained(config)
    found = here.teacher_records().get(0)
    assert found is not None
    weights = teacher.weights_of(found)
    assert weights is not None
    return weights


def vary_state(folder: Path, seeds: int = 5, **vary: int) -> StudyState:
    return state(folder, seeds=seeds, vary=vary)


def test_each_group_has_its_own_inputs_and_teacher(tmp_path: Path) -> None:
    here = vary_state(tmp_path, teacher=5, split=5)
    data = read_data(here.plan)
    assert [len({each.sha256 for each in data}), len({each.arrays.sha256 for each in data})] == [5, 1]
    assert [here.with_data(data).inputs(group).data for group in range(5)] == [each.sha256 for each in data]
    by_group = {trial.group: trial for trial in here.plan.trials if trial.setting.config.teacher is not None}
    for group in (1, 3):
        config = by_group[group].config
        preparation.ensure_trained(config.model_copy(update={"run": RunOptions(teachers=str(tmp_path))}))
    assert list(here.teacher_records()) == [1, 3]
    homes = here.teacher_folders()
    assert len(set(homes)) == 5
    assert None not in homes
    assert vary_state(tmp_path, teacher=5, split=5).teacher_folders() == [None, homes[1], None, homes[3], None]
    weights = {group: teacher.weights_of(found) for group, found in here.teacher_records().items()}
    assert len(set(weights.values())) == 2
    assert [here.refuse_changes().inputs(group).teacher for group in range(5)] == [weights.get(g) for g in range(5)]


def test_trials_are_compared_within_their_group_and_data_across_groups_of_one_split(tmp_path: Path) -> None:
    here = vary_state(tmp_path, seeds=10, teacher=5)
    number = {trial.seed: place for place, trial in enumerate(here.plan.trials) if trial.config.uses_teacher}
    for seed, weights in ((0, A), (1, B), (5, A), (6, B)):
        write(here, number[seed], Inputs(A, weights))
    again = vary_state(tmp_path, seeds=10, teacher=5).read().refuse_changes()
    assert [again.inputs(group) for group in range(3)] == [Inputs(A, A), Inputs(A, B), Inputs()]
    queued = TrialQueue(again, "uid", 2).waiting
    assert {(p.config.run.weights, p.config.seed % 5) for p in queued if p.config.seed % 5 < 2} == {(A, 0), (B, 1)}
    write(here, number[7], Inputs(B, A))
    with pytest.raises(ChangedStudyError, match=r"data \(content\) bbbbbbbbbbbb"):
        vary_state(tmp_path, seeds=10, teacher=5).read().refuse_changes()
    write(here, number[7], Inputs(A, A))
    write(here, number[2], Inputs(A, B))
    with pytest.raises(ChangedStudyError, match=r"teacher \(weights\) of group 2 bbbbbbbbbbbb"):
        vary_state(tmp_path, seeds=10, teacher=5).read().refuse_changes()


def test_inputs_are_those_of_the_records_else_those_of_now(tmp_path: Path) -> None:
    here = state(tmp_path)
    data = Loaded.of(here.spec.data)
    assert here.inputs() == Inputs()
    assert here.with_data([data]).inputs() == Inputs(data.sha256)
    weights = trained(tmp_path, here)
    assert here.refuse_changes().inputs() == Inputs(data.sha256, weights)
    write(here, 0, Inputs(A))
    write(here, 1, Inputs(A, B))
    assert state(tmp_path).read().inputs() == Inputs(A, B), "without the data, too"


def test_other_data_and_retrained_weights_are_refused_where_the_data_is_at_hand(tmp_path: Path) -> None:
    here = state(tmp_path)
    data = Loaded.of(here.spec.data)
    weights = trained(tmp_path, here)
    write(here, 0, Inputs(data.sha256, weights))
    state(tmp_path).with_data([data]).read().refuse_changes()
    write(here, 1, Inputs(A, B))
    with pytest.raises(ChangedStudyError) as refused:
        state(tmp_path).with_data([data]).read().refuse_changes()
    assert f"data (content): aaaaaaaaaaaa -> {data.sha256[:12]}" in str(refused.value)
    assert f"teacher (weights): bbbbbbbbbbbb -> {weights[:12]}" in str(refused.value)
    with pytest.raises(ChangedStudyError, match="mixes trials"):
        state(tmp_path).read().refuse_changes()


def test_trials_are_told_what_the_others_have_read(tmp_path: Path) -> None:
    here = state(tmp_path)
    write(here, 0, Inputs(A, B))
    pending = TrialQueue(state(tmp_path).read(), "uid", 2).pull()
    assert pending is not None
    assert (pending.config.run.data, pending.config.run.weights) == (A, B)


def test_the_teacher_is_found_by_data_else_by_weights_else_if_it_is_the_only_one(tmp_path: Path) -> None:
    here = state(tmp_path)
    assert (here.teacher_records().get(0), here.teacher_folders()) == (None, [None])
    weights = trained(tmp_path, here)
    found = here.teacher_records().get(0)
    assert found is not None
    home = found.storage
    assert here.teacher_folders() == [home]
    data = Loaded.of(here.spec.data)
    assert state(tmp_path).with_data([data]).teacher_folders() == [home]
    assert home.name == f"{teacher.fingerprint(here.plan.trials[0].config)}-{data.for_teacher().sha256[:16]}"
    # A teacher of the same training on other data.
    config = here.plan.trials[0].config
    other = teacher.folder_of(config, here.storage, A)
    Run.begin(other, record.scan(other), 1).save(
        found.manifest.model_copy(update={"data": A}), Contents(found.rows(), {}, {"x": found.best()["fc.bias"]})
    )
    assert (here.teacher_records().get(0), here.teacher_folders()) == (None, [None]), "which of the two is not known"
    assert state(tmp_path).with_data([data]).teacher_folders() == [home]
    write(here, 0, Inputs(None, weights))
    later = state(tmp_path).read()
    assert later.teacher_folders() == [home]
    assert state(tmp_path, teacher=None, arms={"alone": {"distiller": {"name": "none"}}}).teacher_folders() == []
