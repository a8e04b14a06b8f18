"""Cut the power of the disk that holds the storage: what the record says is on it stays there.

The disk is a file behind a loop device. A copy of the file at one moment is the disk after a power cut at that moment.
"""

import dataclasses
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support import loop_disk, recorded
from tests.support.black_box import Command
from tests.support.events import Appearances, Moment
from tests.support.loop_disk import LoopDisk, Mounted, mounted
from tests.support.sick_disk import Full
from trainables.record import Checkpoint

pytestmark = [pytest.mark.slow, pytest.mark.timeout(1800)]

#: A save that is seen may still wait for the disk; it counts when it has been there for this long.
SETTLED_SECONDS = 0.5
#: The study makes 90 saves.
MOMENTS = (
    *(Moment(recorded.SAVED, count) for count in (1, 4, 12, 25, 40, 70)),
    *(Moment(recorded.SAVING, count) for count in (8, 32, 55)),
)


@dataclasses.dataclass(frozen=True)
class Cut:
    """The disk after a power cut, and what its storage held for sure before."""

    disk: LoopDisk
    before: dict[str, Checkpoint]


def cuts_while_it_runs(
    command: Command, disk: Mounted, moments: tuple[Moment, ...], full_seconds: float
) -> Iterator[Cut]:
    """Cuts at the moments, and, after the disk was full for a while, one as soon as the command has exited with 0."""
    with Appearances(command.storage) as appearances:
        process = command.start()
        for number, moment in enumerate(sorted(moments, key=lambda moment: moment.count)):
            appearances.wait(moment, lambda: process.poll() is None)
            before = command.trials()
            time.sleep(SETTLED_SECONDS)
            # Stopped, the processes add nothing to the disk, so that there is time for a copy.
            with command.family.stopped():
                yield Cut(disk.copy_as_cut(command.folder / f"cut-{number}"), before)
    if full_seconds:
        Full(disk.folder).last(full_seconds, lambda: command.goes_on(process))
    if command.ended(process) != 0:
        assert full_seconds, command.output
        command.run_until_done()
    yield Cut(disk.copy_as_cut(command.folder / "cut-exited"), command.trials())
    assert "Traceback" not in command.output


def losses(cut: Cut, folder: Path) -> list[str]:
    """What is not on the disk after a cut, but should be."""
    with mounted(cut.disk, folder):
        after = recorded.trials(folder / "results", "faults")
    found = []
    for name, checkpoint in cut.before.items():
        left = after[name].manifest if name in after else None
        epoch, status = checkpoint.manifest.epoch, checkpoint.manifest.status
        if left is None or (status == "finished" and left != checkpoint.manifest) or left.epoch < epoch - 1:
            found.append(f"{name}: {status} at epoch {epoch}, then {left and (left.status, left.epoch)}")
    return found


def goes_on(cut: Cut, folder: Path, straight: Command) -> None:
    """The command ends on the disk after a cut with the numbers of an undisturbed run."""
    workplace = folder / f"{cut.disk.image.name}-again"
    workplace.mkdir()
    with mounted(cut.disk, workplace / "mounted"):
        command = Command(workplace, workplace / "mounted" / "results")
        command.storage.mkdir(exist_ok=True)
        try:
            command.run_until_done(most=1)
            command.assert_undisturbed(straight)
        finally:
            command.family.kill()


def attack(
    kind: str, moments: tuple[Moment, ...], again: slice, tmp_path: Path, straight: Command, full_seconds: float = 0
) -> None:
    """Cut at the moments and after the end; run the command again on some of the disks."""
    loop_disk.needs(kind)
    with mounted(LoopDisk.made(tmp_path / "image", kind), tmp_path / "mounted") as disk:
        command = Command(tmp_path, disk.folder / "results")
        command.storage.mkdir()
        command.copy_prepared(straight)
        disk.sync()
        try:
            cuts = list(cuts_while_it_runs(command, disk, moments, full_seconds))
            command.assert_undisturbed(straight)
        finally:
            command.family.kill()
    found = {cut.disk.image.name: losses(cut, tmp_path / "scanned") for cut in cuts}
    lost = {name: what for name, what in found.items() if what}
    assert not lost, f"lost by {len(lost)} of {len(cuts)} cuts: {lost}"
    for cut in cuts[again]:
        goes_on(cut, tmp_path, straight)


@pytest.mark.parametrize("kind", ["ext4", pytest.param("xfs", marks=pytest.mark.thorough)])
def test_a_cut_keeps_what_was_synced_and_nothing_else(kind: str, tmp_path: Path) -> None:
    """The harness itself: files written without fsync are lost, so the cuts are no gentler than real ones."""
    loop_disk.needs(kind)
    with mounted(LoopDisk.made(tmp_path / "image", kind), tmp_path / "mounted") as disk:
        (disk.folder / "synced").write_bytes(b"kept")
        disk.sync()
        (disk.folder / "later").write_bytes(b"lost")
        cut = disk.copy_as_cut(tmp_path / "cut")
    with mounted(cut, tmp_path / "scanned"):
        assert (tmp_path / "scanned" / "synced").read_bytes() == b"kept"
        assert not (tmp_path / "scanned" / "later").exists()


def test_power_cuts_and_a_full_disk(tmp_path: Path, straight: Command) -> None:
    moments = (Moment(recorded.SAVED, 4), Moment(recorded.SAVING, 18), Moment(recorded.SAVED, 45))
    attack("ext4", moments, slice(2, 3), tmp_path, straight, full_seconds=5)


@pytest.mark.chaos
@pytest.mark.parametrize("kind", ["ext4", "xfs"])
def test_ten_power_cuts(kind: str, tmp_path: Path, straight: Command) -> None:
    attack(kind, MOMENTS, slice(None), tmp_path, straight)
