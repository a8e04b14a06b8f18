"""What a later run of a study makes of its records: added trials, damage, changes; and a second driver.

What kills a run is in ``test_ray_faults``, and in ``tests/faults``.
"""

import dataclasses
import json
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import psutil
import pytest
from click.testing import CliRunner

from ctkd_study.cli import main
from ctkd_study.launch.inline import InlineRunner
from ctkd_study.study import Study
from tests.support import settings
from tests.support.trials import same
from trainables import record
from trainables.record import Checkpoint
from trainables.storage import Storage

pytestmark = [pytest.mark.slow, pytest.mark.timeout(400)]

EPOCHS = 30
STUDY: dict[str, Any] = {
    "name": "faults",
    "data": {"name": "digits", "validation": 100, "train_examples": 100},
    "teacher": settings.TEACHER,
    "student": settings.STUDENT,
    "recipe": {**settings.RECIPE, "epochs": EPOCHS},
    "distiller": {"name": "kd"},
    "seeds": [3],
    "margin": 2.0,
    "checkpoint": {"epochs": 1},
    "arms": {
        "grid": {"temperature": {"kind": "fixed", "value": {"grid": [2, 8]}}},
        "global": {"temperature": {"kind": "global"}},
    },
}


@dataclasses.dataclass
class Driver:
    """A study in a folder of its own, and the command that runs it."""

    folder: Path

    @property
    def storage(self) -> Path:
        return self.folder / "results"

    def write(self, **changes: Any) -> None:
        (self.folder / "faults.yaml").write_text(json.dumps({**STUDY, **changes}))

    @property
    def command(self) -> list[str]:
        run = ["run", str(self.folder / "faults.yaml"), "--storage", str(self.storage)]
        return [sys.executable, "-m", "ctkd_study.cli", *run]

    def start(self) -> "subprocess.Popen[str]":
        return subprocess.Popen(
            self.command,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            start_new_session=True,
            env={**os.environ, "COLUMNS": "200"},
        )

    def finish(self, process: "subprocess.Popen[str]", status: int = 0) -> str:
        output, _ = process.communicate(timeout=200)
        assert process.returncode == status, output
        return output

    def trials(self) -> dict[str, Checkpoint]:
        """The newest whole checkpoint of every trial that has one."""
        folder = Storage.at(str(self.storage)).within("faults")
        names = [name for name in folder.names() if "-s" in name]
        found = {name: record.scan(folder.within(name), level=0).newest for name in names}
        return {name: checkpoint for name, checkpoint in found.items() if checkpoint is not None}

    def wait(self, process: "subprocess.Popen[str]", condition: Callable[[], Any], seconds: float = 120) -> Any:
        """Waits until the condition gives something, which it returns; the driver must not end meanwhile."""
        until = time.monotonic() + seconds
        while time.monotonic() < until:
            if value := condition():
                return value
            assert process.poll() is None, process.communicate()[0]
            time.sleep(0.005)
        raise AssertionError("what the test waits for did not happen in time")


@pytest.fixture(scope="module")
def straight_study(tmp_path_factory: pytest.TempPathFactory) -> Driver:
    """The same study, never interrupted, trained in this process."""
    driver = Driver(tmp_path_factory.mktemp("straight"))
    Study(**STUDY).run(str(driver.storage), runner=InlineRunner())
    return driver


@pytest.fixture(scope="module")
def straight(straight_study: Driver) -> dict[str, Checkpoint]:
    return straight_study.trials()


@pytest.fixture
def driver(tmp_path: Path) -> Iterator[Driver]:
    made = Driver(tmp_path)
    made.write()
    yield made
    for process in psutil.process_iter(["cmdline"]):
        if str(tmp_path) in " ".join(process.info["cmdline"] or []):
            process.kill()


@pytest.mark.thorough
def test_a_second_driver_is_refused_with_the_name_of_the_first(driver: Driver) -> None:
    first = driver.start()
    driver.wait(first, (driver.storage / "faults" / "launches" / "000001.json").exists)
    refused = driver.finish(driver.start(), status=2)
    assert f"process {first.pid}" in refused
    assert "Traceback" not in refused
    first.send_signal(signal.SIGTERM)
    driver.finish(first, status=143)
    assert not (driver.storage / "faults" / "launches" / "000002.json").exists()


@pytest.mark.thorough
def test_added_trials_run_alone_damage_is_passed_over_and_changes_are_refused(
    driver: Driver, straight_study: Driver, straight: dict[str, Checkpoint]
) -> None:
    shutil.copytree(straight_study.storage, driver.storage)
    before = driver.trials()
    damaged = next(name for name in before if name.startswith("global"))
    folder = driver.storage / "faults" / damaged
    newest = folder / before[damaged].name / record.STATE
    content = bytearray(newest.read_bytes())
    content[len(content) // 2] ^= 1
    newest.write_bytes(content)

    arms = {**STUDY["arms"], "alone": {"distiller": {"name": "none"}}}
    driver.write(seeds=[3, 4], arms=arms, margin=3.0, question="changed", checkpoint={"epochs": 20})
    output = driver.finish(driver.start())
    assert f"{before[damaged].name} is passed over" in output
    assert "state.pt has changed" in output
    after = driver.trials()
    assert len(after) == 8
    for name, checkpoint in before.items():
        if name != damaged:
            assert after[name] == checkpoint, "trials that were there are not touched"
    assert [start.epoch for start in after[damaged].manifest.starts] == [0, EPOCHS - 1]
    same(straight[damaged], after[damaged])

    driver.write(recipe={**STUDY["recipe"], "lr": 0.1}, teacher={**settings.TEACHER, "recipe": settings.RECIPE})
    refused = CliRunner().invoke(main, driver.command[3:])
    assert refused.exit_code == 2
    assert "recipe.lr: 0.05 -> 0.1" in refused.output
    assert {name: c.manifest for name, c in driver.trials().items()} == {name: c.manifest for name, c in after.items()}
