"""Kill what can be killed; the same command ends with the same numbers.

Every study here has at least 20 epochs and a checkpoint at each. That training went on, and did not start again (which
would give the same numbers), is read from the starts in the record.
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
from trainables import lease, record
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

    def halfway(self) -> bool:
        """Whether one trial is finished, and another is in progress with at least five durable epochs."""
        return any(c.manifest.status == "finished" for c in self.trials().values()) and self.durable(5) is not None

    def durable(self, at_least: int) -> Checkpoint | None:
        """A trial in progress with this many durable epochs, and half of its way before it: it won't end meanwhile."""
        half = EPOCHS // 2
        running = (c for c in self.trials().values() if c.manifest.status == "running")
        ours = (c for c in running if at_least <= c.manifest.epoch <= half)
        return next(ours, None)


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


def kill(pid: int) -> None:
    os.kill(pid, signal.SIGKILL)


def test_killed_driver(driver: Driver, straight: dict[str, Checkpoint]) -> None:
    first = driver.start()
    driver.wait(
        first, lambda: driver.durable(5) and any(c.manifest.status == "finished" for c in driver.trials().values())
    )
    kill(first.pid)
    first.communicate()
    before = driver.trials()

    output = driver.finish(driver.start())
    after = driver.trials()
    assert after.keys() == straight.keys()
    kept, went_on = [], []
    for name, checkpoint in after.items():
        same(straight[name], checkpoint)
        starts = checkpoint.manifest.starts
        if name in before and before[name].manifest.status == "finished":
            assert checkpoint == before[name], "a finished trial is not touched"
            kept.append(name)
        elif name in before and before[name].manifest.epoch >= 5:
            assert [start.attempt for start in starts] == [1, 2]
            assert starts[1].epoch == before[name].manifest.epoch >= 5
            assert checkpoint.name.startswith("run-000002-")
            went_on.append(name)
    assert kept
    assert went_on
    assert "not_worse" in output or "undecided" in output.lower()
    launches = Storage.at(str(driver.storage)).within("faults", "launches")
    assert [(number, lease.ended(launches, number)) for number in lease.terms(launches)] == [(1, False), (2, True)]


def test_killed_worker_cut_save_and_second_driver(driver: Driver, straight: dict[str, Checkpoint]) -> None:
    process = driver.start()
    driver.wait(process, (driver.storage / "faults" / "launches" / "000001.json").exists)
    second = driver.start()
    victim: Checkpoint = driver.wait(process, lambda: driver.durable(5))
    kill(victim.manifest.starts[-1].pid)
    recovered = driver.wait(
        process, lambda: next((c for c in driver.trials().values() if len(c.manifest.starts) == 2), None)
    )
    assert recovered.manifest.starts[1].epoch >= 5

    def half_written() -> int | None:
        """The process of a trial in progress that is writing a checkpoint."""
        writing = {path.parents[1].name for path in (driver.storage / "faults").glob("*-s*/run-*/checkpoint_*.tmp")}
        ours = (c.manifest for name, c in driver.trials().items() if name in writing)
        return next((m.starts[-1].pid for m in ours if m.status == "running" and m.epoch <= EPOCHS // 2), None)

    kill(driver.wait(process, half_written))
    refused = driver.finish(second, status=2)
    assert f"process {process.pid}" in refused, "a second driver is refused with the owner's name"
    driver.finish(process)
    after = driver.trials()
    assert after.keys() == straight.keys()
    for name, checkpoint in after.items():
        same(straight[name], checkpoint)
        assert {start.attempt for start in checkpoint.manifest.starts} == {1}
    assert sum(len(c.manifest.starts) - 1 for c in after.values()) >= 2, "both kills were recovered from"
    assert json.loads((driver.storage / "faults" / "launches" / "000001.ended.json").read_text())["wasted"]


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
