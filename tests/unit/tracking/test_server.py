"""How MLflow's server is started, and what is said when it cannot be."""

import os
import socket
import subprocess
import sys
import traceback
from pathlib import Path

import psutil
import pytest

from ctkd_study.errors import StudyError, TrackingError
from ctkd_study.tracking import server
from ctkd_study.tracking.client import client_of
from ctkd_study.tracking.projection import sync
from ctkd_study.tracking.server import _is_loopback, _running, comparison_url, serve, server_command, server_environment
from tests.support.tracking_cases import Study, free_port, wait_for


def test_the_servers_command_holds_no_password() -> None:
    command = server_command("postgresql://me:s3cret@db/x", "127.0.0.1", 5001)
    assert command[1:] == ["-m", "mlflow", "server", "--workers", "1", "--host", "127.0.0.1", "--port", "5001"]
    command = server_command("sqlite:////data/mlflow.db", "0.0.0.0", 80)
    assert command[-2:] == ["--artifacts-destination", "/data/mlartifacts"]


def test_the_servers_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MLFLOW_LOGGING_LEVEL", "DEBUG")
    monkeypatch.setenv("MLFLOW_BACKEND_STORE_URI", "sqlite:///theirs.db")
    monkeypatch.delenv("MLFLOW_SERVER_ENABLE_JOB_EXECUTION", raising=False)
    environment = server_environment("sqlite:///ours.db")
    assert environment["MLFLOW_BACKEND_STORE_URI"] == "sqlite:///ours.db"
    assert environment["MLFLOW_LOGGING_LEVEL"] == "DEBUG"
    assert environment["MLFLOW_SERVER_ENABLE_JOB_EXECUTION"] == "false"
    assert environment["MLFLOW_DISABLE_TELEMETRY"] == "true"
    assert "PATH" in environment


def test_the_address_of_a_comparison(study: Study, database: str) -> None:
    with pytest.raises(TrackingError, match="no experiment of this study; `ctkd-study sync` creates it"):
        comparison_url(database, study.uid)
    sync(study.projection(database))
    page = "/#/experiments/1/runs?workflowType=machine_learning&compareRunsMode=CHART"
    address = comparison_url(database, study.uid, "http://127.0.0.1:5000")
    assert address == f"http://127.0.0.1:5000{page}&viewStateShareKey=by-arm"
    client_of(database).delete_experiment_tag("1", "mlflow.sharedViewState.by-arm")
    assert comparison_url(database, study.uid, "http://127.0.0.1:5000") == f"http://127.0.0.1:5000{page}"
    client_of(database).delete_experiment("1")
    with pytest.raises(TrackingError, match="no experiment of this study"):
        comparison_url(database, study.uid)


def test_a_dead_server_is_named_without_its_password(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level("INFO", "ctkd_study")
    port = free_port()
    uri = f"http://me:s3cret@127.0.0.1:{port}"
    with pytest.raises(TrackingError) as caught:
        comparison_url(uri, "u")
    assert str(caught.value).startswith(f"MLflow at http://me:***@127.0.0.1:{port} does not answer: ")
    assert "s3cret" not in "".join(traceback.format_exception(caught.value))
    (logged,) = [entry.getMessage() for entry in caplog.records if entry.name == "ctkd_study.tracking.server"]
    assert "Traceback" in logged
    assert "s3cret" not in logged


def test_a_port_that_is_taken(database: str) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        with pytest.raises(StudyError, match=f"port {port} of 127.0.0.1 is taken; choose another with --port"):
            serve(database, "u", "127.0.0.1", port, browser=False)


def test_a_wrong_uri_is_refused() -> None:
    with pytest.raises(StudyError, match="--tracking-uri must be"):
        serve("garbage", "u", "127.0.0.1", free_port(), browser=False)


@pytest.mark.parametrize(
    ("host", "loopback"),
    [
        ("127.0.0.1", True),
        ("127.1.2.3", True),
        ("::1", True),
        ("localhost", True),
        ("0.0.0.0", False),
        ("::", False),
        ("192.168.1.5", False),
        ("mlflow.example.org", False),
    ],
)
def test_which_hosts_are_this_machine_alone(host: str, loopback: bool) -> None:
    assert _is_loopback(host) is loopback


@pytest.mark.parametrize(("host", "warned"), [("0.0.0.0", True), ("127.0.0.1", False)])
def test_an_open_address_is_warned_of(
    host: str, warned: bool, database: str, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(TrackingError, match="no experiment of this study"):
        serve(database, "u", host, free_port(), browser=False)
    warning = (
        f"warning: --host {host}: anyone who reaches this address can read, change and delete runs, because MLflow has "
        "no login here\n"
    )
    assert capsys.readouterr().err == (warning if warned else "")


def test_a_server_that_ignores_signals_is_killed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(server, "_PATIENCE", 0.5)
    stubborn = f"trap '' TERM; : >{tmp_path}/started; sleep 1000 & wait; sleep 1000"
    with _running(["/bin/sh", "-c", stubborn], {}) as process:
        wait_for((tmp_path / "started").exists)
    assert process.returncode == -9


def test_the_watchdog_ends_a_server_whose_command_was_killed() -> None:
    code = (
        "import os, signal\n"
        "from ctkd_study.tracking.server import _running\n"
        "with _running(['/bin/sh', '-c', 'sleep 1000 & wait'], {}) as server:\n"
        "    print(server.pid, flush=True)\n"
        "    os.kill(os.getpid(), signal.SIGKILL)\n"
    )
    killed = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert killed.returncode == -9, killed.stderr
    group = int(killed.stdout)
    wait_for(lambda: not [each for each in psutil.process_iter() if _group(each) == group], 30)


def _group(process: psutil.Process) -> int | None:
    try:
        return os.getpgid(process.pid) if process.status() != psutil.STATUS_ZOMBIE else None
    except (ProcessLookupError, psutil.NoSuchProcess):
        return None
