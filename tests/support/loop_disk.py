"""A small disk in a file, mounted through a loop device: its file is what a power cut would leave on the disk."""

import contextlib
import errno
import functools
import os
import shutil
import subprocess
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

#: Name of the file system, its size in MB (the smallest that mkfs.xfs makes is 300) and the options of mkfs.
KINDS: dict[str, tuple[int, tuple[str, ...]]] = {"ext4": (64, ("-q", "-F")), "xfs": (300, ("-q", "-f"))}


@functools.cache
def why_not(kind: str) -> str | None:
    """Why this machine can't mount such a disk; None if it can."""
    if os.geteuid() != 0:
        return "only root may mount a disk"
    if shutil.which(f"mkfs.{kind}") is None:
        return f"mkfs.{kind} is not installed"
    with tempfile.TemporaryDirectory() as folder:
        try:
            with mounted(LoopDisk.made(Path(folder) / "image", kind), Path(folder) / "mounted"):
                return None
        except (subprocess.CalledProcessError, FileNotFoundError) as fault:
            return f"no {kind} can be mounted here: {fault}"


def needs(kind: str) -> None:
    """Skip the test where no such disk can be mounted."""
    if reason := why_not(kind):
        pytest.skip(reason)


class LoopDisk:
    """A file system in a file."""

    def __init__(self, image: Path) -> None:
        self.image = image

    @classmethod
    def made(cls, image: Path, kind: str, megabytes: int | None = None) -> "LoopDisk":
        """Make an empty file system."""
        size, options = KINDS[kind]
        with image.open("wb") as file:
            file.truncate((megabytes or size) << 20)
        _run(f"mkfs.{kind}", *options, str(image))
        return cls(image)


class Mounted:
    """A disk that is mounted.

    The file holds what the file system has written to its device. Pages that the file system still keeps in memory
    have not reached it.
    """

    def __init__(self, device: str, image: Path, folder: Path) -> None:
        self.device, self.image, self.folder = device, image, folder

    def copy_as_cut(self, target: Path, seconds: float = 30) -> LoopDisk:
        """Copy the file as a power cut at one moment would leave it: without a write to the device meanwhile."""
        until = time.monotonic() + seconds
        while True:
            before = self._writes()
            _copy_sparse(self.image, target)
            if before[1] == 0 and self._writes() == before:
                return LoopDisk(target)
            assert time.monotonic() < until, f"{self.device} was written to all the time for {seconds} s"

    def sync(self) -> None:
        """Write all that the file system keeps in memory."""
        _run("sync", "--file-system", str(self.folder))

    def _writes(self) -> tuple[int, int]:
        """Writes completed so far, and requests in flight (Linux: Documentation/block/stat.rst)."""
        fields = Path("/sys/block", Path(self.device).name, "stat").read_text().split()
        return int(fields[4]), int(fields[8])


@contextlib.contextmanager
def mounted(disk: LoopDisk, folder: Path) -> Iterator[Mounted]:
    """Mount a disk at a folder, which is made, for the time of the block."""
    folder.mkdir(exist_ok=True)
    device = _run("losetup", "--find", "--show", str(disk.image)).strip()
    try:
        _run("mount", device, str(folder))
        try:
            yield Mounted(device, disk.image, folder)
        finally:
            _unmount(folder)
    finally:
        _run("losetup", "--detach", device)


def _unmount(folder: Path, seconds: float = 20) -> None:
    """Processes that have just been killed may keep it for a moment."""
    until = time.monotonic() + seconds
    while subprocess.run(["umount", str(folder)], capture_output=True, check=False).returncode != 0:
        if time.monotonic() > until:
            _run("umount", "--lazy", str(folder))
            return
        time.sleep(0.2)


def _copy_sparse(source: Path, target: Path) -> None:
    """Copy the parts of a file that hold data."""
    with source.open("rb") as reader, target.open("wb") as writer:
        writer.truncate(os.fstat(reader.fileno()).st_size)
        end = 0
        while (begin := _next_data(reader.fileno(), end)) is not None:
            end = os.lseek(reader.fileno(), begin, os.SEEK_HOLE)
            while begin < end:
                begin += os.copy_file_range(reader.fileno(), writer.fileno(), end - begin, begin, begin)


def _next_data(file: int, begin: int) -> int | None:
    """Where the next data of an open file begins; None if only a hole is left."""
    try:
        return os.lseek(file, begin, os.SEEK_DATA)
    except OSError as fault:
        if fault.errno == errno.ENXIO:
            return None
        raise


def _run(*command: str) -> str:
    return subprocess.run(command, check=True, capture_output=True, text=True).stdout
