"""What the command line makes of faults of Ray, of its workers, and of plug-ins that run in them."""

import os
import signal
import subprocess
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.support import recorded
from tests.support.black_box import NAME, STUDY, Command
from tests.support.plugins import install

pytestmark = [pytest.mark.slow, pytest.mark.timeout(170)]

ROOT = Path(__file__).parents[2]
FIXED = {"temperature": {"kind": "fixed", "value": 4}}

#: Temperatures that do what is wrong in a process that has loaded Ray: a worker. ``naps`` does it once, while the file
#: is there that NAP names.
PARTS = """\
import os, signal, sys, time
from typing import ClassVar, Literal

from trainables.data import DataOptions
from trainables.data.digits import DigitsOptions
from trainables.temperatures.fixed import FixedOptions, FixedTemperature


class Naps(FixedOptions):
    kind: Literal["naps"] = "naps"

    def build(self, classes):
        return Napping(self)


class Napping(FixedTemperature):
    def value(self, student, teacher, progress):
        if progress.epoch == 5:
            how, path = os.environ["NAP"].split(":")
            try:
                os.unlink(path)
            except FileNotFoundError:
                pass
            else:
                os.kill(os.getpid(), signal.SIGSTOP) if how == "stop" else time.sleep(1000)
        return super().value(student, teacher, progress)


class Breaks(FixedOptions):
    kind: Literal["breaks"] = "breaks"

    def build(self, classes):
        return {}["lost"] if "ray" in sys.modules else FixedTemperature(self)


class Dozes(DigitsOptions):
    name: Literal["dozes"] = "dozes"

    def load(self):
        how, path = os.environ["NAP"].split(":")
        if "ray" in sys.modules and os.path.exists(path):
            os.unlink(path)
            os.kill(os.getpid(), signal.SIGSTOP) if how == "stop" else time.sleep(1000)
        return super().load()


class Burns(DigitsOptions):
    name: Literal["burns"] = "burns"

    def load(self):
        if "ray" in sys.modules:
            raise RuntimeError("the shelf is on fire")
        return super().load()
"""
GROUPS = {
    "ctkd_study.temperatures": {"naps": "my_parts:Naps", "breaks": "my_parts:Breaks"},
    "ctkd_study.datasets": {"burns": "my_parts:Burns", "dozes": "my_parts:Dozes"},
}


@pytest.fixture(scope="module")
def straight(tmp_path_factory: pytest.TempPathFactory) -> Command:
    """The study after a run without a fault, in this process."""
    return Command.undisturbed(tmp_path_factory.mktemp("straight"))


@pytest.fixture
def run(tmp_path: Path) -> Iterator[Callable[..., Command]]:
    """Makes a command with changes of the study, and plug-ins to find; whatever still runs afterwards is killed."""
    made: list[Command] = []
    install(tmp_path / "site", "my_package", GROUPS, {"my_parts.py": PARTS})

    def command(environment: dict[str, str] | None = None, **changes: Any) -> Command:
        found = {"PYTHONPATH": f"{ROOT}:{tmp_path / 'site'}", "OMP_NUM_THREADS": "1", **(environment or {})}
        made.append(Command(tmp_path, tmp_path / "results", {**STUDY, **changes}, environment=found))
        made[-1].storage.mkdir()
        return made[-1]

    yield command
    for each in made:
        each.family.kill()


def awaited(command: Command, process: "subprocess.Popen[bytes]", condition: Callable[[], Any], seconds: float) -> Any:
    """What a condition gives as soon as it gives something; the command must go on meanwhile."""
    until = time.monotonic() + seconds
    while not (found := condition()):
        assert time.monotonic() < until, command.output
        assert command.goes_on(process), command.output
        time.sleep(0.05)
    return found


def durable(command: Command, epochs: int = 3) -> bool:
    """Whether a trial that runs has saved so many epochs."""
    manifests = [each.manifest for each in command.trials().values()]
    return any(manifest.status == "running" and manifest.epoch >= epochs for manifest in manifests)


def assert_nothing_is_left(command: Command) -> None:
    left = command.family.left_after(5)
    assert not left, "\n".join(left)
    assert (command.storage / NAME / "launches" / "000001.ended.json").exists()


@pytest.mark.thorough
@pytest.mark.parametrize("server", ["raylet", "gcs_server"])
def test_ray_s_servers_may_die(run: Callable[..., Command], straight: Command, server: str) -> None:
    command = run()
    command.copy_prepared(straight)
    process = command.start()
    awaited(command, process, lambda: durable(command), 90)
    command.family.find(server, lambda: command.goes_on(process)).kill()
    assert command.ended(process, 90) == 0, command.output
    recorded.assert_equal(straight.trials(), command.trials())
    assert {start.attempt for each in command.trials().values() for start in each.manifest.starts} == {1}
    assert f"Ray's {server} died" in command.output
    assert_nothing_is_left(command)


