"""Storage that fails for a while and is well again: a full disk, and any other error of the operating system."""

import contextlib
import os
import shutil
import subprocess
import time
from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping
from pathlib import Path

import pytest


class Sickness(ABC):
    """What is wrong with a storage from ``begin`` to ``end``."""

    @abstractmethod
    def begin(self) -> None: ...

    @abstractmethod
    def go_on(self) -> None:
        """Called now and then between ``begin`` and ``end``."""

    @abstractmethod
    def end(self) -> None: ...

    def last(self, seconds: float, going_on: Callable[[], bool]) -> None:
        """Be sick for some seconds, or until ``going_on``, asked now and then, says no."""
        self.begin()
        try:
            until = time.monotonic() + seconds
            while going_on() and time.monotonic() < until:
                self.go_on()
                time.sleep(0.1)
        finally:
            self.end()


class Full(Sickness):
    """Takes all the space of a disk, and what others free meanwhile."""

    def __init__(self, folder: Path) -> None:
        self._ballast = folder / "ballast"

    def begin(self) -> None:
        self.go_on()

    def go_on(self) -> None:
        with self._ballast.open("ab") as file:
            step = 1 << 24
            while step >= 1 << 12:
                try:
                    os.posix_fallocate(file.fileno(), file.seek(0, os.SEEK_END), step)
                except OSError:  # as much as this does not fit
                    step //= 2

    def end(self) -> None:
        self._ballast.unlink()


class Fails(Sickness):
    """Makes the calls of a command on paths below a folder fail with an error; needs a C compiler.

    Args:
        folder: which fails.
        errno: of the error.
        workplace: where the library that is loaded into the command is built.
    """

    def __init__(self, folder: Path, errno: int, workplace: Path) -> None:
        if shutil.which("gcc") is None:
            pytest.skip("gcc is not installed")
        self._folder, self._errno = folder, errno
        self._flag, self._library = workplace / "errno", workplace / "sick_disk.so"
        source = Path(__file__).with_suffix(".c")
        subprocess.run(["gcc", "-shared", "-fPIC", "-O1", "-o", self._library, source, "-ldl"], check=True)

    @property
    def environment(self) -> Mapping[str, str]:
        """With which the command is started."""
        return {
            "LD_PRELOAD": str(self._library),
            "RAY_LD_PRELOAD_ON_WORKERS": "1",  # otherwise Ray keeps it from its workers
            "SICK_FOLDER": f"{self._folder}/",
            "SICK_ERRNO": str(self._flag),
        }

    def begin(self) -> None:
        whole = self._flag.with_suffix(".new")
        whole.write_text(str(self._errno))
        whole.rename(self._flag)

    def go_on(self) -> None:
        pass

    def end(self) -> None:
        with contextlib.suppress(FileNotFoundError):
            self._flag.unlink()
