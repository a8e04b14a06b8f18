"""The driver's end of the process that runs Ray, which small scripts stand for here."""

import contextlib
import dataclasses
import os
import pickle
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import psutil
import pytest

from ctkd_study.cluster import runner as module
from ctkd_study.cluster.desk import Desk, Ended
from ctkd_study.cluster.runner import RayRunner
from ctkd_study.errors import ClusterError, StudyError, TeacherError
from ctkd_study.launch import LaunchContext, LaunchProgress, RetryPolicy, TrialQueue
from ctkd_study.plan import StudyState
from ctkd_study.spec import from_mapping
from tests.support.studies import plain
from trainables.storage import Storage

#: Speaks with the driver as ``ray_process`` does; ``starts`` has a line for each process.
BEGINNING = """\
import os, pathlib, signal, sys, time
from multiprocessing.connection import Connection
here = pathlib.Path({folder!r})
with (here / "starts").open("a") as file:
    print(os.getpid(), *sys.argv[2:], sep=",", file=file)
connection = Connection(int(sys.argv[1]))

def ask(name, *arguments):
    connection.send((name, arguments))
    answer = connection.recv_bytes()
    return b"\\x88" in answer  # True; to unpickle a trial would import torch

number = len((here / "starts").read_text().splitlines())
"""
PULL = "ask('pull', frozenset())\n"
SAVE = "ask('reported', 'some-trial', {'saved': True, 'status': 'running'})\n"
DIE = "print('noise\\n' * 100 + f'Ray died {number}', file=sys.stderr, flush=True)\nos._exit(1)\n"


def last(message: Ended) -> str:
    """Send the last message, pickled here: to import its class takes seconds."""
    return f"connection.send_bytes({pickle.dumps(message)!r})\n"


END = last(Ended()) + "signal.pause()\n"


@dataclasses.dataclass
class Launch:
    """A study of three trials, and a process that a script stands for."""

    folder: Path
    script: str

    def __post_init__(self) -> None:
        state = StudyState(from_mapping(plain()), Storage.at(str(self.folder / "results")))
        self.progress = LaunchProgress(state.plan.trials, {})
        self.queue = TrialQueue(state, state.stored(), 1, policy=RetryPolicy(first_pause=0.01))
        self.context = LaunchContext(state.folder, self.progress, lambda trial_id: None, None, 1.0, 0.0)
        self.ids = [pending.id for pending in self.queue.waiting]
        file = self.folder / "process.py"
        file.write_text(BEGINNING.format(folder=str(self.folder)) + self.script)
        self.command: tuple[str, ...] = (sys.executable, str(file))

    def runner(self, address: str | None = None) -> RayRunner:
        return RayRunner(address, RetryPolicy(tries=3, first_pause=0.01), self.command)

    def run(self, address: str | None = None) -> None:
        with self.runner(address) as runner:
            runner(self.queue, self.context)
        assert self.left() == []

    @property
    def starts(self) -> list[list[str]]:
        """The process id and arguments of each process that was started."""
        file = self.folder / "starts"
        return [line.split(",") for line in file.read_text().splitlines()] if file.exists() else []

    def left(self) -> list[int]:
        """Processes that still run in the sessions that were started."""
        return [pid for start in self.starts for pid in session(int(start[0]))]


def session(leader: int) -> list[int]:
    found = []
    for process in psutil.process_iter():
        with contextlib.suppress(ProcessLookupError, psutil.NoSuchProcess):
            if os.getsid(process.pid) == leader and process.status() != psutil.STATUS_ZOMBIE:
                found.append(process.pid)
    return found


@pytest.fixture
def launched(tmp_path: Path) -> Iterator[Callable[[str], Launch]]:
    made: list[Launch] = []

    def launch(script: str) -> Launch:
        made.append(Launch(tmp_path, script))
        return made[-1]

    yield launch
    for each in made:
        for pid in each.left():
            os.kill(pid, signal.SIGKILL)


