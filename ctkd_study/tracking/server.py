"""MLflow's server, and the address at which it shows a study."""

import contextlib
import ipaddress
import logging
import os
import re
import signal
import socket
import subprocess
import sys
import time
import traceback
import webbrowser
from collections.abc import Iterator
from typing import Any

from ctkd_study.errors import StudyError, TrackingError
from ctkd_study.safe_text import without_passwords
from ctkd_study.tracking import client
from ctkd_study.tracking.view import VIEW_TAG, runs_page

_log = logging.getLogger(__name__)

_OPEN = "anyone who reaches this address can read, change and delete runs, because MLflow has no login here"

#: Seconds that a server gets to end; it takes about four.
_PATIENCE = 10.0

#: Reads the number of a process group, and ends the group once its standard input is closed: because we were killed.
_WATCHDOG = """
read -r group && { read -r _; kill -s TERM -- "-$group"; sleep 10; kill -s KILL -- "-$group"; }
"""


def serve(uri: str, uid: str, host: str, port: int, browser: bool) -> None:
    """Serve a store, opened at a study's comparison, until SIGINT, SIGTERM or SIGHUP; an HTTP store is only opened.

    Call it from the main thread, the only one in which Python handles signals.

    Raises:
        StudyError: the URI is none, or the port is taken.
        TrackingError: MLflow does not answer, has no experiment of this study, or its server ended by itself.
        KeyboardInterrupt, SystemExit: a signal stopped the server; none of its processes is left.
    """
    client.check_uri(uri)
    remote = uri.startswith(("http://", "https://"))
    if not remote and _listens(host, port):
        raise StudyError(f"port {port} of {host} is taken; choose another with --port")
    if not remote and not _is_loopback(host):
        print(f"warning: --host {host}: {_OPEN}", file=sys.stderr, flush=True)
    address = comparison_url(uri, uid, None if remote else f"http://{host}:{port}")
    if remote:
        print(address)
        if browser:
            webbrowser.open(address)
        return
    received: list[int] = []
    with contextlib.ExitStack() as stack:
        for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
            stack.callback(signal.signal, number, signal.signal(number, lambda got, _: received.append(got)))
        server = stack.enter_context(_running(server_command(uri, host, port), server_environment(uri)))
        print(f"MLflow serves {without_passwords(uri)} at\n{address}\nCtrl-C stops it.", flush=True)
        while not received and server.poll() is None:
            if browser and _listens(host, port):
                webbrowser.open(address)
                browser = False
            time.sleep(0.1)
    if not received:
        raise TrackingError(f"MLflow's server ended by itself, with status {server.returncode}")
    raise KeyboardInterrupt if received[0] == signal.SIGINT else SystemExit(128 + received[0])


def comparison_url(uri: str, uid: str, server: str | None = None) -> str:
    """Return the address of a study's comparison: its preset view if it has one, else the plain page of its runs.

    ``server`` is the address of an MLflow server on the store; by default it is ``uri`` without user and password.

    Raises:
        TrackingError: MLflow does not answer, or has no experiment of this study.
    """
    shown = without_passwords(uri)
    try:
        experiment = client.find_experiment(client.client_of(uri), uid)
    except Exception as error:
        _log.info("the whole error: %s", without_passwords(traceback.format_exc()))
        # Not `from error`: MLflow's exceptions quote the URI with its password.
        raise TrackingError(f"MLflow at {shown} does not answer: {client.first_line(error)}") from None
    if experiment is None or experiment.lifecycle_stage == "deleted":
        raise TrackingError(f"MLflow at {shown} has no experiment of this study; `ctkd-study sync` creates it")
    return runs_page(server or re.sub(r"//[^/]*@", "//", uri), experiment.experiment_id, VIEW_TAG in experiment.tags)


def server_command(uri: str, host: str, port: int) -> list[str]:
    """Return the command line of an MLflow server, to be started with ``server_environment``."""
    command = [sys.executable, "-m", "mlflow", "server", "--workers", "1", "--host", host, "--port", str(port)]
    if (database := client.sqlite_file(uri)) is not None:
        command += ["--artifacts-destination", str(database.parent.absolute() / "mlartifacts")]
    return command


def server_environment(uri: str) -> dict[str, str]:
    """Return the environment of an MLflow server on a store.

    The URI stands here because all users of a machine can read command lines, and it may hold a password. MLflow's job
    workers are switched off: they take 2 GB.
    """
    defaults = {"MLFLOW_SERVER_ENABLE_JOB_EXECUTION": "false"} | client.ENVIRONMENT
    return defaults | dict(os.environ) | {"MLFLOW_BACKEND_STORE_URI": uri}


def _is_loopback(host: str) -> bool:
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


def _listens(host: str, port: int) -> bool:
    with contextlib.closing(socket.socket()) as probe:
        return probe.connect_ex((host, port)) == 0


@contextlib.contextmanager
def _running(command: list[str], environment: dict[str, str]) -> Iterator["subprocess.Popen[bytes]"]:
    """Run a server for the time of the block; it and its workers end with the block, and if this process is killed."""
    # In sessions of their own: the server, so that it ends together with its workers; the watchdog, so that it outlives
    # the server and signals to our process group.
    quiet: Any = {"stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL}
    watchdog = subprocess.Popen(
        ["/bin/sh", "-c", _WATCHDOG], stdin=subprocess.PIPE, start_new_session=True, text=True, **quiet
    )
    try:
        server = subprocess.Popen(command, env=environment, start_new_session=True)
        try:
            if watchdog.stdin is not None:
                print(server.pid, file=watchdog.stdin, flush=True)
            yield server
        finally:
            _end(server)
    finally:
        watchdog.kill()
        watchdog.communicate()


def _end(server: "subprocess.Popen[bytes]") -> None:
    # SIGKILL is for a server that does not end, and for workers that outlive it.
    for number in (signal.SIGTERM, signal.SIGKILL):
        with contextlib.suppress(ProcessLookupError):
            os.killpg(server.pid, number)
        with contextlib.suppress(subprocess.TimeoutExpired):
            server.wait(_PATIENCE)
