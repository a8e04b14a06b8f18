"""A study as it stands in its storage: settled once, records read on demand, failures forgotten on demand."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from ctkd_study.errors import ChangedStudyError, StudyError
from ctkd_study.plan import StudyState
from ctkd_study.records import StudyFolder
from ctkd_study.spec import StudySpec, from_mapping
from tests.support.records import saved
from tests.support.studies import plain
from trainables import record
from trainables.record import Manifest, Row, RunId, Status
from trainables.storage import Storage
from trainables.storage.local import Folder
from trainables.trial import describe


def study(**changes: Any) -> StudySpec:
    arms = {"grid": {"temperature": {"kind": "fixed", "value": {"grid": [2, 4]}}}}
    return from_mapping(plain(**{"arms": arms, "seeds": [5], "teacher_source": "online", **changes}))


def state(folder: Path, **changes: Any) -> StudyState:
    return StudyState(study(**changes), Storage.at(str(folder)))


def write(here: StudyState, number: int, status: Status, epoch: int, launch: int = 1, uid: str = "") -> Path:
    """Record an epoch of one of the planned trials as a worker does; returns the checkpoint's folder."""
    trial = here.plan.trials[number]
    options = {"trial": trial.id, "study": here.spec.name, "uid": uid or here.stored(), "attempt": launch}
    run = trial.config.run.model_copy(update=options)
    rows: list[Row] = [{"epoch": e, "time_ms": e, "val_top1": 50.0} for e in range(1, epoch + 1)]
    manifest = describe(trial.config.model_copy(update={"run": run}), rows, rows[-1], status=status)
    folder = here.folder.trial(trial.id)
    return Path(folder.root) / saved(folder, manifest, rows, launch)


def seen(manifests: Any) -> dict[str, tuple[str, int]]:
    return {trial_id: (manifest.status, manifest.epoch) for trial_id, manifest in manifests.items()}


def test_nothing_is_read_before_it_is_asked_for(tmp_path: Path) -> None:
    here = state(tmp_path)
    first, second = (trial.id for trial in here.plan.trials)
    write(here, 0, "running", 1)
    assert here.manifests == {}
    assert here.scan_of(first) == record.Scan()
    assert here.read() is here
    assert seen(here.manifests) == {first: ("running", 1)}
    assert here.scan_of(first).last_run == RunId(1, 1)
    assert here.scan_of(second) == record.Scan()


def test_the_folder_has_the_studys_name_and_lies_in_the_storage(tmp_path: Path) -> None:
    here = state(tmp_path)
    assert here.folder.name == "small"
    assert here.folder.root.location == f"{tmp_path}/small"
    assert here.storage == Storage.at(str(tmp_path))
    assert here.spec == study()


def test_a_trial_is_read_again_when_it_has_gone_on_or_is_gone(tmp_path: Path) -> None:
    here = state(tmp_path)
    first = here.plan.trials[0].id
    write(here, 0, "running", 1)
    here.read()
    write(here, 0, "finished", 3)
    assert here.scan_of(first).last_run == RunId(1, 1)
    found = here.read_trial(first)
    assert found is not None
    assert (found.status, found.epoch) == ("finished", 3)
    assert seen(here.manifests) == {first: ("finished", 3)}
    assert here.scan_of(first).last_run == RunId(1, 2)
    here.folder.root.remove_folder(first)
    assert here.read_trial(first) is None
    assert here.manifests == {}
    assert here.read_trial(first) is None, "again"


@pytest.mark.parametrize("check_hashes", [False, True])
def test_every_file_is_read_only_where_that_is_asked_for(tmp_path: Path, check_hashes: bool) -> None:
    here = state(tmp_path)
    history = write(here, 0, "running", 1) / "history.jsonl"
    history.write_bytes(bytes(len(history.read_bytes())))
    first = here.plan.trials[0].id
    assert (first in here.read(check_hashes).manifests) is not check_hashes
    assert (here.read_trial(first, check_hashes) is not None) is not check_hashes
    assert here.scan_of(first).damaged == (
        ("run-000001-001/checkpoint_000001: history.jsonl has changed",) if check_hashes else ()
    )


def test_sizes_alone_are_compared_by_default(tmp_path: Path) -> None:
    here = state(tmp_path)
    history = write(here, 0, "running", 1) / "history.jsonl"
    history.write_bytes(bytes(len(history.read_bytes())))
    first = here.plan.trials[0].id
    assert first in here.read().manifests
    assert here.read_trial(first) is not None


