"""Kill or stop a process of a running study at a moment of its work: the same command ends with the same numbers.

The long form draws its cases from their numbers, so that `pytest -m chaos -k 17` repeats one.
"""

import dataclasses
import os
import random
import signal
import subprocess
import time
from collections.abc import Iterator

import pytest

from tests.support import recorded
from tests.support.black_box import GRACE_SECONDS, NAME, Command
from tests.support.events import Appearances, Moment
from tests.support.family import KINDS

pytestmark = [pytest.mark.slow, pytest.mark.timeout(900)]

KILLS = 100
STOPPED_SECONDS = 5.0
#: These come before any trial; the others come while trials run, which need a teacher and a bank.
EARLY = (Moment(recorded.LAUNCHED), Moment(recorded.TEACHER_SAVING, 1), Moment(recorded.BANK_FILLING, 1))


@dataclasses.dataclass(frozen=True)
class Kill:
    victim: str
    signal: signal.Signals
    group: bool
    moment: Moment

    @property
    def stops_driver(self) -> bool:
        return self.signal == signal.SIGTERM and self.victim == "driver"

    def do(self, pid: int) -> None:
        """Send the signal, where it is SIGSTOP also SIGCONT some seconds later."""
        send = os.killpg if self.group else os.kill
        target = os.getpgid(pid) if self.group else pid
        send(target, self.signal)
        if self.signal == signal.SIGSTOP:
            time.sleep(STOPPED_SECONDS)
            send(target, signal.SIGCONT)


def drawn(number: int) -> Kill:
    """The case with a number."""
    draw = random.Random(number)
    victim = draw.choice(["driver", "driver", "worker", "worker", "worker", *(k for k in KINDS if k != "worker")])
    moments = [
        Moment(pattern, draw.randint(1, 60)) for pattern in (recorded.SAVE_BEGUN, recorded.SAVING, recorded.SAVED)
    ]
    if victim != "worker" and draw.random() < 0.2:
        moments = list(EARLY)
    signals = [signal.SIGKILL, signal.SIGKILL, signal.SIGTERM, signal.SIGSTOP]
    # Ray's daemons are in the driver's group.
    group = victim in ("driver", "worker") and draw.random() < 0.3
    return Kill(victim, draw.choice(signals), group, draw.choice(moments))


def survives(kill: Kill, command: Command, straight: Command) -> None:
    if kill.moment not in EARLY:
        command.copy_prepared(straight)
    with Appearances(command.storage) as appearances:
        first = command.start()
        victim = await_victim(kill, command, first, appearances)
        kill.do(victim)
    if command.ended(first, GRACE_SECONDS if kill.stops_driver else 150) != 0:
        command.run_until_done()
    command.assert_undisturbed(straight)


def await_victim(kill: Kill, command: Command, first: "subprocess.Popen[bytes]", appearances: Appearances) -> int:
    """Wait for the moment; the victim, a worker of the trial that is concerned, is known by then if it can be."""

    def wait(moment: Moment) -> str:
        return appearances.wait(moment, lambda: first.poll() is None)

    if kill.victim == "driver":
        wait(kill.moment)
        return first.pid
    workers: dict[str, int] = {}
    found = None
    if kill.moment.count > 5:
        wait(dataclasses.replace(kill.moment, count=kill.moment.count - 3))
        workers = recorded.workers(command.storage, NAME)
        found = command.family.find(kill.victim).pid
    path = wait(kill.moment)
    if kill.victim == "worker":
        found = workers.get(recorded.trial_of(path))
    return found or command.family.find(kill.victim).pid


@pytest.mark.parametrize(
    "kill",
    [
        pytest.param(Kill("driver", signal.SIGKILL, False, Moment(recorded.SAVING, 20)), id="driver-in-a-save"),
        pytest.param(Kill("driver", signal.SIGTERM, True, Moment(recorded.SAVED, 20)), id="TERM-to-all"),
        pytest.param(Kill("worker", signal.SIGKILL, False, Moment(recorded.SAVING, 10)), id="worker-in-a-save"),
    ],
)
def test_a_kill(kill: Kill, command: Command, straight: Command) -> None:
    survives(kill, command, straight)


@pytest.fixture(scope="module")
def tally() -> Iterator[list[float]]:
    """The seconds of each case that held; prints a summary line at the end."""
    seconds: list[float] = []
    yield seconds
    if seconds:
        print(
            f"\n{len(seconds)} kills survived, {sum(seconds) / len(seconds):.0f} s each, at most {max(seconds):.0f} s"
        )


@pytest.mark.chaos
@pytest.mark.parametrize("number", range(KILLS))
def test_a_drawn_kill(number: int, command: Command, straight: Command, tally: list[float]) -> None:
    kill, began = drawn(number), time.monotonic()
    print(kill)
    survives(kill, command, straight)
    tally.append(time.monotonic() - began)
