"""The command `ui` with a real MLflow server: it ends with the command, and the command with it."""

import contextlib
import os
import signal
import subprocess
import sys
import time
import urllib.request
from collections.abc import Callable, Iterator
from pathlib import Path

import psutil
import pytest

from ctkd_study.records import StudyFolder
from ctkd_study.study import Study
from tests.support import studies
from tests.support.tracking_cases import free_port, wait_for
from trainables.storage import Storage


class Ui:
    """`ui` of a study without trials, in a process of its own."""

    def __init__(self, folder: Path) -> None:
        self.port = free_port()
        arguments = ["ui", "small", "--storage", str(folder), "--port", str(self.port), "--no-browser"]
        self.log = folder / f"{self.port}.log"
        with self.log.open("wb") as log:  # a pipe would be held open by a server that is left behind
            self.process = subprocess.Popen(
                [sys.executable, "-m", "ctkd_study.cli", *arguments],
                stdout=log,
                stderr=log,
                cwd=folder,
                start_new_session=True,
            )

    def servers(self) -> list[psutil.Process]:
        """Its server, the server's workers, and the watchdog."""
        return psutil.Process(self.process.pid).children(recursive=True)

    def server(self) -> psutil.Process | None:
        """MLflow's own process, once it is there."""
        return next((each for each in psutil.Process(self.process.pid).children() if "mlflow" in each.cmdline()), None)

    def answers(self) -> bool:
        assert self.process.poll() is None, self.log.read_text()
        try:
            with urllib.request.urlopen(f"http://127.0.0.1:{self.port}/health", timeout=1) as answer:
                return bool(answer.read() == b"OK")
        except OSError:
            return False


@pytest.fixture(scope="module")
def results(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A storage that holds the study, in MLflow, too."""
    folder = tmp_path_factory.mktemp("results")
    study = Study(**studies.plain())
    StudyFolder(Storage.at(str(folder)), "small").store(study.spec)
    assert study.sync(str(folder)).complete
    return folder


@pytest.fixture
def ui(results: Path) -> Iterator[Ui]:
    found = Ui(results)
    groups: list[int] = []
    try:
        wait_for(lambda: found.server() is not None)
        groups = [server.pid for server in found.servers()]
        yield found
    finally:
        # Only for a test that fails: whatever it left behind.
        found.process.kill()
        found.process.wait()
        for group in groups:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(group, signal.SIGKILL)


def _ended(process: psutil.Process) -> bool:
    try:
        return process.status() == psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return True


def _assert_ends(ui: Ui, end: Callable[[], object], status: int) -> str:
    servers = ui.servers()
    end()
    returncode = ui.process.wait(timeout=60)
    output = ui.log.read_text()
    assert returncode == status, output
    wait_for(lambda: all(_ended(server) for server in servers))
    assert "Traceback" not in output.partition("Ctrl-C stops it.")[0]
    return output


def test_sigterm_ends_the_server_and_its_workers(ui: Ui) -> None:
    wait_for(ui.answers)
    assert len(ui.servers()) > 2
    output = _assert_ends(ui, ui.process.terminate, 143)
    assert f"http://127.0.0.1:{ui.port}/#/experiments/1/runs?workflowType=machine_learning" in output


def test_sigterm_to_the_process_group_does_so_too(ui: Ui) -> None:
    wait_for(ui.answers)
    began = time.monotonic()
    _assert_ends(ui, lambda: os.killpg(ui.process.pid, signal.SIGTERM), 143)
    assert time.monotonic() - began < 15


@pytest.mark.thorough
def test_a_killed_command_leaves_no_server(ui: Ui) -> None:
    wait_for(ui.answers)
    _assert_ends(ui, ui.process.kill, -signal.SIGKILL)


def test_ctrl_c_ends_a_server_that_still_starts(ui: Ui) -> None:
    output = _assert_ends(ui, lambda: ui.process.send_signal(signal.SIGINT), 130)
    assert "ctkd-study: stopped" in output


def test_a_server_that_dies_ends_the_command_and_leaves_no_worker(ui: Ui) -> None:
    wait_for(lambda: len(ui.servers()) > 2)
    server = ui.server()
    assert server is not None
    output = _assert_ends(ui, server.kill, 1)
    assert "MLflow's server ended by itself, with status -9" in output
