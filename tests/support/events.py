"""Waits for files to appear below a folder, through Linux's inotify: within a fraction of a millisecond."""

import contextlib
import ctypes
import dataclasses
import itertools
import os
import re
import select
import struct
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from types import TracebackType

_CREATE, _MOVED_TO, _IS_DIRECTORY = 0x100, 0x80, 0x40000000
_libc = ctypes.CDLL(None, use_errno=True)


@dataclasses.dataclass(frozen=True)
class Moment:
    """When the n-th file or folder appears whose path, relative to the watched folder, matches a pattern as a whole."""

    pattern: str
    count: int = 1


class Ended(AssertionError):
    """The command ended before the moment."""


class Appearances:
    """Sees every file and folder that appears below a folder, while it is entered as a context manager.

    What appears in a new folder before that is watched is found by listing it.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._seen: dict[str, None] = {}
        self._folders: dict[int, Path] = {}
        self._news = threading.Condition()
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._read, name="appearances", daemon=True)

    def __enter__(self) -> "Appearances":
        self._inotify = _libc.inotify_init1(os.O_CLOEXEC)
        self._watch(self._folder)
        self._seen.clear()
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._over.set()
        self._thread.join()
        os.close(self._inotify)

    def wait(self, moment: Moment, going_on: Callable[[], bool], seconds: float = 120) -> str:
        """Return the path at the moment.

        Args:
            moment: counted from the entry.
            going_on: asked now and then; the moment must come while it says yes.
            seconds: at most.
        """
        until = time.monotonic() + seconds
        matches: list[str] = []
        done = 0
        with self._news:
            while True:
                news = itertools.islice(self._seen, done, None)
                matches += [path for path in news if re.fullmatch(moment.pattern, path)]
                done = len(self._seen)
                if len(matches) >= moment.count:
                    return matches[moment.count - 1]
                if not going_on():
                    raise Ended(f"the command ended before {moment}, after {len(matches)}")
                assert time.monotonic() < until, f"{moment} did not come in {seconds} s, {len(matches)} did"
                self._news.wait(0.2)

    def _read(self) -> None:
        while not self._over.is_set():
            if not select.select([self._inotify], [], [], 0.2)[0]:
                continue
            content = os.read(self._inotify, 1 << 16)
            with self._news:
                for number, mask, name in _events(content):
                    path = self._folders[number] / name
                    self._seen[str(path.relative_to(self._folder))] = None
                    if mask & _IS_DIRECTORY:
                        self._watch(path)
                self._news.notify_all()

    def _watch(self, folder: Path) -> None:
        number = _libc.inotify_add_watch(self._inotify, os.fsencode(folder), _CREATE | _MOVED_TO)
        if number < 0:
            return  # removed again already
        self._folders[number] = folder
        with contextlib.suppress(FileNotFoundError):
            for path in sorted(folder.iterdir()):
                self._seen[str(path.relative_to(self._folder))] = None
                if path.is_dir():
                    self._watch(path)


def _events(content: bytes) -> Iterator[tuple[int, int, str]]:
    """The watch, mask and name of each event."""
    while content:
        number, mask, _, length = struct.unpack_from("iIII", content)
        yield number, mask, os.fsdecode(content[16 : 16 + length].rstrip(b"\0"))
        content = content[16 + length :]