def test_a_process_that_is_done_is_ended(launched: Callable[[str], Launch]) -> None:
    launch = launched(PULL + END)
    launch.run()
    ((_, address, driver, scratch),) = launch.starts
    assert (address, driver) == ("", str(os.getpid()))
    assert not Path(scratch).exists()
    assert launch.queue.running == {launch.ids[0]}, "the launch asks the record what became of it"


def test_the_address_is_passed_on(launched: Callable[[str], Launch]) -> None:
    launch = launched(END)
    launch.run("10.0.0.1:6379")
    assert launch.starts[0][1] == "10.0.0.1:6379"


def test_it_starts_before_it_is_needed_and_ends_if_it_never_is(launched: Callable[[str], Launch]) -> None:
    launch = launched("ask('brief')\n")
    with launch.runner():
        until = time.monotonic() + 20
        while not launch.starts and time.monotonic() < until:
            time.sleep(0.01)
        assert launch.left()
    assert launch.left() == []


def test_one_that_dies_is_started_again_and_its_trials_with_it(
    launched: Callable[[str], Launch], monkeypatch: pytest.MonkeyPatch
) -> None:
    told: list[list[str]] = []
    brief = Desk.brief

    def seen(desk: Desk) -> Any:
        found = brief(desk)
        told.append([config.run.trial for config in found.waiting])
        return found

    monkeypatch.setattr(Desk, "brief", seen)
    launch = launched(f"ask('brief')\n{PULL}{in_first(2, DIE)}{END}")
    launch.run()
    assert len(launch.starts) == 3
    assert launch.queue.unfinished == {launch.ids[0]: "Ray died 2"}
    assert told == [launch.ids] * 3, "what is to be tried again is in the brief"
    assert launch.queue.handed_out[launch.ids[0]].tries == 3


def in_first(count: int, script: str) -> str:
    """Lines for the first processes only."""
    return f"if number <= {count}:\n" + "".join(f"    {line}\n" for line in script.splitlines())


def test_after_three_deaths_without_progress_the_trials_are_left(
    launched: Callable[[str], Launch], caplog: pytest.LogCaptureFixture
) -> None:
    launch = launched(PULL + DIE)
    launch.run()
    assert len(launch.starts) == 3
    assert [record.message for record in caplog.records] == ["Ray died 1", "Ray died 2", "Ray died 3"]
    assert launch.progress.troubles() == launch.queue.unfinished == {launch.ids[0]: "Ray died 3"}
    assert launch.queue.running == set()


def test_progress_makes_the_deaths_count_anew(launched: Callable[[str], Launch]) -> None:
    launch = launched(PULL + "if number in (2, 3):\n    " + SAVE + DIE)
    launch.run()
    assert len(launch.starts) == 5, "the third death without progress is the fifth"


def test_silence_is_a_death(launched: Callable[[str], Launch], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "_SILENT_SECONDS", 0.5)
    monkeypatch.setattr(module, "_STARTING_SECONDS", 60.0)
    launch = launched(f"time.sleep(1.5)\n{PULL}{in_first(1, 'signal.pause()')}{END}")
    launch.run()
    assert len(launch.starts) == 2, "each may take longer to start than it may be silent"
    assert launch.queue.unfinished == {launch.ids[0]: "Ray does not answer"}


def test_a_start_may_not_take_for_ever(launched: Callable[[str], Launch], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "_STARTING_SECONDS", 0.3)
    launch = launched("time.sleep(600)\n")
    launch.run()
    assert len(launch.starts) <= 3
    assert launch.queue.unfinished == {}, "none was handed out"


def test_one_that_closes_its_end_and_hangs_is_ended(
    launched: Callable[[str], Launch], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "_STOP_SECONDS", 0.3)
    launch = launched(PULL + in_first(1, "connection.close()\nsignal.pause()") + END)
    launch.run()
    assert launch.queue.unfinished == {launch.ids[0]: "the Ray process does not answer"}


def test_a_signal_that_killed_it_is_named(launched: Callable[[str], Launch]) -> None:
    launch = launched(PULL + in_first(1, "os.kill(os.getpid(), signal.SIGKILL)") + END)
    launch.run()
    assert launch.queue.unfinished == {launch.ids[0]: "the Ray process was killed by SIGKILL"}


