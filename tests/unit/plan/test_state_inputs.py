"""A study's data and teacher, as its records state them and as they are now."""

from pathlib import Path
from typing import Any

import pytest

from ctkd_study.errors import ChangedStudyError
from ctkd_study.launch import TrialQueue
from ctkd_study.plan import StudyState
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
    found = here.teacher_record()
    assert found is not None
    weights = teacher.weights_of(found)
    assert weights is not None
    return weights


def test_inputs_are_those_of_the_records_else_those_of_now(tmp_path: Path) -> None:
    here = state(tmp_path)
    data = Loaded.of(here.spec.data)
    assert here.inputs == Inputs()
    assert here.with_data(data).inputs == Inputs(data.sha256)
    weights = trained(tmp_path, here)
    assert here.refuse_changes().inputs == Inputs(data.sha256, weights)
    write(here, 0, Inputs(A))
    write(here, 1, Inputs(A, B))
    assert state(tmp_path).read().inputs == Inputs(A, B), "without the data, too"


def test_other_data_and_retrained_weights_are_refused_where_the_data_is_at_hand(tmp_path: Path) -> None:
    here = state(tmp_path)
    data = Loaded.of(here.spec.data)
    weights = trained(tmp_path, here)
    write(here, 0, Inputs(data.sha256, weights))
    state(tmp_path).with_data(data).read().refuse_changes()
    write(here, 1, Inputs(A, B))
    with pytest.raises(ChangedStudyError) as refused:
        state(tmp_path).with_data(data).read().refuse_changes()
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
    assert (here.teacher_record(), here.teacher_folder()) == (None, None)
    weights = trained(tmp_path, here)
    found = here.teacher_record()
    assert found is not None
    home = found.storage
    assert here.teacher_folder() == home
    data = Loaded.of(here.spec.data)
    assert state(tmp_path).with_data(data).teacher_folder() == home
    assert home.name == f"{teacher.fingerprint(here.plan.trials[0].config)}-{data.for_teacher().sha256[:16]}"
    # A teacher of the same training on other data.
    config = here.plan.trials[0].config
    other = teacher.folder_of(config, here.storage, A)
    Run.begin(other, record.scan(other), 1).save(
        found.manifest.model_copy(update={"data": A}), Contents(found.rows(), {}, {"x": found.best()["fc.bias"]})
    )
    assert (here.teacher_record(), here.teacher_folder()) == (None, None), "which of the two is not known"
    assert state(tmp_path).with_data(data).teacher_folder() == home
    write(here, 0, Inputs(None, weights))
    later = state(tmp_path).read()
    assert later.teacher_folder() == home
    assert state(tmp_path, teacher=None, arms={"alone": {"distiller": {"name": "none"}}}).teacher_folder() is None