def test_a_choice_made_at_the_first_run_is_kept_unless_the_study_starts_afresh(tmp_path: Path) -> None:
    crop = {"name": "digits", "validation": 100, "train_examples": 50, "views": {"kind": "crop", "padding": 1}}
    open_study: dict[str, Any] = {"data": crop, "teacher_source": None}
    assert state(tmp_path, **open_study).spec.teacher_source == "bank16", "what pays today"
    StudyFolder(Storage.at(str(tmp_path)), "small").store(study(data=crop, teacher_source="bank32"))
    assert state(tmp_path, **open_study).spec.teacher_source == "bank32", "what was chosen"
    assert {t.config.teacher_source for t in state(tmp_path, **open_study).plan.trials} == {"bank32"}
    afresh = StudyState(study(**open_study), Storage.at(str(tmp_path)), fresh=True)
    assert afresh.spec.teacher_source == "bank16"


def test_another_configuration_of_a_recorded_trial_is_refused(tmp_path: Path) -> None:
    here = state(tmp_path)
    write(here, 0, "running", 1)
    assert here.read().refuse_changes() is here
    here.folder.store(here.spec)
    other = state(tmp_path, recipe={"epochs": 4})
    assert other.refuse_changes() is other, "nothing is read yet"
    with pytest.raises(ChangedStudyError, match=r"recipe\.epochs: 3 -> 4"):
        other.read().refuse_changes()


def test_records_of_another_study_do_not_count(tmp_path: Path) -> None:
    """Its folder was set aside, and a worker of it still runs."""
    here = state(tmp_path)
    write(here, 0, "finished", 3, uid="of-the-study-before")
    assert here.read().manifests == {}
    assert here.scan_of(here.plan.trials[0].id).last_run == RunId(1, 1)
    write(here, 0, "running", 1)
    assert seen(state(tmp_path).read().manifests) == {here.plan.trials[0].id: ("running", 1)}


def test_a_record_that_cannot_be_read_now_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    here = state(tmp_path)
    write(here, 1, "finished", 3)

    def stale(*arguments: Any) -> Any:
        raise OSError("Stale file handle")

    monkeypatch.setattr(Folder, "tree", stale)
    with pytest.raises(StudyError, match=f"the record of {here.plan.trials[1].id} cannot be read: Stale file handle"):
        here.read()


def test_failures_of_earlier_launches_are_forgotten_back_to_the_last_whole_checkpoint(tmp_path: Path) -> None:
    here = state(tmp_path)
    first, second = (trial.id for trial in here.plan.trials)
    write(here, 0, "running", 1)
    write(here, 0, "failed", 2)
    write(here, 1, "failed", 1)
    here.read()
    assert seen(here.manifests) == {first: ("failed", 2), second: ("failed", 1)}
    before = here.folder.root.tree()
    here.forget_failures(2)
    assert seen(here.manifests) == {first: ("running", 1)}
    assert here.folder.root.tree() == before, "they are only passed over"
    here.forget_failures(2)
    write(here, 1, "failed", 1, launch=2)
    assert here.read_trial(second) is not None, "it has failed again"
    assert seen(state(tmp_path).read().manifests) == {first: ("failed", 2), second: ("failed", 1)}


def test_what_lies_before_a_failure_is_read_with_care(tmp_path: Path) -> None:
    """Training goes on from there: sizes alone would not do."""
    here = state(tmp_path)
    first = here.plan.trials[0].id
    write(here, 0, "running", 1)
    history = write(here, 0, "running", 2) / "history.jsonl"
    write(here, 0, "failed", 3)
    history.write_bytes(bytes(len(history.read_bytes())))
    here.read().forget_failures(2)
    assert here.manifests == {}, "the first was removed when the third was saved"
    assert here.scan_of(first).damaged == ("run-000001-002/checkpoint_000001: history.jsonl has changed",)


@pytest.mark.parametrize("status", ["running", "finished"])
def test_only_failures_are_forgotten(tmp_path: Path, status: Status) -> None:
    here = state(tmp_path)
    write(here, 0, "failed", 1)
    write(here, 0, status, 2)
    here.read().forget_failures(2)
    manifest: Manifest = here.manifests[here.plan.trials[0].id]
    assert manifest.status == status


def test_which_test_examples_a_trial_had_right(tmp_path: Path) -> None:
    here = state(tmp_path)
    first, second = (trial.id for trial in here.plan.trials)
    right = np.array([True, False, True, True, False])
    trial = here.plan.trials[0]
    run = trial.config.run.model_copy(update={"trial": trial.id, "uid": here.stored(), "attempt": 1})
    config = trial.config.model_copy(update={"run": run})
    row: Row = {"epoch": 1, "time_ms": 1}
    manifest = describe(config, [row], row, status="finished", test_examples=5)
    folder = here.folder.trial(first)
    place = Path(folder.root) / saved(folder, manifest, [row], 1, correct=right)
    assert here.test_correct(first) is None, "nothing is read yet"
    found = here.read().test_correct(first)
    assert found is not None
    assert found.tolist() == right.tolist()
    assert here.test_correct(second) is None, "it has no record"
    (place / record.CORRECT).write_bytes(b"x")
    assert here.test_correct(first) is None, "it is damaged, though of the right size"
    assert first not in here.manifests