@pytest.mark.parametrize("error", [ClusterError("no room"), TeacherError("no room")])
def test_what_a_user_can_mend_is_raised(launched: Callable[[str], Launch], error: StudyError) -> None:
    launch = launched(last(Ended.by(error)) + "signal.pause()\n")
    with pytest.raises(type(error), match=r"^no room$"):
        launch.run()
    assert (len(launch.starts), launch.left()) == (1, [])


def test_any_other_exception_is_a_death(launched: Callable[[str], Launch]) -> None:
    fault = last(Ended(fault="Traceback\n  File x\nValueError: odd\n"))
    launch = launched(PULL + in_first(1, fault + "signal.pause()") + END)
    launch.run()
    assert launch.queue.unfinished == {launch.ids[0]: "ValueError: odd"}


CHILDREN = """
import subprocess
code = "import subprocess, time; subprocess.Popen(['sleep', '600']); time.sleep(600)"
subprocess.Popen([sys.executable, "-c", code])
subprocess.Popen([sys.executable, "-c", "import os, time; os.setpgid(0, 0); time.sleep(600)"])
time.sleep(1)
"""


@pytest.mark.parametrize("dies", [False, True])
def test_all_of_its_session_ends_with_it(launched: Callable[[str], Launch], dies: bool) -> None:
    launch = launched(PULL + CHILDREN + (in_first(1, "os._exit(1)") if dies else "") + END)
    bystander = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(600)"])
    try:
        launch.run()
        assert bystander.poll() is None
    finally:
        bystander.kill()
        bystander.wait()


def test_a_local_one_is_ended_at_once_when_the_launch_stops(launched: Callable[[str], Launch]) -> None:
    launch = launched(f"{PULL}while True:\n  ask('stopping')\n  time.sleep(0.01)\n")
    with launch.runner() as runner:
        launch.context.lost.set()
        began = time.monotonic()
        runner(launch.queue, launch.context)
        assert time.monotonic() - began < 2
    assert launch.left() == []


@pytest.mark.parametrize("hears", [True, False])
def test_one_on_a_cluster_is_given_time_to_stop(
    launched: Callable[[str], Launch], hears: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "_STOP_SECONDS", 1.0)
    note = "(here / 'stopped').touch()"
    launch = launched(f"{PULL}while not (ask('stopping') and {hears}): time.sleep(0.01)\n{note}\n{END}")
    stop_after(launch, 1)
    launch.run("10.0.0.1:6379")
    assert (launch.folder / "stopped").exists() is hears, launch.script
    assert launch.queue.running == {launch.ids[0]}


def stop_after(launch: Launch, pulled: int) -> None:
    """Stop the launch once so many trials are handed out."""
    pull = launch.queue.pull

    def then_stop(*arguments: Any) -> Any:
        found = pull(*arguments)
        if len(launch.queue.handed_out) >= pulled:
            launch.context.lost.set()
        return found

    launch.queue.pull = then_stop  # type: ignore[assignment, method-assign]


def test_a_signal_ends_it_too(launched: Callable[[str], Launch]) -> None:
    launch = launched(f"{PULL}os.kill(int(sys.argv[3]), signal.SIGINT)\nsignal.pause()\n")
    before = signal.signal(signal.SIGINT, signal.default_int_handler)  # Tune leaves a handler of its own behind
    try:
        with pytest.raises(KeyboardInterrupt):
            launch.run()
    finally:
        signal.signal(signal.SIGINT, before)
    assert launch.starts
    assert launch.left() == []


def test_nothing_starts_where_nothing_is_due(launched: Callable[[str], Launch]) -> None:
    launch = launched(END)
    launch.queue.stop()
    launch.runner()(launch.queue, launch.context)
    assert launch.starts == []


def test_a_real_process_says_what_is_wrong(launched: Callable[[str], Launch]) -> None:
    """Ray's own process, at an address where nothing listens for Ray."""
    launch = launched(END)
    launch.command = module.COMMAND
    with pytest.raises(ClusterError, match="no Ray cluster at nowhere"):
        launch.run("nowhere")
