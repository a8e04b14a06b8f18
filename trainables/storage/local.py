"""Folders of a POSIX file system, on a local disk or shared by NFS.

The order is that of databases: write under a temporary name, fsync, rename, fsync the folder that holds the name.
"""

import contextlib
import errno
import os
import shutil
import stat
import uuid
from collections.abc import Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import ClassVar

from trainables.storage.base import NotAFile, Storage

_TEMPORARY = ".tmp"
_ODD = (errno.ELOOP, errno.ENXIO, errno.ENODEV)  # of a link, a socket, a device without a driver


class Folder(Storage):
    """A folder on this machine."""

    is_local: ClassVar[bool] = True

    def names(self, path: str = "") -> list[str]:
        return sorted(entry.name for entry in self._entries(path))

    def folders(self, path: str = "") -> list[str]:
        return sorted(entry.name for entry in self._entries(path) if entry.is_dir(follow_symlinks=False))

    def _entries(self, path: str) -> "list[os.DirEntry[str]]":
        try:
            with os.scandir(self.path(path)) as entries:
                return [entry for entry in entries if _is_ours(entry)]
        except (FileNotFoundError, NotADirectoryError):
            return []

    def tree(self, path: str = "") -> dict[str, int]:
        return dict(_files(self.path(path), ""))

    def exists(self, path: str = "") -> bool:
        return Path(self.path(path)).exists()

    def read(self, path: str) -> bytes:
        # No links: a folder that others made could point anywhere. No waiting: it could hold a pipe.
        odd = f"{self.path(path)} is no ordinary file"
        try:
            descriptor = os.open(self.path(path), os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
        except OSError as fault:
            raise (NotAFile(odd) if fault.errno in _ODD else fault) from None
        if not stat.S_ISREG(os.fstat(descriptor).st_mode):
            os.close(descriptor)
            raise NotAFile(odd)
        with os.fdopen(descriptor, "rb") as file:
            return file.read()

    def write(self, path: str, content: bytes) -> None:
        target = Path(self.path(path))
        _make(target.parent)
        with _temporary(target) as temporary:
            _write(temporary, content)
            temporary.replace(target)
        _sync(target.parent)

    def create(self, path: str, content: bytes) -> bool:
        target = Path(self.path(path))
        _make(target.parent)
        with _temporary(target) as temporary:
            _write(temporary, content)
            try:
                # A link, not a rename, which would replace a file; atomic on NFS, too.
                os.link(temporary, target)
            except FileExistsError:
                return False
        _sync(target.parent)
        return True

    def write_folder(self, path: str, contents: Mapping[str, bytes]) -> None:
        target = Path(self.path(path))
        _make(target.parent)
        with _temporary(target) as temporary:
            temporary.mkdir()
            # At once: the disk's journal is written for all of them together. One by one takes four times as long.
            with ThreadPoolExecutor(len(contents)) as threads:
                list(threads.map(_write, [temporary / name for name in contents], contents.values()))
            _sync(temporary)
            try:
                temporary.rename(target)
            except OSError as fault:
                raise (FileExistsError(f"{target} exists") if target.exists() else fault) from None
        _sync(target.parent)

    @property
    def is_link(self) -> bool:
        return Path(self.root).is_symlink()

    def sweep(self, path: str = "") -> None:
        for left in Path(self.path(path)).glob(f"*{_TEMPORARY}"):
            _discard(left)

    def remove(self, path: str) -> None:
        Path(self.path(path)).unlink(missing_ok=True)

    def remove_folder(self, path: str) -> None:
        with contextlib.suppress(FileNotFoundError):
            shutil.rmtree(self.path(path))

    def move(self, source: str, target: str) -> None:
        Path(self.path(source)).rename(self.path(target))
        _sync(Path(self.path(target)).parent)


def _is_ours(entry: "os.DirEntry[str]") -> bool:
    """Whether an entry is a file or folder that a writer has completed."""
    kind = entry.is_file(follow_symlinks=False) or entry.is_dir(follow_symlinks=False)
    return kind and not entry.name.endswith(_TEMPORARY)


def _files(folder: str, prefix: str) -> Iterator[tuple[str, int]]:
    with contextlib.suppress(FileNotFoundError, NotADirectoryError), os.scandir(folder) as entries:
        for entry in entries:
            if entry.is_dir(follow_symlinks=False) and _is_ours(entry):
                yield from _files(entry.path, f"{prefix}{entry.name}/")
            elif _is_ours(entry):
                with contextlib.suppress(FileNotFoundError):  # removed meanwhile
                    yield prefix + entry.name, entry.stat(follow_symlinks=False).st_size


def _make(folder: Path) -> None:
    """Make a folder and those above it, and have their names on the disk."""
    if folder.is_dir():
        return
    _make(folder.parent)
    folder.mkdir(exist_ok=True)
    _sync(folder.parent)


@contextlib.contextmanager
def _temporary(target: Path) -> Iterator[Path]:
    """Give a temporary name beside a file or folder; what still has it at the end is removed."""
    temporary = target.with_name(f"{target.name}.{uuid.uuid4().hex}{_TEMPORARY}")
    try:
        yield temporary
    finally:
        _discard(temporary)


def _discard(path: Path) -> None:
    with contextlib.suppress(OSError):
        if path.is_dir() and not path.is_symlink():
            shutil.rmtree(path)
        else:
            path.unlink(missing_ok=True)


def _write(path: Path, content: bytes) -> None:
    with path.open("xb") as file:
        file.write(content)
        file.flush()
        os.fsync(file.fileno())


def _sync(folder: Path) -> None:
    """Have the names in a folder on the disk."""
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
