"""One holder at a time: who holds a lease, when it is taken over, and that a deposed holder finds out."""

import contextlib
import json
import logging
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any, TypeVar

import pytest

from tests.support.stores import KINDS, storage_of
from tests.support.turns import Choice, Turns, at_random, orders
from trainables import lease
from trainables.lease import STALE_SECONDS, Clock, Held, Lease
from trainables.storage import Storage
from trainables.storage.objects import ObjectStore


@pytest.fixture(params=KINDS)
def folder(request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Storage:
    return storage_of(request.param, tmp_path, monkeypatch).within("launches")


class Watch:
    """A clock of the one who watches: goes on when it sleeps. Its readings say nothing about those of others.

    Args:
        start: what it shows at first.
        meanwhile: called with the number of the second, whenever a second has passed.
    """

    def __init__(self, start: float = 0.0, meanwhile: Callable[[int], object] = lambda second: None) -> None:
        self.slept, self._start, self._meanwhile = 0.0, start, meanwhile

    def clock(self) -> Clock:
        return Clock(lambda: self._start + self.slept, self._sleep)

    def _sleep(self, seconds: float) -> None:
        self.slept += seconds
        self._meanwhile(int(self.slept))


@pytest.fixture
def machines(monkeypatch: pytest.MonkeyPatch) -> dict[str, str]:
    """The machine on which each thread seems to run, by the thread's name; to be filled in."""
    names: dict[str, str] = {}
    own = names.setdefault(threading.current_thread().name, "here")

    def gethostname() -> str:
        return names.get(threading.current_thread().name, own)

    monkeypatch.setattr(lease, "socket", SimpleNamespace(gethostname=gethostname))
    return names


def acquired(folder: Storage, machines: dict[str, str], machine: str) -> Lease:
    """A lease of a process on another machine."""
    me = threading.current_thread().name
    machines[me], own = machine, machines[me]
    try:
        holder = Lease(folder, lambda: {"unsaved": {"a": 1.0}})
        holder.acquire()
        return holder
    finally:
        machines[me] = own


def until(condition: Callable[[], bool], seconds: float = 10.0) -> None:
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end, "what the test waits for did not happen"
        time.sleep(0.01)


#: What a storage answers.
Answer = TypeVar("Answer")


# -- holding ---------------------------------------------------------------------------------------------------------


def test_it_is_held_inside_the_block_and_free_after_it(folder: Storage) -> None:
    with Lease(folder) as first:
        held = folder.tree()
        with pytest.raises(Held, match=rf"\(process {os.getpid()}\)"), Lease(folder):
            raise AssertionError
        assert folder.tree() == held, "who was refused has changed nothing"
        assert first.term == 1
    assert lease.ended(folder, 1)
    with Lease(folder) as second:
        assert second.term == 2
    assert lease.terms(folder) == [1, 2]


def test_it_is_free_when_the_block_raises(folder: Storage) -> None:
    with pytest.raises(RuntimeError), Lease(folder):
        raise RuntimeError
    assert lease.ended(folder, 1)


def test_terms_begin_after_a_number(folder: Storage) -> None:
    for after, term in ((7, 8), (0, 9), (20, 21)):
        with Lease(folder, after=after) as held:
            assert held.term == term


def test_each_renewal_and_the_end_store_the_status_of_the_moment(folder: Storage) -> None:
    status = {"wasted": {"a": 1.0}}
    with Lease(folder, lambda: status, renew_seconds=0.02) as held:
        until(lambda: bool(lease.read(folder, 1, "renewed")))
        first = lease.read(folder, 1, "renewed")
        assert first["wasted"] == {"a": 1.0}
        until(lambda: lease.read(folder, 1, "renewed")["sign"] != first["sign"])
        status = {"wasted": {"a": 2.0}}
        until(lambda: lease.read(folder, 1, "renewed")["wasted"] == {"a": 2.0})
        assert not held.lost.is_set()
        status = {"wasted": {"a": 3.0}}
    assert lease.read(folder, 1, "ended") == {"wasted": {"a": 3.0}}


def test_a_renewal_that_fails_is_tried_again(
    folder: Storage, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    kind, failed = type(folder), list[str]()
    real = kind.write

    def write(storage: Storage, path: str, content: bytes) -> None:
        if path.endswith("renewed.json") and len(failed) < 3:
            failed.append(path)
            raise OSError("503 slow down")
        real(storage, path, content)

    monkeypatch.setattr(kind, "write", write)
    with caplog.at_level(logging.INFO), Lease(folder, renew_seconds=0.01) as held:
        until(lambda: bool(lease.read(folder, 1, "renewed")))
        assert not held.lost.is_set()
    assert (len(failed), caplog.text.count("is not renewed: 503 slow down")) == (3, 3)


def test_an_end_that_cannot_be_stored_is_no_error(
    folder: Storage, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def full(*arguments: Any) -> None:
        raise OSError("no space left on device")

    with caplog.at_level(logging.WARNING), Lease(folder):
        monkeypatch.setattr(type(folder), "write", full)
    assert "stays taken until this process has ended: no space left on device" in caplog.text
    monkeypatch.undo()


@pytest.mark.parametrize("content", [b"", b"[]", b"{", b"[" * 100_000, b"\xff"])
def test_a_damaged_term_is_nobody_s(folder: Storage, content: bytes) -> None:
    folder.write("000001.json", content)
    folder.write("000001.renewed.json", content)
    assert (lease.read(folder, 1), lease.read(folder, 1, "renewed"), lease.read(folder, 2)) == ({}, {}, {})
    with Lease(folder) as held:
        assert held.term == 2


def test_only_terms_are_counted(folder: Storage) -> None:
    for name in ("000003.json", "000002.json", "000009.renewed.json", "12.json.tmp", "notes.json", "1000000.json"):
        folder.write(name, b"{}")
    assert lease.terms(folder) == [2, 3, 1_000_000]


def test_of_many_that_begin_at_once_one_holds_it(folder: Storage) -> None:
    start, outcomes, over = threading.Barrier(6), list[str](), threading.Event()

    def race() -> None:
        held = Lease(folder)
        start.wait()
        try:
            held.acquire()
            outcomes.append("held")
            over.wait(30)
        except Held:
            outcomes.append("refused")
        if len(outcomes) == 6:
            over.set()

    threads = [threading.Thread(target=race) for _ in range(6)]
    for thread in threads:
        thread.start()
    until(lambda: len(outcomes) == 6)
    over.set()
    for thread in threads:
        thread.join()
    assert sorted(outcomes) == ["held"] + 5 * ["refused"]


# -- the end of others -----------------------------------------------------------------------------------------------

HOLD = """
import sys, time
from trainables.lease import Lease
from trainables.storage import Storage
Lease(Storage.at(sys.argv[1])).acquire()
print("held", flush=True)
time.sleep(600)
"""


@pytest.fixture
def holder(tmp_path: Path) -> Iterator[subprocess.Popen[str]]:
    """A process that holds the lease in ``tmp_path``."""
    process = subprocess.Popen([sys.executable, "-c", HOLD, str(tmp_path)], stdout=subprocess.PIPE, text=True)
    assert process.stdout is not None
    assert process.stdout.readline() == "held\n"
    yield process
    process.kill()
    process.wait()
    process.stdout.close()


@pytest.mark.parametrize("reaped", [True, False])
def test_a_dead_process_of_this_machine_is_taken_over_at_once(
    tmp_path: Path, holder: subprocess.Popen[str], reaped: bool
) -> None:
    folder, watch = Storage.at(str(tmp_path)), Watch()
    with pytest.raises(Held, match=rf"process {holder.pid}"):
        Lease(folder, clock=watch.clock()).acquire()
    holder.send_signal(signal.SIGKILL)
    if reaped:
        holder.wait()
    else:
        until(lambda: "Z" in Path(f"/proc/{holder.pid}/stat").read_text().rpartition(")")[2].split()[0])
    Lease(folder, clock=watch.clock()).acquire()
    assert watch.slept == 0


def test_a_process_of_this_machine_that_is_stopped_lives(tmp_path: Path, holder: subprocess.Popen[str]) -> None:
    holder.send_signal(signal.SIGSTOP)
    watch = Watch()
    with pytest.raises(Held):
        Lease(Storage.at(str(tmp_path)), clock=watch.clock()).acquire()
    assert watch.slept == 0
    holder.send_signal(signal.SIGCONT)


def test_a_process_with_the_number_of_a_dead_one_is_another(folder: Storage) -> None:
    Lease(folder).acquire()
    content = json.loads(folder.read("000001.json"))
    folder.write("000001.json", json.dumps({**content, "process_started": "1"}).encode())
    watch = Watch()
    Lease(folder, clock=watch.clock()).acquire()
    assert watch.slept == 0


@pytest.mark.parametrize("start", [0.0, 3600.0, 1e9])
@pytest.mark.parametrize("hours_off", [-1, 0, 1])
def test_a_silent_holder_elsewhere_is_taken_over_after_a_minute_of_the_watcher_s_clock(
    folder: Storage, machines: dict[str, str], monkeypatch: pytest.MonkeyPatch, start: float, hours_off: int
) -> None:
    """Whatever the clocks of the two machines show."""
    with monkeypatch.context() as patch:
        now = time.time_ns()
        patch.setattr(time, "time_ns", lambda: now + hours_off * 3600 * 10**9)
        deposed = acquired(folder, machines, "elsewhere")
        deposed.renew()
    watch = Watch(start)
    held = Lease(folder, clock=watch.clock())
    held.acquire()
    assert (held.term, STALE_SECONDS) == (2, 60)
    assert 60 <= watch.slept <= 61
    assert lease.read(folder, 1, "renewed")["unsaved"] == {"a": 1.0}


@pytest.mark.parametrize("hours_off", [-1, 0, 1])
def test_a_living_holder_elsewhere_is_left_alone_however_long_ago_its_clock_says_it_was(
    folder: Storage, machines: dict[str, str], monkeypatch: pytest.MonkeyPatch, hours_off: int
) -> None:
    now = time.time_ns()
    monkeypatch.setattr(time, "time_ns", lambda: now + hours_off * 3600 * 10**9)
    living = acquired(folder, machines, "elsewhere")
    monkeypatch.undo()
    monkeypatch.setattr(lease, "socket", SimpleNamespace(gethostname=lambda: "here"))
    watch = Watch(meanwhile=lambda second: living.renew() if second % 50 == 0 else None)
    for _ in range(2):
        with pytest.raises(Held, match="@elsewhere"):
            Lease(folder, clock=watch.clock()).acquire()
    assert watch.slept == 100, "each waited for a sign of life"


def test_one_elsewhere_that_ends_meanwhile_is_followed_at_once(folder: Storage, machines: dict[str, str]) -> None:
    other = acquired(folder, machines, "elsewhere")
    watch = Watch(meanwhile=lambda second: other.release() if second == 7 else None)
    Lease(folder, clock=watch.clock()).acquire()
    assert watch.slept == 7


@pytest.mark.parametrize("machine", ["here", "elsewhere"])
def test_who_waits_gets_it_when_the_living_holder_ends(folder: Storage, machines: dict[str, str], machine: str) -> None:
    other = acquired(folder, machines, machine)

    def meanwhile(second: int) -> None:
        if second == 200:
            other.release()
        elif second < 200 and second % 20 == 0:
            other.renew()

    watch = Watch(meanwhile=meanwhile)
    held = Lease(folder, wait=True, clock=watch.clock())
    held.acquire()
    assert (held.term, other.lost.is_set()) == (2, False)
    assert 200 <= watch.slept <= 201


# -- deposed ---------------------------------------------------------------------------------------------------------


def test_a_holder_that_was_thought_dead_finds_out_and_stores_no_end(folder: Storage, machines: dict[str, str]) -> None:
    deposed = acquired(folder, machines, "elsewhere")
    with Lease(folder, clock=Watch().clock()) as successor:
        before = folder.tree()
        deposed.renew()
        assert deposed.lost.is_set()
        deposed.release()
        assert folder.tree() == before
        successor.renew()
        assert not successor.lost.is_set()
    assert (lease.ended(folder, 1), lease.ended(folder, 2)) == (False, True)


def test_a_holder_finds_out_at_its_end_at_the_latest(folder: Storage, machines: dict[str, str]) -> None:
    deposed = acquired(folder, machines, "elsewhere")
    Lease(folder, clock=Watch().clock()).acquire()
    deposed.release()
    assert deposed.lost.is_set()
    assert not lease.ended(folder, 1)


def test_the_block_is_told_while_it_runs(folder: Storage) -> None:
    with Lease(folder, renew_seconds=0.01) as held:
        folder.write("000002.json", b"{}")
        assert held.lost.wait(10)
    assert not lease.ended(folder, 1)


# -- all orders of two drivers ---------------------------------------------------------------------------------------


class Drivers:
    """Drivers on machines of their own, an object store between them, and who holds the lease.

    Args:
        turns: in which they act.
        root: of the object store.
        delay: seconds until the store has done something, and until the answer is there.
        fails: whether a renewal fails.
    """

    def __init__(
        self, turns: Turns, root: Storage, delay: Callable[[], float], fails: Callable[[], bool] = lambda: False
    ) -> None:
        self.turns, self.inside, self.terms = turns, set[str](), list[int]()
        self._skews = {"a": 0.0, "b": 3600.0, "c": -3600.0}

        class Slow(ObjectStore):
            """Every request takes time to arrive, and every answer, too."""

            def names(self, path: str = "") -> list[str]:
                return _slowly(super().names, path)

            def read(self, path: str) -> bytes:
                return _slowly(super().read, path)

            def exists(self, path: str = "") -> bool:
                return _slowly(super().exists, path)

            def create(self, path: str, content: bytes) -> bool:
                return _slowly(super().create, path, content)

            def write(self, path: str, content: bytes) -> None:
                if path.endswith("renewed.json") and fails():
                    raise OSError("503 slow down")
                _slowly(super().write, path, content)

        def _slowly(act: Callable[..., Answer], *arguments: Any) -> Answer:
            turns.sleep(delay())
            try:
                return act(*arguments)
            finally:
                turns.sleep(delay())

        self.folder = Slow(root.path("launches"), root.scheme)

    def lease(self, wait: bool) -> Lease:
        skew = self._skews[threading.current_thread().name]
        return Lease(self.folder, wait=wait, clock=Clock(lambda: self.turns.now + skew, self.turns.sleep))

    def hold(self, held: Lease, renewals: int = 2) -> None:
        """Begin a term, renew it, and end it."""
        name = threading.current_thread().name
        held.acquire()
        self.enter(held)
        for _ in range(renewals):
            self.turns.sleep(5)
            with contextlib.suppress(OSError):
                held.renew()
            assert not held.lost.is_set()
        self.inside.remove(name)
        held.release()

    def enter(self, held: Lease) -> None:
        assert not self.inside, f"{self.inside} hold the lease already"
        self.inside.add(threading.current_thread().name)
        self.terms.append(held.term)


def explored(choices: Iterator[Choice], act: Callable[[Choice], None]) -> int:
    """Act in each of some orders; returns how many there were."""
    count = 0
    for choice in choices:
        act(choice)
        count += 1
    return count


@pytest.fixture
def drivers(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, machines: dict[str, str]) -> Callable[..., Drivers]:
    machines.update({name: f"machine-of-{name}" for name in "abc"})

    def made(choice: Choice, delay: Callable[[], float] = lambda: 0.0, **more: Any) -> Drivers:
        return Drivers(Turns(choice), storage_of("objects", tmp_path, monkeypatch), delay, **more)

    return made


def test_two_drivers_that_wait_hold_it_one_after_the_other_in_any_order(drivers: Callable[..., Drivers]) -> None:
    def act(choice: Choice) -> None:
        both = drivers(choice)
        both.turns.run(dict.fromkeys("ab", lambda: both.hold(both.lease(wait=True))))
        assert both.terms == [1, 2]

    assert explored(orders(switches=2, within=40), act) == 821


def test_of_two_drivers_that_do_not_wait_one_runs_or_both_do_in_turn(drivers: Callable[..., Drivers]) -> None:
    def act(choice: Choice) -> None:
        both, refused = drivers(choice), list[str]()

        def part() -> None:
            try:
                both.hold(both.lease(wait=False))
            except Held:
                refused.append(threading.current_thread().name)

        both.turns.run(dict.fromkeys("ab", part))
        assert len(both.terms) + len(refused) == 2
        assert both.terms == list(range(1, len(both.terms) + 1))
        assert both.terms

    assert explored(orders(switches=2, within=40), act) == 821


@pytest.mark.parametrize("seed", range(60))
def test_a_slow_store_makes_no_second_holder(drivers: Callable[..., Drivers], seed: int) -> None:
    """Each request and each answer takes up to four seconds."""
    choice = at_random(seed)
    some = drivers(choice, lambda: float(choice(["0", "0", "0.5", "1.5", "4"], "")))
    some.turns.run(dict.fromkeys("abc", lambda: some.hold(some.lease(wait=True), renewals=3)))
    assert some.terms == [1, 2, 3]


@pytest.mark.parametrize("seed", range(20))
def test_a_store_that_refuses_every_second_renewal_makes_no_second_holder(
    drivers: Callable[..., Drivers], seed: int
) -> None:
    choice = at_random(seed)
    some = drivers(choice, fails=lambda: choice(["fails", "works"], "") == "fails")
    some.turns.run(dict.fromkeys("abc", lambda: some.hold(some.lease(wait=True), renewals=20)))
    assert some.terms == [1, 2, 3]


@pytest.mark.parametrize("seed", range(30))
def test_a_driver_that_dies_is_followed_and_one_that_hangs_is_deposed(
    drivers: Callable[..., Drivers], seed: int
) -> None:
    some = drivers(at_random(seed))
    hung: list[Lease] = []

    def dies() -> None:
        held = some.lease(wait=True)
        held.acquire()
        some.enter(held)
        some.turns.sleep(5)
        held.renew()
        some.inside.clear()

    def hangs() -> None:
        held = some.lease(wait=True)
        held.acquire()
        some.enter(held)
        some.inside.clear()  # it does nothing while it hangs
        some.turns.sleep(1000)
        held.release()
        hung.append(held)

    some.turns.run({"a": dies, "b": hangs, "c": lambda: some.hold(some.lease(wait=True))})
    assert some.terms == [1, 2, 3]
    (held,) = hung
    assert held.lost.is_set() == (held.term < 3), "somebody waited for it"
    assert lease.ended(some.folder, held.term) != held.lost.is_set()


def test_a_holder_without_a_user_name_is_named_by_number(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def unknown() -> str:
        raise KeyError("uid not found")

    monkeypatch.setattr("getpass.getuser", unknown)
    folder = Storage.at(str(tmp_path))
    with Lease(folder) as held:
        assert lease.read(folder, held.term)["owner"].startswith("user ")


def test_what_is_no_file_in_the_place_of_a_term_is_an_error(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "000001.json")
    with pytest.raises(OSError, match=r"000001\.json is no ordinary file"):
        Lease(Storage.at(str(tmp_path))).acquire()
