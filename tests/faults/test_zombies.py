"""A worker that everybody takes for dead is only stopped, and wakes up late: the record is its successor's."""

import contextlib
import os
import signal
import time
from multiprocessing.context import ForkServerContext
from pathlib import Path

import psutil
import pytest

from tests.faults.conftest import configs
from tests.support import injected
from tests.support.black_box import Command
from tests.support.injected import Fault, Point
from tests.support.trials import recorded, same
from trainables.record import Checkpoint

pytestmark = pytest.mark.timeout(400)


def await_stop(pid: int, seconds: float = 60) -> None:
    until = time.monotonic() + seconds
    while psutil.Process(pid).status() != psutil.STATUS_STOPPED:
        assert time.monotonic() < until
        time.sleep(0.01)


def files(folder: Path) -> dict[str, bytes]:
    return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


@pytest.mark.parametrize("launch", [1, 2], ids=["same launch", "next launch"])
@pytest.mark.parametrize("point", ["step", "save", "report"])
def test_a_worker_wakes_up_after_its_successor_has_finished(
    point: Point, launch: int, tmp_path: Path, undisturbed: list[Checkpoint], fresh: ForkServerContext
) -> None:
    trial = configs(tmp_path)[0]
    folder = Path(str(trial.run.folder))
    zombie = fresh.Process(target=injected.work, args=([trial.plain()], [Fault(point, "stop", tmp_path / "struck")]))
    zombie.start()
    try:
        await_stop(int(zombie.pid or 0))
        again = trial.model_copy(update={"run": trial.run.model_copy(update={"attempt": launch})})
        successor = fresh.Process(target=injected.work, args=([again.plain()], []))
        successor.start()
        successor.join(60)
        assert successor.exitcode == 0
        run = folder / ("run-000001-002" if launch == 1 else "run-000002-001")
        record, written = recorded(folder), files(run)
        assert record.manifest.status == "finished"
    finally:
        os.kill(int(zombie.pid or 0), signal.SIGCONT)
    zombie.join(60)
    assert zombie.exitcode == 1, "it ends, because it was superseded"
    assert recorded(folder) == record
    assert files(run) == written
    same(undisturbed[0], record)


@pytest.mark.slow
@pytest.mark.thorough
def test_a_study_ends_although_a_worker_has_stopped(command: Command, straight: Command) -> None:
    command.copy_prepared(straight)
    fault = Fault("save", "stop", command.folder / "struck")
    command.environment, command.options = injected.environment([fault]), ("--set", "stall=12")
    assert command.ended(command.start()) == 0, command.output
    assert fault.flag.exists()
    command.assert_undisturbed(straight)


@pytest.mark.slow
@pytest.mark.thorough
def test_a_whole_node_wakes_up_after_the_next_launch(command: Command, straight: Command) -> None:
    """All of Ray's processes are stopped while a worker saves, and their driver dies."""
    command.copy_prepared(straight)
    fault = Fault("save", "stop", command.folder / "struck")
    command.environment = injected.environment([fault])
    first = command.start()
    until = time.monotonic() + 120
    while not fault.flag.exists():
        assert command.goes_on(first), command.output
        assert time.monotonic() < until
        time.sleep(0.05)
    node = [each for each in command.family.living() if each.pid != first.pid]
    for process in node:
        with contextlib.suppress(psutil.NoSuchProcess):
            process.suspend()
    try:
        first.kill()
        first.wait()
        second = Command(command.folder, command.storage, runs=command.runs)
        second.run_until_done()
        before = command.trials()
    finally:
        for process in node:
            with contextlib.suppress(psutil.NoSuchProcess):
                process.resume()
    left = command.family.left_after(30)
    assert not left, left
    assert command.trials() == before
    command.assert_undisturbed(straight)
