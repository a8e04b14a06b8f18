"""Kill or stop processes of a running study at moments of its work: the same command ends with the same numbers.

The long form draws its cases from their numbers, so that `pytest -m chaos -k drawn_kills-17` repeats one.
"""

import contextlib
import dataclasses
import os
import random
import signal
import subprocess
import time
from collections.abc import Iterator, Sequence

import psutil
import pytest

from tests.support import recorded
from tests.support.black_box import GRACE_SECONDS, Command
from tests.support.events import Appearances, Ended, Moment
from tests.support.family import KINDS

pytestmark = [pytest.mark.slow, pytest.mark.timeout(900)]

STUDIES, KILLS_EACH = 26, 5  # about a sixth of the kills come too late
STOPPED_SECONDS = 5.0
#: Until a command has ended, or a moment has come, on a machine that does other things, too.
LONG_SECONDS = 240.0
#: These come before any trial; the others come while trials run, which need a teacher and a bank.
EARLY = (Moment(recorded.LAUNCHED), Moment(recorded.TEACHER_SAVING), Moment(recorded.BANK_FILLING))


@dataclasses.dataclass(frozen=True)
class Kill:
    victim: str
    signal: signal.Signals
    group: bool
    moment: Moment
    """Counted from the kill before it."""

    @property
    def ends_driver(self) -> bool:
        return self.victim == "driver" and self.signal != signal.SIGSTOP

    def do(self, pid: int) -> bool:
        """Send the signal, where it is SIGSTOP also SIGCONT some seconds later; returns whether the victim lived."""
        if not lives(pid):
            return False
        send = os.killpg if self.group else os.kill
        target = os.getpgid(pid) if self.group else pid
        send(target, self.signal)
        if self.signal == signal.SIGSTOP:
            time.sleep(STOPPED_SECONDS)
            with contextlib.suppress(ProcessLookupError):  # somebody else has ended it meanwhile
                send(target, signal.SIGCONT)
        return True


def lives(pid: int) -> bool:
    """Whether a process runs; one that has ended, but was not waited for, would take a signal, too."""
    try:
        return psutil.Process(pid).status() != psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return False


def drawn(number: int) -> list[Kill]:
    """The kills of the study with a number."""
    draw = random.Random(number)
    early = draw.random() < 0.3
    kills: list[Kill] = []
    for nth in range(KILLS_EACH):
        patterns = (recorded.SAVE_BEGUN, recorded.SAVING, recorded.SAVED)
        moment = Moment(draw.choice(patterns), draw.randint(1, 14))
        others = [kind for kind in KINDS if kind != "worker"]
        victim = draw.choice(["driver"] * 3 + ["worker"] * 5 + others)
        if early and nth == 0:
            moment, victim = draw.choice(EARLY), draw.choice(["driver", *others])
        if victim in others and any(kill.victim == victim for kill in kills):
            victim = "worker"  # Ray does not start each of its helpers again
        signals = [signal.SIGKILL, signal.SIGKILL, signal.SIGTERM, signal.SIGSTOP]
        # Ray's processes are in other groups than the driver.
        group = victim in ("driver", "worker") and draw.random() < 0.3
        kills.append(Kill(victim, draw.choice(signals), group, moment))
    return kills


def survives(kills: Sequence[Kill], command: Command, straight: Command) -> int:
    """Run the study, kill after kill; returns how many signals reached a living process."""
    if not any(kill.moment in EARLY for kill in kills):
        command.copy_prepared(straight)
    process, landed = command.start(), 0
    for kill in kills:
        while True:
            try:
                hit = strike(kill, command, process)
                break
            except Ended:  # of what the kill before has done
                if command.ended(process) == 0:
                    command.assert_undisturbed(straight)
                    return landed
                process = command.start()
        landed += hit
        if kill.ends_driver:
            status = command.ended(process, GRACE_SECONDS)
            wanted = 128 + kill.signal if kill.signal == signal.SIGTERM else -kill.signal
            assert status == wanted, f"status {status} after {kill}:\n{command.output}"
            process = command.start()
    if command.ended(process, LONG_SECONDS) != 0:
        command.run_until_done()
    command.assert_undisturbed(straight)
    return landed


def strike(kill: Kill, command: Command, process: "subprocess.Popen[bytes]") -> bool:
    """Wait for the moment, and kill; the victim, where it is a worker, is the one that is concerned.

    Returns:
        Whether the signal reached a living process; else it has ended since, e.g. because of the kill before.
    """

    def goes_on() -> bool:
        return process.poll() is None

    with Appearances(command.storage) as appearances:
        others = kill.victim not in ("driver", "worker")
        pid = process.pid
        if others and kill.moment not in EARLY:
            pid = command.family.find(kill.victim, goes_on).pid
        path = appearances.wait(kill.moment, goes_on, LONG_SECONDS)
        if kill.victim == "worker":
            pid = recorded.writer_of(command.storage, path)
        elif others and kill.moment in EARLY:
            pid = command.family.find(kill.victim, goes_on).pid
        try:
            return kill.do(pid)
        except ProcessLookupError:
            return False


def test_only_a_signal_that_reached_a_living_process_counts() -> None:
    child = subprocess.Popen(["sleep", "60"])
    kill = Kill("worker", signal.SIGKILL, False, Moment(recorded.SAVED))
    assert kill.do(child.pid)
    while lives(child.pid):
        time.sleep(0.01)
    assert not kill.do(child.pid), "nobody has waited for it, so that it still has its number"
    child.wait()
    assert not kill.do(child.pid)
    assert summary([(5, 60.0), (3, 30.0)]) == "2 studies survived 8 kills that landed (2 missed) in 90 s"


def test_three_kills(command: Command, straight: Command) -> None:
    kills = (
        Kill("driver", signal.SIGKILL, False, Moment(recorded.SAVING, 8)),
        Kill("driver", signal.SIGTERM, True, Moment(recorded.SAVED, 8)),
        Kill("worker", signal.SIGKILL, False, Moment(recorded.SAVING, 8)),
    )
    assert survives(kills, command, straight) == len(kills)


@pytest.fixture(scope="module")
def tally() -> Iterator[list[tuple[int, float]]]:
    """The number of kills that landed and the seconds of each study that held; prints a summary line at the end."""
    held: list[tuple[int, float]] = []
    yield held
    if held:
        print("", summary(held), sep="\n")


def summary(held: Sequence[tuple[int, float]]) -> str:
    landed, seconds = map(sum, zip(*held, strict=True))
    missed = KILLS_EACH * len(held) - landed
    return f"{len(held)} studies survived {landed:.0f} kills that landed ({missed:.0f} missed) in {seconds:.0f} s"


@pytest.mark.chaos
@pytest.mark.parametrize("number", range(STUDIES))
def test_drawn_kills(number: int, command: Command, straight: Command, tally: list[tuple[int, float]]) -> None:
    kills, began = drawn(number), time.monotonic()
    print("", *kills, sep="\n")
    landed = survives(kills, command, straight)
    print(f"study {number} survived {landed} of {len(kills)} kills in {command.runs} launches")
    tally.append((landed, time.monotonic() - began))
