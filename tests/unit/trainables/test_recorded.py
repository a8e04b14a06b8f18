"""A trial with its record: what it saves, what interrupts it, and what makes it fail for good."""

import logging
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import torch

from tests.support import tiny
from tests.support.records import flip_a_bit
from tests.support.trials import recorded as newest
from tests.support.trials import same
from trainables import record, recorded
from trainables.config import TrialConfig
from trainables.faults import Interrupted
from trainables.materials import Materials
from trainables.record import Contents, Run
from trainables.recorded import PATIENCE_SECONDS, RecordedTrial, Step, run_inline
from trainables.storage import Storage
from trainables.storage.local import Folder
from trainables.trainer import Trainer
from trainables.trial import Trial


class Clock:
    """Goes on only where somebody sleeps, or where it is put forward."""

    def __init__(self) -> None:
        self.now, self.slept = 1000.0, list[float]()

    def monotonic(self) -> float:
        return self.now

    def sleep(self, seconds: float) -> None:
        self.slept.append(seconds)
        self.now += seconds


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    clock = Clock()
    monkeypatch.setattr(recorded, "time", clock)
    return clock


class Disk:
    """Refuses to take checkpoints for as long as it is full, and counts how often it was asked."""

    def __init__(self, patch: pytest.MonkeyPatch) -> None:
        self.full, self.asked = False, 0
        real = Folder.write_folder

        def write_folder(storage: Folder, path: str, contents: Any) -> None:
            self.asked += 1
            if self.full:
                raise OSError("no space left on device")
            real(storage, path, contents)

        patch.setattr(Folder, "write_folder", write_folder)


@pytest.fixture
def disk(monkeypatch: pytest.MonkeyPatch) -> Disk:
    return Disk(monkeypatch)


def materials(config: TrialConfig, device: torch.device) -> Materials:
    return tiny.materials(tiny.Told() if config.uses_teacher else None)


def trial(epochs: int = 4, every: int | None = 1, **run: Any) -> TrialConfig:
    """A trial that saves every so many epochs."""
    checkpoint = {"seconds": None, "epochs": every}
    recipe = {"epochs": epochs, "batch_size": 8, "lr": 0.1, "momentum": 0.8, "weight_decay": 0.01}
    plain: dict[str, Any] = {"study": "s", "uid": "u", "trial": "t", "attempt": 1, "checkpoint": checkpoint, **run}
    return tiny.trial(recipe=recipe, run=plain)


def begin(folder: Path, config: TrialConfig | None = None, source: Any = materials) -> RecordedTrial:
    return RecordedTrial(config or trial(), source, Storage.at(str(folder)))


def steps(started: RecordedTrial) -> Iterator[Step]:
    """All steps to the end."""
    while True:
        step = started.step()
        yield step
        if step.ended:
            return


def ended(started: RecordedTrial) -> Step:
    *_, last = steps(started)
    return last


def failing(patch: pytest.MonkeyPatch, epoch: int, fault: Callable[[], BaseException]) -> None:
    """Let the training of an epoch raise something."""
    real = Trainer.train_epoch

    def train_epoch(trainer: Trainer) -> Any:
        if trainer.epoch + 1 == epoch:
            raise fault()
        return real(trainer)

    patch.setattr(Trainer, "train_epoch", train_epoch)


def straight(folder: Path, **changes: Any) -> record.Checkpoint:
    run_inline(trial(**changes), materials, Storage.at(str(folder)))
    return newest(folder)


# -- training and saving ---------------------------------------------------------------------------------------------


def test_a_trial_saves_by_its_interval_and_at_its_end(tmp_path: Path) -> None:
    done = [(step.status, step.row and step.row["epoch"], step.saved) for step in steps(begin(tmp_path, trial(5, 2)))]
    assert done == [("running", 1, False), ("running", 2, True), ("running", 3, False), ("running", 4, True),
                    ("finished", 5, True)]  # fmt: skip
    assert Storage.at(str(tmp_path)).names("run-000001-001") == ["checkpoint_000002", "checkpoint_000003", "start.json"]
    (start,) = newest(tmp_path).manifest.starts
    assert (start.attempt, start.incarnation, start.epoch) == (1, 1, 0)


def test_an_ended_trial_is_not_begun_again(tmp_path: Path) -> None:
    before = straight(tmp_path).manifest
    tree = Storage.at(str(tmp_path)).tree()
    assert [(step.status, step.row) for step in steps(begin(tmp_path, trial(attempt=2)))] == [("finished", None)]
    assert Storage.at(str(tmp_path)).tree() == tree
    assert run_inline(trial(), materials, Storage.at(str(tmp_path))) == before


