"""Ray, started and stopped within a process that goes on, and one that runs already."""

import contextlib
import json
import os
import shutil
import socket
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.banks import BASE

pytestmark = [pytest.mark.slow, pytest.mark.thorough]

_LITTERING = """
import gc, threading, time
from ctkd_study.cluster import session

with session.ray_session(None, cpus=1):
    import ray

    references = [ray.put(number) for number in range(10_000)]

    def litter():
        while references:
            knot = [references.pop()]  # garbage that only a collection finds, in whichever thread it happens
            knot.append(knot)
            if len(references) % 4 == 0:
                time.sleep(0.001)

    gc.set_threshold(3)
    threading.Thread(target=litter, daemon=True).start()
assert references, "the thread must outlast the shutdown"
print("still here")
"""


def test_garbage_of_other_threads_does_not_end_the_process_as_ray_goes_down() -> None:
    process = subprocess.run([sys.executable, "-c", _LITTERING], capture_output=True, text=True, check=False)
    assert (process.returncode, process.stdout.strip()) == (0, "still here"), process.stderr


@pytest.fixture
def head(tmp_path: Path) -> Iterator[str]:
    """The address of a cluster of another process, which asks for a token, with a home of its own."""
    with contextlib.closing(socket.socket()) as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    (tmp_path / ".ray").mkdir()
    (tmp_path / ".ray" / "auth_token").write_text("0123456789abcdef" * 4)
    ray = str(Path(sys.executable).with_name("ray"))
    command = [ray, "start", "--head", "--block", "--num-cpus=1", "--include-dashboard=false", f"--port={port}"]
    short = tempfile.mkdtemp(prefix="r", dir="/tmp")  # Ray's sockets lie in it, and their paths are bounded
    process = subprocess.Popen(
        [*command, "--disable-usage-stats", f"--temp-dir={short}"],
        env=with_token(tmp_path),
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )
    try:
        assert process.stdout is not None
        said = ""
        for line in process.stdout:
            said += line
            if "--block" in line:  # it now waits for ever
                break
        assert process.poll() is None, said
        yield f"127.0.0.1:{port}"
    finally:
        process.terminate()
        process.wait(timeout=60)
        shutil.rmtree(short, ignore_errors=True)


def with_token(home: Path) -> dict[str, str]:
    return {**os.environ, "HOME": str(home), "RAY_AUTH_MODE": "token"}


def test_a_study_on_a_running_cluster_that_asks_for_a_token(head: str, tmp_path: Path) -> None:
    file = tmp_path / "study.yaml"
    file.write_text(json.dumps({**BASE, "name": "elsewhere", "arms": {"alone": BASE["arms"]["alone"]}}))
    run = [sys.executable, "-m", "ctkd_study.cli", "run", str(file)]

    def started(storage: str, environment: dict[str, str], *options: str) -> "subprocess.Popen[str]":
        command = [*run, "--storage", str(tmp_path / storage), *options]
        pipe = subprocess.PIPE
        return subprocess.Popen(command, env=environment, stdout=pipe, stderr=pipe, text=True)

    without = started("refused", {**os.environ, "HOME": str(tmp_path / "nobody"), "RAY_ADDRESS": head})
    allowed = started("results", {**with_token(tmp_path), "RAY_ADDRESS": "127.0.0.1:1"}, "--address", head)
    try:
        output, errors = allowed.communicate(timeout=120)
        assert allowed.returncode == 0, errors
        assert "2 of 2 trials have ended; 2 ran in this launch." in output
        assert "on 1 cores" in output
        _, errors = without.communicate(timeout=120)
        assert without.returncode == 2
        assert f"no Ray cluster at {head}: " in errors
        assert "if it asks for a token, set RAY_AUTH_MODE=token" in errors
        assert "Traceback" not in errors
    finally:
        for process in (without, allowed):
            process.kill()


def test_a_trial_that_no_node_has_room_for_is_refused_at_once(head: str, tmp_path: Path) -> None:
    file = tmp_path / "study.yaml"
    arms = {"alone": BASE["arms"]["alone"]}
    file.write_text(json.dumps({**BASE, "name": "large", "arms": arms, "resources": {"cpu": 2}}))
    command = [sys.executable, "-m", "ctkd_study.cli", "run", str(file), "--storage", str(tmp_path / "results")]
    done = subprocess.run(
        [*command, "--address", head], env=with_token(tmp_path), capture_output=True, text=True, timeout=90, check=False
    )
    assert done.returncode == 2, done.stderr
    assert done.stderr.splitlines()[-1] == (
        "ctkd-study: a trial asks for 2 CPU and 0 GPU (resources), which no node has; "
        "the cluster has 1 x 1 CPU and 0 GPU"
    )
    assert "Traceback" not in done.stderr
