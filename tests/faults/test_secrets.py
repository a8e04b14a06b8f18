"""A password of MLflow stays where the user has put it."""

import socket
import time
from pathlib import Path

import pytest

from tests.support.black_box import Command
from tests.support.family import command_line

pytestmark = [pytest.mark.thorough, pytest.mark.timeout(400)]

PLANTED = "pl4nted-s3cret"


def test_a_password_is_written_and_shown_nowhere(command: Command, temporary: Path, straight: Command) -> None:
    command.copy_prepared(straight)
    command.environment = {
        "MLFLOW_TRACKING_USERNAME": "me",
        "MLFLOW_TRACKING_PASSWORD": PLANTED,
        "TMPDIR": str(temporary),
    }
    with socket.socket() as taken:  # bound, but it does not listen: MLflow's server is down
        taken.bind(("127.0.0.1", 0))
        command.options = ("--tracking-uri", f"http://me:{PLANTED}@127.0.0.1:{taken.getsockname()[1]}")
        process = command.start()
        shown = set()
        until = time.monotonic() + 200
        while process.poll() is None and time.monotonic() < until:
            # The user's own command line has it; no other may.
            shown |= {command_line(each) for each in command.family.living() if each.pid != process.pid}
            time.sleep(0.05)
        assert command.ended(process, 1) == 0, command.output
    assert "MLflow is behind the records" in command.output
    assert not [line for line in shown if PLANTED in line]
    written = [path for folder in (command.folder, temporary) for path in folder.rglob("*") if path.is_file()]
    assert not [str(path) for path in written if PLANTED.encode() in path.read_bytes()]