def test_a_stopped_trial_is_recorded_as_far_as_it_came(tmp_path: Path) -> None:
    running = RecordedTrial(trial(epochs=9, every=None), materials, Storage.at(str(tmp_path)))
    running.step()
    running.step()
    running.stop("stopped by asha at epoch 1")
    step = running.step()
    assert (step.status, step.row, step.saved, step.ended) == ("stopped", None, True, True)
    manifest = newest(tmp_path).manifest
    assert (manifest.status, manifest.reason, manifest.epoch) == ("stopped", "stopped by asha at epoch 1", 2)
    assert manifest.summary.selected_epoch in (1, 2)
    again = RecordedTrial(trial(epochs=9), materials, Storage.at(str(tmp_path)))
    assert again.step().status == "stopped", "it is never run further"


def test_a_trial_that_has_ended_is_not_stopped(tmp_path: Path) -> None:
    running = RecordedTrial(trial(epochs=1), materials, Storage.at(str(tmp_path)))
    assert running.step().status == "finished"
    running.stop("too late")
    assert running.step().status == "finished"
    assert newest(tmp_path).manifest.reason is None


@pytest.mark.parametrize("attempt", [0, 1, 2])
def test_a_trial_goes_on_from_its_newest_whole_checkpoint(tmp_path: Path, attempt: int) -> None:
    whole = straight(tmp_path / "straight")
    first = begin(tmp_path / "trial")
    for _ in range(3):
        first.step()
    flip_a_bit(tmp_path / "trial" / "run-000001-001" / "checkpoint_000003" / "state.pt")
    rows = [step.row and step.row["epoch"] for step in steps(begin(tmp_path / "trial", trial(attempt=attempt)))]
    assert rows == [3, 4]
    resumed = newest(tmp_path / "trial")
    same(whole, resumed)
    launches = [(start.attempt, start.incarnation, start.epoch) for start in resumed.manifest.starts]
    assert launches == [(1, 1, 0), (2, 1, 2) if attempt == 2 else (1, 2, 2)]


def test_another_study_s_record_in_the_folder_does_not_count(tmp_path: Path) -> None:
    straight(tmp_path, uid="of-a-study-that-was-set-aside")
    assert [step.row and step.row["epoch"] for step in steps(begin(tmp_path, trial(attempt=2)))] == [1, 2, 3, 4]
    assert newest(tmp_path).manifest.uid == "u"
    assert ended(begin(tmp_path, trial(uid=""))).status == "finished", "a teacher's record is of no study"