@pytest.mark.thorough
@pytest.mark.parametrize(("how", "stall"), [("sleep", 40), ("stop", 5)])
def test_a_trial_that_hangs_is_named_killed_and_finished(
    run: Callable[..., Command], straight: Command, tmp_path: Path, how: str, stall: float
) -> None:
    nap = tmp_path / "nap"
    nap.touch()
    arms = {"naps": {"temperature": {"kind": "naps", "value": 4}}, "fixed": FIXED}
    command = run({"NAP": f"{how}:{nap}"}, arms=arms, stall=stall)
    command.copy_prepared(straight)
    process = command.start()
    awaited(command, process, lambda: not nap.exists(), 90)
    began = time.monotonic()
    if stall > 30:
        awaited(command, process, lambda: "naps-" in command.output, 60)
        assert "nothing heard for 3" in command.output
        assert "it hung" not in command.output
    assert command.ended(process, stall + 60) == 0, command.output
    assert time.monotonic() - began > stall
    (naps,) = (each for name, each in command.trials().items() if name.startswith("naps"))
    assert (naps.manifest.status, [start.epoch for start in naps.manifest.starts]) == ("finished", [0, 4])
    assert_nothing_is_left(command)


@pytest.mark.thorough
@pytest.mark.parametrize("how", ["sleep", "stop"])
def test_the_teacher_s_preparation_that_hangs_is_named_killed_and_done_again(
    run: Callable[..., Command], tmp_path: Path, how: str
) -> None:
    nap = tmp_path / "nap"
    nap.touch()
    data = {**STUDY["data"], "name": "dozes"}
    command = run({"NAP": f"{how}:{nap}"}, data=data, arms={"fixed": FIXED}, stall=20)
    process = command.start()
    awaited(command, process, lambda: not nap.exists(), 90)
    awaited(command, process, lambda: ".teacher: it hung, and its worker was killed" in command.output, 80)
    assert command.ended(process, 90) == 0, command.output
    assert {each.manifest.status for each in command.trials().values()} == {"finished"}
    assert_nothing_is_left(command)


def test_more_cores_than_the_machine_has_are_refused_at_once(run: Callable[..., Command]) -> None:
    command = run(resources={"cpu": 64})
    process = command.start()
    assert command.ended(process, 60) == 2, command.output
    cores = len(os.sched_getaffinity(0))
    assert f"ctkd-study: resources.cpu must be at most what this machine has, {cores}, but got 64" in command.output
    assert not (command.storage / NAME).exists()
    assert not command.family.left_after(5)


@pytest.mark.thorough
def test_what_a_plug_in_raises_in_a_reused_actor_is_the_trial_s_fault(run: Callable[..., Command]) -> None:
    arms = {"fixed": FIXED, "breaks": {"temperature": {"kind": "breaks", "value": 4}}}
    recipe = {**STUDY["recipe"], "epochs": 2}
    command = run(arms=arms, recipe=recipe, resources={"cpu": len(os.sched_getaffinity(0))})
    process = command.start()
    assert command.ended(process, 90) == 1, command.output
    manifests = {name.split("-")[0]: each.manifest for name, each in command.trials().items()}
    fixed, breaks = manifests["fixed"], manifests["breaks"]
    assert (fixed.status, breaks.status) == ("finished", "failed")
    assert len({start.pid for start in [*fixed.starts, *breaks.starts]}) == 1, "the actor was not a reused one"
    assert breaks.reason is not None
    assert breaks.reason.startswith("KeyError: 'lost' (")
    assert breaks.reason.endswith("site/my_parts.py:33 in build)")
    assert breaks.traceback is not None
    assert breaks.traceback.startswith("Traceback (most recent call last):")
    assert breaks.traceback.endswith("KeyError: 'lost'\n")
    assert f"failed: breaks-{'-'.join(breaks.trial.split('-')[1:])}: {breaks.reason}" in command.output
    assert "Traceback" not in command.output
    assert_nothing_is_left(command)


def test_a_teacher_that_fails_is_a_sentence(run: Callable[..., Command]) -> None:
    command = run(data={**STUDY["data"], "name": "burns"}, arms={"fixed": FIXED})
    process = command.start()
    assert command.ended(process, 90) == 2, command.output
    said = [line for line in command.output.splitlines() if line.startswith("ctkd-study: ")]
    (told,) = said
    wanted = "ctkd-study: the teacher could not be made ready: RuntimeError: the shelf is on fire ("
    assert told.startswith(wanted)
    assert told.endswith("site/my_parts.py:52 in load)")
    assert "Traceback" not in command.output
    assert_nothing_is_left(command)


@pytest.mark.thorough
@pytest.mark.parametrize("group", [False, True], ids=["process", "group"])
def test_a_signal_ends_all_in_seconds(run: Callable[..., Command], straight: Command, group: bool) -> None:
    command = run()
    command.copy_prepared(straight)
    process = command.start()
    awaited(command, process, lambda: durable(command), 90)
    began = time.monotonic()
    (os.killpg if group else os.kill)(process.pid, signal.SIGTERM)
    assert command.ended(process, 15) == 128 + signal.SIGTERM, command.output
    assert time.monotonic() - began < 15
    assert "The same command goes on from here." in command.output
    assert "Traceback" not in command.output
    assert_nothing_is_left(command)
    assert command.ended(command.start(), 120) == 0, command.output
    recorded.assert_equal(straight.trials(), command.trials())
    attempts = [[start.attempt for start in each.manifest.starts] for each in command.trials().values()]
    assert [1, 2] in attempts, "it went on"
