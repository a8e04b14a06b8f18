"""The processes of a command: itself, Ray's daemons and workers, and those whose parent has died."""

import contextlib
import re
import time
from collections.abc import Callable, Iterator

import psutil

from tests.support.events import Ended

#: How each kind is told from the others: a pattern in its command line. A worker has its class and method in it.
KINDS = {
    "worker": r"^ray::\w*Trainable",
    "raylet": r"/raylet/raylet ",
    "gcs_server": r"/gcs/gcs_server ",
    "ray_process": r" -m ctkd_study\.cluster\.ray_process ",
    "agent": r"^ray::DashboardAgent",
    "log_monitor": r"/log_monitor\.py ",
}


class Family:
    """Knows every process that it has seen below the commands it was given, for as long as each lives."""

    def __init__(self) -> None:
        self._known: dict[int, psutil.Process] = {}

    def add(self, pid: int) -> None:
        self._known[pid] = psutil.Process(pid)

    def living(self) -> list[psutil.Process]:
        """All that run now; zombies do not."""
        running = {process.pid: process for process in psutil.process_iter() if _runs(process)}
        self._known = {pid: process for pid, process in self._known.items() if running.get(pid) == process}
        parents = {pid: _parent(process) for pid, process in running.items()}
        for pid, process in running.items():
            ancestor = pid
            while ancestor and ancestor not in self._known:
                ancestor = parents.get(ancestor, 0)
            if ancestor:
                self._known[pid] = process
        return list(self._known.values())

    def find(self, kind: str, going_on: Callable[[], bool], seconds: float = 30) -> psutil.Process:
        """The oldest process of a kind, as soon as there is one.

        Args:
            kind: of ``KINDS``.
            going_on: asked now and then; there must be one while it says yes.
            seconds: at most.
        """
        until = time.monotonic() + seconds
        while True:
            found = [process for process in self.living() if re.search(KINDS[kind], command_line(process))]
            if found:
                return min(found, key=psutil.Process.create_time)
            if not going_on():
                raise Ended(f"the command ended before there was a {kind}")
            assert time.monotonic() < until, f"no {kind} in {seconds} s"
            time.sleep(0.01)

    def left_after(self, seconds: float) -> list[str]:
        """The command lines of those that still run after some seconds; returns as soon as there are none."""
        until = time.monotonic() + seconds
        while (living := self.living()) and time.monotonic() < until:
            time.sleep(0.1)
        return [f"{process.pid} {command_line(process)[:100]}" for process in living]

    @contextlib.contextmanager
    def stopped(self) -> Iterator[None]:
        """Stop all for the time of the block."""
        living = self.living()
        for process in living:
            with contextlib.suppress(psutil.NoSuchProcess):
                process.suspend()
        try:
            yield
        finally:
            for process in living:
                with contextlib.suppress(psutil.NoSuchProcess):
                    process.resume()

    def kill(self) -> None:
        for process in self.living():
            with contextlib.suppress(psutil.NoSuchProcess):
                process.kill()


def command_line(process: psutil.Process) -> str:
    """The command line of a process; empty if it has ended."""
    try:
        return " ".join(process.cmdline())
    except psutil.Error:
        return ""


def _parent(process: psutil.Process) -> int:
    try:
        return process.ppid()
    except psutil.NoSuchProcess:
        return 0


def _runs(process: psutil.Process) -> bool:
    try:
        return process.is_running() and process.status() != psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return False
