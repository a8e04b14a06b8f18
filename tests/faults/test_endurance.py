"""Thousands of trials without work in three launches, two of which are terminated: nothing piles up."""

import os
import signal
import subprocess
from pathlib import Path
from typing import Any

import psutil
import pytest

from tests.support import recorded, settings
from tests.support.black_box import GRACE_SECONDS, STUDY, Command
from tests.support.events import Appearances, Moment

pytestmark = [pytest.mark.chaos, pytest.mark.timeout(7200)]

TRIALS = 5000
#: One epoch of one batch of 16, by a network of 4 channels.
TINY: dict[str, Any] = {
    **STUDY,
    "name": "endurance",
    "data": {"name": "digits", "validation": 10, "train_examples": 16},
    "student": {**settings.STUDENT, "widths": [2, 2, 2, 2]},
    "recipe": {**settings.RECIPE, "epochs": 1},
    "seeds": TRIALS,
    "arms": {"alone": {"distiller": {"name": "none"}}},
}


def test_5000_trials_in_three_launches(command: Command, temporary: Path) -> None:
    command.study, command.environment = TINY, {"TMPDIR": str(temporary)}
    with Appearances(command.storage) as appearances:
        for launch in (1, 2, 3):
            until = TRIALS * launch // 3
            process = command.start()
            begin = used_after(until - 1500, appearances, process)
            end = used_after(until - 50, appearances, process)
            assert end[0] - begin[0] < 60, f"the driver's memory grew from {begin[0]:.0f} to {end[0]:.0f} MB"
            assert end[1] - begin[1] < 20, f"the driver's open files grew from {begin[1]} to {end[1]}"
            print(f"launch {launch}: {begin} to {end}")
            if launch < 3:
                os.killpg(process.pid, signal.SIGTERM)
                assert command.ended(process, GRACE_SECONDS) == 143, command.output
            else:
                assert command.ended(process, 1200) == 0, command.output
            assert recorded.lease_is_free(command.storage, "endurance")
            left = command.family.left_after(10)
            assert not left, left
    statuses = [checkpoint.manifest.status for checkpoint in command.trials().values()]
    assert statuses == ["finished"] * TRIALS
    left = [
        path.name for path in temporary.iterdir() if not path.name.startswith("torchinductor_")
    ]  # torch's own cache
    assert left == ["ray"], "only Ray's logs stay"
    assert sum(path.stat().st_size for path in temporary.rglob("*") if path.is_file()) < 100e6


def used_after(trials: int, appearances: Appearances, process: "subprocess.Popen[bytes]") -> tuple[float, int]:
    """The driver's memory in MB and its open files when so many trials have saved."""
    appearances.wait(Moment(recorded.SAVED, trials), lambda: process.poll() is None, 3600)
    driver = psutil.Process(process.pid)
    return driver.memory_info().rss / 1e6, driver.num_fds()
