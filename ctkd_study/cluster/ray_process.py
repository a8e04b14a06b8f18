"""The process that runs Ray: started by the driver, ended with it.

It is the leader of a session of its own, so that all of Ray's processes can be found and ended, and so that a signal to
the driver's process group reaches the driver alone.
"""

import contextlib
import os
import shutil
import signal
import sys
import threading
import time
from multiprocessing.connection import Connection
from pathlib import Path

import psutil

from ctkd_study.cluster.desk import Ended, caller
from ctkd_study.cluster.session import quiet, ray_session

_SERVERS = ("gcs_server", "raylet")
_LOOK_SECONDS = 1.0
_END_SECONDS, _PAUSE_SECONDS = 5.0, 0.02


def end_session(leader: int) -> None:
    """Kill all processes of a session but this one, also those started meanwhile; waits until they have ended."""
    until = time.monotonic() + _END_SECONDS
    while (living := _session(leader)) and time.monotonic() < until:
        for pid in living:
            with contextlib.suppress(ProcessLookupError, PermissionError):
                os.kill(pid, signal.SIGKILL)
        time.sleep(_PAUSE_SECONDS)


def _session(leader: int) -> list[int]:
    found = []
    for pid in psutil.pids():
        with contextlib.suppress(ProcessLookupError, PermissionError, psutil.NoSuchProcess):
            if os.getsid(pid) == leader and pid != os.getpid() and _runs(psutil.Process(pid)):
                found.append(pid)
    return found


def main(connection: Connection, address: str | None, driver: int, scratch: str) -> None:
    """Run a launch's trials.

    Args:
        connection: to the driver.
        address: of a running cluster; None starts one on this machine.
        driver: the process that started this one.
        scratch: a folder for what nobody reads; the driver removes it, or this process if the driver is gone.
    """
    threading.Thread(target=_watch, args=(driver, address is None, scratch), daemon=True).start()
    desk, ended = caller(connection), Ended()
    with contextlib.ExitStack() as session:
        try:
            quiet()
            # Imports Ray, which reads its environment then; it takes seconds, in which the driver reads the study.
            from ctkd_study.cluster.tune_internals import keep_notes_in
            from ctkd_study.cluster.tuner import run_trials

            brief = desk.brief()
            session.enter_context(ray_session(address))
            if address is None:
                keep_notes_in(Path(scratch, "notes"))
            run_trials(desk, brief, scratch)
        except (EOFError, BrokenPipeError):
            return  # the driver is gone
        except BaseException as error:  # the driver says what it was
            ended = Ended.by(error)
        if address is None:
            connection.send(ended)
            signal.pause()  # the driver ends the session: quicker than Ray itself, and surer
    connection.send(ended)


def _watch(driver: int, is_local: bool, scratch: str) -> None:
    """End this process and all of Ray's when the driver is gone, or one of the servers of a local Ray."""
    servers: dict[psutil.Process, str] = {}
    while os.getppid() == driver:
        time.sleep(_LOOK_SECONDS)
        if is_local:
            children = {child: _name(child) for child in psutil.Process().children()}
            servers |= {child: name for child, name in children.items() if name in _SERVERS}
            if dead := sorted(name for server, name in servers.items() if not _runs(server)):
                print(f"Ray's {', '.join(dead)} died", file=sys.stderr, flush=True)
                break
    end_session(os.getpid())
    shutil.rmtree(scratch, ignore_errors=True)
    os._exit(1)


def _runs(process: psutil.Process) -> bool:
    try:
        return process.is_running() and process.status() != psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:  # it ended in between
        return False


def _name(process: psutil.Process) -> str:
    try:
        return process.name()
    except psutil.Error:
        return ""


if __name__ == "__main__":
    _, descriptor, where, parent, folder = sys.argv
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    main(Connection(int(descriptor)), where or None, int(parent), folder)
