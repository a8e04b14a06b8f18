"""The storage fails for a while: no trial fails for that, none is lost, and no thread of the driver dies of it.

A disk that is full for five seconds is part of `test_power_cut`.
"""

import errno
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support import loop_disk, recorded
from tests.support.black_box import Command
from tests.support.events import Appearances, Moment
from tests.support.loop_disk import LoopDisk, Mounted, mounted
from tests.support.sick_disk import Fails, Full, Sickness

pytestmark = [pytest.mark.chaos, pytest.mark.timeout(1200)]


def survives(sickness: Sickness, seconds: float, command: Command, straight: Command) -> None:
    """Sick from the 20th save on; the driver may wait, or end before."""
    command.copy_prepared(straight)
    with Appearances(command.storage) as appearances:
        first = command.start()
        appearances.wait(Moment(recorded.SAVED, 20), lambda: first.poll() is None)
    sickness.last(seconds, lambda: command.goes_on(first))
    status, output = command.ended(first, 300), command.output
    if status != 0:
        command.run_until_done()
    command.assert_undisturbed(straight)
    assert "Traceback" not in output, output


@pytest.fixture
def disk(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Mounted]:
    """A mounted disk of its own; by default ext4."""
    kind: str = getattr(request, "param", "ext4")
    loop_disk.needs(kind)
    with mounted(LoopDisk.made(tmp_path / "image", kind), tmp_path / "mounted") as made:
        yield made


@pytest.fixture
def on_disk(disk: Mounted, tmp_path: Path) -> Iterator[Command]:
    """The command with its storage on that disk."""
    made = Command(tmp_path, disk.folder / "results")
    made.storage.mkdir()
    yield made
    made.family.kill()


@pytest.mark.parametrize("seconds", [60, 300])
@pytest.mark.parametrize("disk", ["ext4", "xfs"], indirect=True)
def test_a_disk_that_is_full_for_long(seconds: float, disk: Mounted, on_disk: Command, straight: Command) -> None:
    survives(Full(disk.folder), seconds, on_disk, straight)


@pytest.mark.parametrize("seconds", [5, 60, 300])
@pytest.mark.parametrize("number", [errno.EIO, errno.EROFS, errno.ESTALE], ids=lambda number: errno.errorcode[number])
def test_a_storage_that_fails(number: int, seconds: float, command: Command, straight: Command) -> None:
    sickness = Fails(command.storage, number, command.folder)
    command.environment = sickness.environment
    survives(sickness, seconds, command, straight)