def test_a_trial_that_fails_is_run_again_from_before_that_only_on_request(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with monkeypatch.context() as patch:
        real = Trainer.train_epoch

        def spoilt(trainer: Trainer) -> Any:
            if trainer.epoch == 2:
                with torch.no_grad():
                    next(trainer.student.parameters()).fill_(float("nan"))
            return real(trainer)

        patch.setattr(Trainer, "train_epoch", spoilt)
        step = ended(begin(tmp_path / "trial"))
    assert (step.status, step.reason, step.saved) == ("failed", "train_loss is nan in epoch 3", True)
    assert ended(begin(tmp_path / "trial", trial(attempt=2))) == Step("failed", reason="train_loss is nan in epoch 3")
    assert ended(begin(tmp_path / "trial", trial(attempt=1, retry=True))).status == "failed", "it failed in this launch"
    again = list(steps(begin(tmp_path / "trial", trial(attempt=2, retry=True))))
    assert [step.row and step.row["epoch"] for step in again] == [3, 4]
    same(straight(tmp_path / "straight"), newest(tmp_path / "trial"))


# -- a sick storage --------------------------------------------------------------------------------------------------


def test_a_trial_trains_on_while_it_cannot_be_saved(tmp_path: Path, disk: Disk, clock: Clock) -> None:
    whole = straight(tmp_path / "straight", epochs=6)
    started = begin(tmp_path / "trial", trial(6))
    done, asked = [started.step()], []
    disk.full = True
    for pause in (0.0, 0.5, 0.5, 1.5):
        clock.now += pause
        disk.asked = 0
        done.append(started.step())
        asked.append(disk.asked)
    assert [(step.status, step.saved) for step in done] == [("running", True)] + 4 * [("running", False)]
    assert [step.reason for step in done[:3]] == [
        "",
        "OSError: no space left on device",
        "the storage does not take the checkpoint",
    ]
    assert asked == [1, 0, 1, 0], "after a second, and two seconds after that"
    disk.full = False
    clock.now += 1.0
    assert started.step() == Step("finished", newest(tmp_path / "trial").rows()[-1], saved=True)
    same(whole, newest(tmp_path / "trial"))
    assert sum(clock.slept) == 0, "nothing waits while there is something to train"


def test_a_trial_that_has_ended_waits_until_it_is_saved(tmp_path: Path, disk: Disk, clock: Clock) -> None:
    whole = straight(tmp_path / "straight")
    started = begin(tmp_path / "trial")
    for _ in range(3):
        started.step()
    clock.slept.clear()
    disk.full = True
    waits = [started.step() for _ in range(8)]
    assert [step.status for step in waits] == ["saving"] * 8
    assert [step.row and step.row["epoch"] for step in waits] == [4] + 7 * [None]
    assert {(step.reason, step.saved) for step in waits} == {("OSError: no space left on device", False)}
    assert clock.slept == [0, 1, 2, 4, 8, 16, 30, 30]
    disk.full = False
    assert started.step() == Step("finished", saved=True)
    same(whole, newest(tmp_path / "trial"))


def test_a_trial_that_cannot_be_saved_for_too_long_is_interrupted_and_goes_on_later(
    tmp_path: Path, disk: Disk, clock: Clock
) -> None:
    whole = straight(tmp_path / "straight")
    started = begin(tmp_path / "trial")
    for _ in range(3):
        started.step()
    disk.full, began = True, clock.now
    last = ended(started)
    assert last.status == "interrupted"
    assert last.reason.startswith("OSError: no space left on device (")
    assert PATIENCE_SECONDS < clock.now - began < PATIENCE_SECONDS + 60
    disk.full = False
    assert newest(tmp_path / "trial").manifest.status == "running"
    assert [step.row and step.row["epoch"] for step in steps(begin(tmp_path / "trial"))] == [4]
    same(whole, newest(tmp_path / "trial"))


def test_patience_begins_anew_after_a_save(tmp_path: Path, disk: Disk, clock: Clock) -> None:
    started = begin(tmp_path)
    disk.full = True
    started.step()
    clock.now += PATIENCE_SECONDS
    disk.full = False
    assert started.step().saved
    disk.full = True
    started.step()
    assert started.step().status == "saving"
    disk.full = False
    assert ended(started).status == "finished"


@pytest.mark.parametrize("method", ["tree", "read", "create"])
def test_a_storage_that_cannot_be_read_interrupts(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, method: str) -> None:
    first = begin(tmp_path)
    first.step()
    with monkeypatch.context() as patch:

        def stale(*arguments: Any) -> Any:
            raise OSError("Stale file handle")

        patch.setattr(Folder, method, stale)
        step = begin(tmp_path).step()
        assert (step.status, step.row) == ("interrupted", None)
        assert step.reason.startswith("OSError: Stale file handle (")
        assert not step.ends_process
    assert ended(begin(tmp_path)).status == "finished"


# -- faults that may pass, and faults that come again ----------------------------------------------------------------


def broken() -> RuntimeError:
    return RuntimeError("the shapes do not fit")


def test_a_fault_of_the_program_that_comes_twice_fails_the_trial(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def plug_in() -> BaseException:
        raise broken()

    failing(monkeypatch, 3, plug_in)
    first = ended(begin(tmp_path))
    assert (first.status, first.saved) == ("interrupted", False)
    assert newest(tmp_path).manifest.status == "running"
    second = ended(begin(tmp_path))
    line = plug_in.__code__.co_firstlineno + 1
    reason = f"RuntimeError: the shapes do not fit ({__file__}:{line} in plug_in)"
    assert second == Step("failed", reason=reason, saved=True)
    assert first.reason == reason
    manifest = newest(tmp_path).manifest
    assert (manifest.status, manifest.reason, manifest.epoch) == ("failed", reason, 2)
    assert manifest.traceback is not None
    assert "in train_epoch" in manifest.traceback
    assert manifest.traceback.endswith("RuntimeError: the shapes do not fit\n")
    assert [row["epoch"] for row in newest(tmp_path).rows()] == [1, 2]
    assert newest(tmp_path).state() == {}
    assert manifest.summary.selected_epoch is not None
    assert ended(begin(tmp_path)) == Step("failed", reason=reason), "it is not run again"


def test_other_words_or_another_epoch_are_another_fault(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    faults = [(2, broken()), (3, broken()), (3, RuntimeError("other words")), (3, ValueError("other words"))]
    for epoch, fault in faults:
        with monkeypatch.context() as patch:
            failing(patch, epoch, lambda fault=fault: fault)  # type: ignore[misc]
            assert ended(begin(tmp_path)).status == "interrupted"
    assert ended(begin(tmp_path)).status == "finished"


def test_addresses_of_objects_do_not_make_two_faults_of_one(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for number, status in enumerate(("interrupted", "failed")):
        with monkeypatch.context() as patch:
            failing(patch, 2, lambda number=number: TypeError(f"<Thing at 0x7f{number:010x}> is not\n callable"))  # type: ignore[misc]
            assert ended(begin(tmp_path)).status == status
    reason = newest(tmp_path).manifest.reason
    assert reason is not None
    assert reason.startswith("TypeError: <Thing at 0x...> is not callable (")


def test_a_program_that_cannot_even_begin_fails_with_what_was_there(tmp_path: Path) -> None:
    first = begin(tmp_path)
    for _ in range(2):
        first.step()
    before = newest(tmp_path).manifest

    def unreadable(config: TrialConfig, device: torch.device) -> Materials:
        raise KeyError("images")

    assert [ended(begin(tmp_path, source=unreadable)).status for _ in range(3)] == ["interrupted", "failed", "failed"]
    manifest = newest(tmp_path).manifest
    assert (manifest.status, manifest.epoch, manifest.summary) == ("failed", 2, before.summary)
    assert manifest.reason is not None
    assert manifest.reason.startswith("KeyError: 'images' (")
    assert "unreadable" in (manifest.traceback or "")
    for kept in ("machine", "test_examples", "chance"):
        assert getattr(manifest, kept) == getattr(before, kept)
    assert [start.epoch for start in manifest.starts] == [0, 2]
    assert len(newest(tmp_path).rows()) == 2


def test_a_program_that_has_never_begun_fails_with_nothing(tmp_path: Path) -> None:
    def unreadable(config: TrialConfig, device: torch.device) -> Materials:
        raise KeyError("images")

    assert [ended(begin(tmp_path, source=unreadable)).status for _ in range(2)] == ["interrupted", "failed"]
    manifest = newest(tmp_path).manifest
    assert (manifest.epoch, len(manifest.starts), newest(tmp_path).rows()) == (0, 1, [])


def test_a_part_that_cannot_be_saved_fails_the_trial_too(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def unsaved(trainer: Trainer) -> Any:
        raise RuntimeError("no state")

    monkeypatch.setattr(Trainer, "state", unsaved)
    assert [ended(begin(tmp_path)).status for _ in range(2)] == ["interrupted", "failed"]
    assert newest(tmp_path).manifest.epoch == 1


@pytest.mark.parametrize(
    ("fault", "ends_process"),
    [
        (OSError("no space left on device"), False),
        (FileNotFoundError("the teacher is not there"), False),
        (ConnectionResetError("reset by peer"), False),
        (MemoryError(), True),
        (torch.OutOfMemoryError("CUDA out of memory"), True),
        (torch.AcceleratorError("CUDA error: an illegal memory access was encountered"), True),
        (Interrupted("the teacher's training was interrupted"), False),
        (record.Damaged("state.pt has changed since it was written"), False),
    ],
    ids=lambda value: type(value).__name__,
)
def test_a_fault_of_the_infrastructure_never_fails_a_trial(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, fault: Exception, ends_process: bool
) -> None:
    def raising() -> BaseException:
        return fault

    with monkeypatch.context() as patch:
        failing(patch, 3, raising)
        for _ in range(4):
            step = ended(begin(tmp_path))
            assert (step.status, step.ends_process, step.saved) == ("interrupted", ends_process, False)
            assert step.reason.startswith(type(fault).__name__)
    assert ended(begin(tmp_path)).status == "finished"


def test_what_ends_a_process_is_not_held_up(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    failing(monkeypatch, 2, KeyboardInterrupt)
    with pytest.raises(KeyboardInterrupt):
        ended(begin(tmp_path))


@pytest.mark.parametrize("method", ["write", "write_folder"])
def test_a_fault_that_cannot_be_recorded_is_no_other_fault(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, method: str, caplog: pytest.LogCaptureFixture
) -> None:
    failing(monkeypatch, 2, broken)
    ended(begin(tmp_path))
    second = begin(tmp_path)
    with monkeypatch.context() as patch, caplog.at_level(logging.WARNING):

        def full(*arguments: Any) -> None:
            raise OSError("no space left on device")

        patch.setattr(Folder, method, full)
        step = ended(second)
    assert step.status == "interrupted"
    assert step.reason.startswith("RuntimeError: the shapes do not fit")
    assert "the fault of trial t is not recorded: no space left on device" in caplog.text
    assert newest(tmp_path).manifest.status == "running"


# -- fencing ---------------------------------------------------------------------------------------------------------


def test_a_run_that_was_superseded_ends_and_writes_nothing(tmp_path: Path) -> None:
    zombie, folder = begin(tmp_path), Storage.at(str(tmp_path))
    zombie.step()
    successor = begin(tmp_path)
    successor.step()
    before = folder.tree()
    step = ended(zombie)
    assert (step.status, step.saved) == ("interrupted", False)
    assert step.reason.startswith("Superseded: ")
    assert folder.tree() == before
    assert ended(successor).status == "finished"


def test_a_superseded_run_records_no_failure(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = Storage.at(str(tmp_path))
    failing(monkeypatch, 3, broken)
    ended(begin(tmp_path))
    zombie = begin(tmp_path, trial(every=None))

    def late() -> BaseException:
        Run.begin(folder, record.scan(folder))
        return broken()

    failing(monkeypatch, 3, late)
    step = ended(zombie)
    assert (step.status, step.saved) == ("interrupted", False)
    assert newest(tmp_path).manifest.status == "running"


def test_a_worker_of_an_older_launch_does_not_begin(tmp_path: Path) -> None:
    Run.begin(Storage.at(str(tmp_path)), record.Scan(), 2)
    before = Storage.at(str(tmp_path)).tree()
    assert ended(begin(tmp_path)).status == "interrupted"
    assert Storage.at(str(tmp_path)).tree() == before


# -- without Ray -----------------------------------------------------------------------------------------------------


def test_inline_tells_of_every_row_and_returns_the_last_manifest(tmp_path: Path) -> None:
    rows: list[Any] = []
    manifest = run_inline(trial(), materials, Storage.at(str(tmp_path)), rows.append)
    assert [row["epoch"] for row in rows] == [1, 2, 3, 4]
    assert (manifest.status, manifest.epoch, manifest.attempt) == ("finished", 4, 1)
    assert manifest == newest(tmp_path).manifest
    assert run_inline(trial(), materials, Storage.at(str(tmp_path)), rows.append) == manifest
    assert len(rows) == 4, "a finished trial is not run again"


def test_inline_needs_no_listener_and_saves_when_it_is_due(tmp_path: Path) -> None:
    assert run_inline(trial(every=None), materials, Storage.at(str(tmp_path))).epoch == 4
    assert Storage.at(str(tmp_path)).names("run-000001-001") == ["checkpoint_000001", "start.json"]


def test_an_inline_trial_that_fails_ends(tmp_path: Path) -> None:
    rows: list[Any] = []
    recipe = {"epochs": 30, "batch_size": 8, "lr": 1000.0, "weight_decay": 1.0}
    manifest = run_inline(tiny.trial(recipe=recipe), materials, Storage.at(str(tmp_path)), rows.append)
    assert (manifest.status, manifest.epoch) == ("failed", len(rows))
    assert len(rows) < 30


def test_inline_raises_what_may_pass_and_goes_on_when_called_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with monkeypatch.context() as patch:
        failing(patch, 3, lambda: OSError("gone"))
        with pytest.raises(Interrupted, match=r"OSError: gone \("):
            run_inline(trial(), materials, Storage.at(str(tmp_path)))
    rows: list[Any] = []
    assert run_inline(trial(), materials, Storage.at(str(tmp_path)), rows.append).status == "finished"
    assert [row["epoch"] for row in rows] == [3, 4]


def test_a_state_of_another_trial_is_never_loaded(tmp_path: Path) -> None:
    other = tiny.trial(seed=9, run={"uid": "u", "trial": "t"})
    run = Run.begin(Storage.at(str(tmp_path)), record.Scan())
    part = Trial(other, materials)
    part.step()
    run.save(part.manifest(), Contents(part.rows, part.trainer.state()))
    step = ended(begin(tmp_path))
    assert step.status == "interrupted"
    assert "a trial goes on only from its own checkpoint" in step.reason
