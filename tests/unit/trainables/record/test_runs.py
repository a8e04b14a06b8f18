"""Who may write a trial's record, and which checkpoint is the record, whatever older runs still write."""

import logging
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tests.support.records import flip_a_bit, plain_manifest
from tests.support.stores import KINDS, storage_of
from trainables import checksums, record
from trainables.record import Contents, Manifest, Row, Run, RunId, Scan, Superseded
from trainables.storage import Storage

NOTHING = Contents([], {})


@pytest.fixture(params=KINDS)
def trial(request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Storage:
    return storage_of(request.param, tmp_path, monkeypatch).within("trial")


@pytest.fixture
def local(tmp_path: Path) -> Storage:
    return Storage.at(str(tmp_path / "trial"))


def begun(trial: Storage, launch: int | None = None) -> Run:
    return Run.begin(trial, record.scan(trial), launch)


def save(run: Run, epoch: int = 1, **changes: Any) -> None:
    rows: list[Row] = [{"epoch": number} for number in range(1, epoch + 1)]
    run.save(plain_manifest(epoch, **changes), Contents(rows, {}))


def newest(trial: Storage) -> str | None:
    """The newest checkpoint: run, checkpoint and epoch, in short."""
    found = record.scan(trial).newest
    return f"{_short(found.name)} epoch {found.manifest.epoch}" if found is not None else None


def _short(name: str) -> str:
    return name.removeprefix("run-").replace("/checkpoint_", "/").replace("00000", "").replace("00", "")


def checkpoints(trial: Storage) -> list[str]:
    """All checkpoint folders, in short."""
    return sorted({_short(path.rpartition("/")[0]) for path in trial.tree() if path.count("/") == 2})


def during_the_next_save(patch: pytest.MonkeyPatch, trial: Storage, act: Callable[[], object]) -> None:
    """Let something happen after the next save has begun, and before it has written anything."""
    kind = type(trial)
    real = kind.write_folder

    def write_folder(storage: Storage, path: str, contents: Any) -> None:
        patch.setattr(kind, "write_folder", real)
        act()
        real(storage, path, contents)

    patch.setattr(kind, "write_folder", write_folder)


# -- who may write ---------------------------------------------------------------------------------------------------


def test_runs_are_ordered_by_launch_and_incarnation() -> None:
    runs = [RunId(1, 1), RunId(1, 2), RunId(1, 1000), RunId(2, 1), RunId(999_999, 1), RunId(1_000_000, 1)]
    assert sorted({*runs}) == runs
    names = [str(run) for run in runs]
    assert names[:3] == ["run-000001-001", "run-000001-002", "run-000001-1000"]
    assert [RunId.of(name) for name in names] == runs
    for name in ("run-1-1", "run-000001-001.tmp", "a-run-000001-001", "run-000001", "checkpoint_000001"):
        assert RunId.of(name) is None


def test_runs_are_counted_within_their_launch(trial: Storage) -> None:
    assert [begun(trial).id for _ in range(3)] == [RunId(1, 1), RunId(1, 2), RunId(1, 3)]
    assert [begun(trial, 1).id, begun(trial, 3).id, begun(trial, 3).id] == [RunId(1, 4), RunId(3, 1), RunId(3, 2)]
    assert begun(trial).id == RunId(3, 3), "without a number it joins the newest launch"
    assert record.scan(trial).last_run == RunId(3, 3)


def test_a_first_run_takes_the_number_of_its_launch(trial: Storage) -> None:
    assert begun(trial, 7).id == RunId(7, 1)


def test_a_run_records_its_start(trial: Storage, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("time.time_ns", lambda: 1_007_999_999)
    monkeypatch.setattr("socket.gethostname", lambda: "here")
    monkeypatch.setattr("os.getpid", lambda: 41)
    first = begun(trial, 2)
    save(first, 3)
    second = begun(trial)
    assert second.start.model_dump() == {
        "attempt": 2, "incarnation": 2, "epoch": 3, "time_ms": 1007, "host": "here", "pid": 41,
    }  # fmt: skip
    starts = [checksums.unsealed(trial.read(f"run-000002-00{number}/start.json")) for number in (1, 2)]
    assert len({start.pop("token") for start in starts}) == 2
    assert starts == [
        {**first.start.model_dump(), "goes_on_from": None},
        {**second.start.model_dump(), "goes_on_from": "run-000002-001/checkpoint_000001"},
    ]


def test_of_two_runs_that_begin_at_once_one_is_superseded(trial: Storage, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("time.time_ns", lambda: 1_007_999_999)
    save(begun(trial))
    found = record.scan(trial)
    first = Run.begin(trial, found, 2)
    with pytest.raises(Superseded, match="run-000002-001 is not the newest run of its trial"):
        Run.begin(trial, found, 2)
    save(first, 2)
    assert newest(trial) == "2-1/1 epoch 2"


def test_a_worker_of_an_older_launch_does_not_begin(trial: Storage) -> None:
    save(begun(trial, 3))
    before = trial.tree()
    with pytest.raises(Superseded):
        begun(trial, 2)
    assert trial.tree() == before


def test_a_run_with_a_successor_writes_nothing_more(trial: Storage) -> None:
    first = begun(trial)
    save(first)
    begun(trial)
    before = trial.tree()
    for _ in range(2):
        with pytest.raises(Superseded, match="run-000001-001 was superseded by run-000001-002"):
            save(first, 2)
    assert trial.tree() == before


# -- which checkpoint is the record ----------------------------------------------------------------------------------


@pytest.mark.parametrize("successor_saves", [False, True])
def test_what_a_run_saves_after_its_successor_began_is_never_the_record(
    trial: Storage, monkeypatch: pytest.MonkeyPatch, successor_saves: bool
) -> None:
    """Its raylet was stopped while it saved; the successor began; it wakes up."""
    zombie, successors = begun(trial), list[Run]()
    save(zombie, 1)

    def succeed() -> None:
        successors.append(begun(trial))
        if successor_saves:
            save(successors[0], 2, status="finished")

    during_the_next_save(monkeypatch, trial, succeed)
    with pytest.raises(Superseded):
        save(zombie, 3)
    assert "1-1/2" in checkpoints(trial), "it was written"
    assert newest(trial) == ("1-2/1 epoch 2" if successor_saves else "1-1/1 epoch 1")
    again = begun(trial, 2)
    assert again.start.epoch == (2 if successor_saves else 1)
    save(again, 3)
    assert newest(trial) == "2-1/1 epoch 3"
    assert "1-1/2" not in checkpoints(trial)


def test_a_first_checkpoint_that_comes_late_is_never_the_record(
    trial: Storage, monkeypatch: pytest.MonkeyPatch
) -> None:
    zombie = begun(trial)
    during_the_next_save(monkeypatch, trial, lambda: begun(trial))
    with pytest.raises(Superseded):
        save(zombie, 3)
    assert (checkpoints(trial), newest(trial)) == (["1-1/1"], None)
    successor = begun(trial)
    assert successor.start.epoch == 0
    save(successor, 1)
    assert newest(trial) == "1-3/1 epoch 1"


def test_a_run_that_wakes_up_late_removes_nothing_its_successor_may_need(
    local: Storage, monkeypatch: pytest.MonkeyPatch
) -> None:
    zombie = begun(local)
    save(zombie, 1)
    save(zombie, 2)
    flip_a_bit(Path(local.path("run-000001-001/checkpoint_000002/state.pt")))
    during_the_next_save(monkeypatch, local, lambda: begun(local))
    with pytest.raises(Superseded):
        save(zombie, 3)
    assert newest(local) == "1-1/1 epoch 1", "what the successor goes on from is still there"


def test_the_line_of_runs_is_followed_back_past_what_is_damaged(
    local: Storage, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = Path(local.root)
    monkeypatch.setattr(type(local), "remove_folder", lambda storage, path: None)  # so that there is more to read
    first = begun(local)
    save(first, 1)
    save(first, 2)

    def second_and_third() -> None:
        second = begun(local)
        save(second, 4)
        during_the_next_save(monkeypatch, local, lambda: save(begun(local, 2), 5))
        with pytest.raises(Superseded):
            save(second, 40)

    during_the_next_save(monkeypatch, local, second_and_third)
    with pytest.raises(Superseded):
        save(first, 20)
    assert checkpoints(local) == ["1-1/1", "1-1/2", "1-1/3", "1-2/1", "1-2/2", "2-1/1"]
    seen = []
    for damaged in ("run-000002-001/checkpoint_000001", "run-000001-002/checkpoint_000001"):
        seen.append(newest(local))
        flip_a_bit(folder / damaged / "state.pt")
    assert [*seen, newest(local)] == ["2-1/1 epoch 5", "1-2/1 epoch 4", "1-1/2 epoch 2"]
    assert [_short(text.partition(":")[0]) for text in record.scan(local).damaged] == ["2-1/1", "1-2/1"]


def test_runs_that_saved_nothing_do_not_break_the_line(trial: Storage) -> None:
    save(begun(trial), 1)
    for launch in (None, 2, 2, 3):
        begun(trial, launch)
    assert newest(trial) == "1-1/1 epoch 1"


def test_numbers_are_compared_as_numbers(trial: Storage) -> None:
    """Numbers of seven digits are spelled before numbers of six: "1000000" before "999999"."""
    save(begun(trial, 999_999), 1)
    save(begun(trial, 1_000_000), 2)
    assert newest(trial) == "10-1/1 epoch 2"


@pytest.mark.parametrize("place", [0.0, 0.5, 0.9])
def test_of_a_damaged_start_nothing_is_known_and_what_is_older_counts(
    local: Storage, place: float, caplog: pytest.LogCaptureFixture
) -> None:
    save(begun(local), 1)
    successor = begun(local)
    flip_a_bit(Path(local.path("run-000001-002/start.json")), place)
    with caplog.at_level(logging.WARNING):
        assert newest(local) == "1-1/1 epoch 1"
    assert "run-000001-002/start.json is passed over: " in caplog.text
    save(successor, 2)
    assert newest(local) == "1-2/1 epoch 2"
    assert begun(local).id == RunId(1, 3)


def test_other_names_are_no_runs_or_checkpoints(local: Storage) -> None:
    save(begun(local), 1)
    source = Path(local.path("run-000001-001/checkpoint_000001/manifest.json")).read_bytes()
    for folder in ("checkpoint_000001", "run-000002-001/checkpoint_00001", "run-3-1/checkpoint_000001", "notes"):
        local.write(f"{folder}/manifest.json", source)
    found = record.scan(local)
    assert found.newest is not None
    assert (found.newest.name, found.damaged) == ("run-000001-001/checkpoint_000001", ())
    assert found.last_run == RunId(2, 1)


def test_a_linked_run_or_checkpoint_is_not_there(local: Storage, tmp_path: Path) -> None:
    other = Storage.at(str(tmp_path / "other"))
    save(begun(other), 3)
    save(begun(local), 1)
    folder = Path(local.root)
    (folder / "run-000002-001").symlink_to(tmp_path / "other" / "run-000001-001")
    (folder / "run-000001-001" / "checkpoint_000002").symlink_to(
        tmp_path / "other" / "run-000001-001" / "checkpoint_000001"
    )
    assert newest(local) == "1-1/1 epoch 1"
    assert record.scan(local).last_run == RunId(1, 1)


def test_checkpoints_that_are_not_wanted_are_passed_over_in_silence(
    trial: Storage, caplog: pytest.LogCaptureFixture
) -> None:
    save(begun(trial), 1, uid="ours")
    run = begun(trial)
    save(run, 2, status="failed", uid="ours")

    def before_the_failure(manifest: Manifest) -> bool:
        return manifest.status != "failed"

    found = record.scan(trial, wanted=before_the_failure)
    assert found.newest is not None
    assert (found.newest.manifest.epoch, found.damaged, caplog.text) == (1, (), "")
    assert record.scan(trial, wanted=lambda manifest: manifest.uid == "theirs").newest is None
    retried = Run.begin(trial, found)
    assert retried.start.epoch == 1
    assert newest(trial) == "1-1/1 epoch 1", "the failure is no part of the line any more"


def test_what_cannot_be_read_now_is_a_fault_and_not_damage(trial: Storage, monkeypatch: pytest.MonkeyPatch) -> None:
    save(begun(trial), 1)
    kind = type(trial)
    real = kind.read

    def stale(storage: Storage, path: str) -> bytes:
        if path.endswith("state.pt"):
            raise OSError("Stale file handle")
        return real(storage, path)

    monkeypatch.setattr(kind, "read", stale)
    with pytest.raises(OSError, match="Stale file handle"):
        record.scan(trial)
    assert record.scan(trial, check_hashes=False).newest is not None


def test_a_checkpoint_that_is_removed_meanwhile_is_passed_over(trial: Storage, monkeypatch: pytest.MonkeyPatch) -> None:
    run = begun(trial)
    save(run, 1)
    save(run, 2)
    kind = type(trial)
    real = kind.read

    def gone(storage: Storage, path: str) -> bytes:
        if "checkpoint_000002" in path:
            raise FileNotFoundError(path)
        return real(storage, path)

    monkeypatch.setattr(kind, "read", gone)
    assert newest(trial) == "1-1/1 epoch 1"
    assert record.scan(trial).damaged == ("run-000001-001/checkpoint_000002: it was removed",)


# -- what is kept ----------------------------------------------------------------------------------------------------


def test_two_checkpoints_are_kept_across_runs(trial: Storage) -> None:
    first = begun(trial)
    kept = []
    for epoch in (1, 2, 3):
        save(first, epoch)
        kept.append(checkpoints(trial))
    second = begun(trial, 2)
    for epoch in (4, 5):
        kept.append(checkpoints(trial))
        save(second, epoch)
    kept.append(checkpoints(trial))
    assert kept == [
        ["1-1/1"],
        ["1-1/1", "1-1/2"],
        ["1-1/2", "1-1/3"],
        ["1-1/2", "1-1/3"],
        ["1-1/3", "2-1/1"],
        ["2-1/1", "2-1/2"],
    ]
    assert newest(trial) == "2-1/2 epoch 5"


def test_damaged_checkpoints_and_what_killed_writers_left_are_removed_once_there_is_a_new_one(local: Storage) -> None:
    run = begun(local)
    save(run, 1)
    save(run, 2)
    folder = Path(local.path("run-000001-001"))
    flip_a_bit(folder / "checkpoint_000002" / "state.pt")
    (folder / "checkpoint_000003.0123.tmp").mkdir()
    (folder / "checkpoint_000003.0123.tmp" / "state.pt").write_bytes(b"half")
    again = begun(local)
    assert checkpoints(local) == ["1-1/1", "1-1/2"], "only a new checkpoint makes the old ones needless"
    save(again, 2)
    assert checkpoints(local) == ["1-1/1", "1-2/1"]
    assert sorted(path.name for path in folder.iterdir()) == ["checkpoint_000001", "start.json"]


def test_a_save_that_fails_is_tried_again_and_leaves_nothing(trial: Storage, monkeypatch: pytest.MonkeyPatch) -> None:
    run = begun(trial)
    save(run, 1)
    kind = type(trial)
    real = kind.write_folder

    def cut_short(storage: Storage, path: str, contents: Any) -> None:
        storage.write(f"{path}/history.jsonl", b"")  # as on an object store
        raise OSError("no space left on device")

    monkeypatch.setattr(kind, "write_folder", cut_short)
    for _ in range(2):
        with pytest.raises(OSError, match="no space left"):
            save(run, 2)
    assert newest(trial) == "1-1/1 epoch 1"
    monkeypatch.setattr(kind, "write_folder", real)
    save(run, 2)
    assert newest(trial) == "1-1/4 epoch 2"
    assert checkpoints(trial) == ["1-1/1", "1-1/4"]


def test_what_cannot_be_removed_is_left_until_the_next_save(trial: Storage, monkeypatch: pytest.MonkeyPatch) -> None:
    run = begun(trial)
    save(run, 1)
    save(run, 2)
    kind = type(trial)
    real = kind.remove_folder

    def busy(storage: Storage, path: str) -> None:
        raise OSError("busy")

    monkeypatch.setattr(kind, "remove_folder", busy)
    save(run, 3)
    assert checkpoints(trial) == ["1-1/1", "1-1/2", "1-1/3"]
    monkeypatch.setattr(kind, "remove_folder", real)
    save(run, 4)
    assert checkpoints(trial) == ["1-1/3", "1-1/4"]


# -- faults of the program -------------------------------------------------------------------------------------------


def test_a_fault_counts_as_the_same_only_if_the_run_just_before_ended_so(trial: Storage) -> None:
    faults = [(3, "a"), (3, "a"), (3, "b"), (4, "b"), (4, "b")]
    assert [begun(trial).note_fault(*fault) for fault in faults] == [False, True, False, False, True]
    begun(trial, 2)
    assert not begun(trial, 2).note_fault(4, "b"), "a run in between ended in another way"


def test_a_damaged_fault_is_none(local: Storage) -> None:
    begun(local).note_fault(3, "a")
    flip_a_bit(Path(local.path("run-000001-001/fault.json")))
    assert not begun(local).note_fault(3, "a")


def test_an_empty_folder_holds_nothing(trial: Storage) -> None:
    assert record.scan(trial) == Scan()
    assert Scan().last_run is None


def test_a_trial_s_folder_that_is_a_link_is_refused(local: Storage, tmp_path: Path) -> None:
    (tmp_path / "elsewhere").mkdir()
    (tmp_path / "trial").symlink_to(tmp_path / "elsewhere")
    with pytest.raises(OSError, match="is a link"):
        record.scan(local)
