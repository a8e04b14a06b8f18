"""The process that runs Ray ends with its driver, and with all of its session."""

import contextlib
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import psutil
import pytest

#: Stands for the driver: starts the leader of a session, says which process that is, and waits.
DRIVER = """\
import subprocess, sys
leader = subprocess.Popen([sys.executable, {leader!r}], start_new_session=True)
print(leader.pid, flush=True)
sys.exit(leader.wait())
"""
#: The leader of the session: starts what stands for Ray's servers and a worker, and watches as ``ray_process`` does.
LEADER = """\
import os, subprocess, sys, threading, time
from ctkd_study.cluster import ray_process
ray_process._LOOK_SECONDS = 0.1
driver = os.getppid()
for name in {servers!r}:
    subprocess.Popen([name, "600"], executable={folder!r} + "/" + name)
subprocess.Popen([sys.executable, "-c", "import os, time; os.setpgid(0, 0); time.sleep(600)"])
threading.Thread(target=ray_process._watch, args=(driver, {is_local!r}, {scratch!r}), daemon=True).start()
time.sleep(600)
"""


def session(leader: int) -> list[psutil.Process]:
    """What runs in a session."""
    found = []
    for process in psutil.process_iter():
        with contextlib.suppress(ProcessLookupError, psutil.NoSuchProcess):
            if os.getsid(process.pid) == leader and process.status() != psutil.STATUS_ZOMBIE:
                found.append(process)
    return found


def awaited(condition: Callable[[], Any], seconds: float = 20) -> Any:
    until = time.monotonic() + seconds
    while not (value := condition()):
        assert time.monotonic() < until, "what the test waits for did not happen"
        time.sleep(0.02)
    return value


class Started:
    """A driver and the session that it has started."""

    def __init__(self, folder: Path, servers: tuple[str, ...], is_local: bool) -> None:
        for name in servers:
            (folder / name).symlink_to("/bin/sleep")
        self.folder = folder
        (folder / "leader.py").write_text(
            LEADER.format(folder=str(folder), servers=servers, is_local=is_local, scratch=str(folder / "scratch"))
        )
        (folder / "driver.py").write_text(DRIVER.format(leader=str(folder / "leader.py")))
        self.driver = subprocess.Popen(
            [sys.executable, str(folder / "driver.py")], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
        )
        assert self.driver.stdout is not None
        self.leader = int(self.driver.stdout.readline())
        awaited(lambda: len(session(self.leader)) == len(servers) + 2)

    def server(self, name: str) -> psutil.Process:
        return next(process for process in session(self.leader) if process.name() == name)

    def end(self) -> None:
        self.driver.kill()
        for process in session(self.leader):
            process.kill()
        self.driver.communicate()


@pytest.fixture
def started(tmp_path: Path) -> Iterator[Callable[..., Started]]:
    made: list[Started] = []

    def start(*servers: str, is_local: bool = True) -> Started:
        made.append(Started(tmp_path, servers, is_local))
        return made[-1]

    yield start
    for each in made:
        each.end()


def test_all_ends_with_the_driver(started: Callable[..., Started]) -> None:
    one = started("raylet")
    scratch = one.folder / "scratch"
    (scratch / "of-tune").mkdir(parents=True)
    one.driver.kill()
    one.driver.wait()
    awaited(lambda: not session(one.leader), 5)
    assert not scratch.exists(), "what nobody reads is left"


@pytest.mark.parametrize("name", ["raylet", "gcs_server"])
def test_all_ends_with_one_of_a_local_ray_s_servers(started: Callable[..., Started], name: str) -> None:
    one = started("raylet", "gcs_server", "dashboard")
    time.sleep(0.5)
    assert len(session(one.leader)) == 5, "nothing has happened"
    one.server("dashboard").kill()
    time.sleep(0.5)
    assert len(session(one.leader)) == 4, "Ray goes on without"
    one.server(name).send_signal(signal.SIGKILL)
    _, errors = one.driver.communicate(timeout=10)
    assert errors == f"Ray's {name} died\n"
    assert one.driver.returncode == 1
    awaited(lambda: not session(one.leader), 5)


def test_servers_of_a_cluster_are_not_ours(started: Callable[..., Started]) -> None:
    one = started("raylet", is_local=False)
    time.sleep(0.5)
    one.server("raylet").kill()
    time.sleep(0.5)
    assert len(session(one.leader)) == 2
    assert one.driver.poll() is None
