"""One holder at a time, among processes on any machines that share a storage.

A lease is a folder of terms. The holder of term 7 made ``000007.json`` by an atomic create, renews
``000007.renewed.json``, and writes ``000007.ended.json`` when it lets go. A term that has not ended is taken over only
when its holder is known to be dead: on the same machine the operating system says so; of another machine it is
concluded when nothing was renewed for a minute. That minute is measured on the watcher's own clock; the clocks of other
machines are never compared. A holder that was taken over (it hung, or its machine slept) finds the newer term.

So a lease keeps others out while its holder lives. It does not stop a holder that wakes up late: what matters is fenced
besides (``record.runs``).
"""

import dataclasses
import datetime
import getpass
import json
import logging
import os
import socket
import threading
import time
import uuid
from collections.abc import Callable, Mapping
from pathlib import Path
from types import TracebackType
from typing import Any

from trainables.storage import NotAFile, Storage

log = logging.getLogger(__name__)

STALE_SECONDS = 60.0
"""A holder on another machine that renews nothing for so long counts as dead."""
_RENEW_SECONDS = 5.0
_LOOK_SECONDS = 1.0


class Held(Exception):
    """Another process holds the lease. The text names it."""


@dataclasses.dataclass(frozen=True)
class Clock:
    """Time as a process sees it; tests have their own."""

    now: Callable[[], float] = time.monotonic
    sleep: Callable[[float], None] = time.sleep


class Lease:
    """A lease on a folder; a context manager that holds it.

    Args:
        folder: of the terms.
        status: what to store with each renewal and at the end, as plain values.
        wait: whether to wait for a living holder; else it is an error.
        after: terms begin after this number.
        watched: told, every second while another holder is watched, who that is and when it was last heard of.
        about: what to store of the holder besides who it is, as plain values.
        renew_seconds: between two renewals.
        clock: of this process.

    Raises:
        Held: on entry, if another process holds it and ``wait`` is false.
    """

    def __init__(
        self,
        folder: Storage,
        status: Callable[[], Mapping[str, Any]] = dict,
        *,
        wait: bool = False,
        after: int = 0,
        watched: Callable[[str], None] = lambda holder: None,
        about: Mapping[str, Any] | None = None,
        renew_seconds: float = _RENEW_SECONDS,
        clock: Clock | None = None,
    ) -> None:
        self.folder, self._status, self._wait, self._after = folder, status, wait, after
        self._watched, self._about = watched, about or {}
        self._renew_seconds, self._clock = renew_seconds, clock or Clock()
        self.term = 0
        """Number of the term that is held; grows with every holder."""
        self.lost = threading.Event()
        """Set when a later term was begun, i.e. when this holder was thought dead."""
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._keep, name="lease", daemon=True)

    def __enter__(self) -> "Lease":
        self.acquire()
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._stop.set()
        self._thread.join()
        self.release()

    def acquire(self) -> None:
        """Begin a term once the one before has ended.

        Raises:
            Held: it goes on, and ``wait`` is false.
            OSError: the folder cannot be read or written.
        """
        if self.folder.is_link:
            raise NotAFile(f"{self.folder.location} is a link; a folder of leases must not be one")
        while True:
            newest = max((*terms(self.folder), self._after))
            if not self._over(newest):
                continue
            if self.folder.create(_name(newest + 1), _packed({**self._about, **_me()})):
                self.term = newest + 1
                return
            # Somebody was faster. A link or pipe of this name would be in the way for ever, but cannot be read.
            self.folder.read(_name(newest + 1))

    def renew(self) -> None:
        """Store a sign of life, unless a later term was begun."""
        if not self._overtaken():
            self.folder.write(_name(self.term, "renewed"), _packed({**_sign(), **self._status()}))

    def release(self) -> None:
        """End the term; one that was lost is left alone."""
        try:
            if not self._overtaken():
                self.folder.write(_name(self.term, "ended"), _packed(dict(self._status())))
        except OSError as fault:
            log.warning("%s stays taken until this process has ended: %s", self.folder.location, fault)

    def _overtaken(self) -> bool:
        """Whether a later term was begun."""
        if max(terms(self.folder), default=0) > self.term:
            self.lost.set()
        return self.lost.is_set()

    def _keep(self) -> None:
        while not self._stop.wait(self._renew_seconds) and not self.lost.is_set():
            try:
                self.renew()
            except OSError as fault:  # a full disk, a store that does not answer: it may pass
                log.info("the lease on %s is not renewed: %s", self.folder.location, fault)

    def _over(self, term: int) -> bool:
        """Whether a term has ended, or its holder is dead; takes up to a minute to tell.

        Raises:
            Held: its holder lives, and ``wait`` is false.
        """
        holder = read(self.folder, term)
        if not holder or ended(self.folder, term):
            return True
        if (alive := _lives_here(holder)) is None:
            alive = self._renews(term, holder)
        if alive and not self._wait:
            raise Held(_owner(holder))
        if alive:
            self._watch(_owner(holder))
        return not alive

    def _renews(self, term: int, holder: Mapping[str, Any]) -> bool:
        """Whether a term is renewed, or ended, within the time in which a living holder does so."""
        began, seen = self._clock.now(), read(self.folder, term, "renewed")
        told = f"{_owner(holder)}, last heard of {_at(seen or holder)}"
        while self._clock.now() - began < STALE_SECONDS:
            self._watch(told)
            if ended(self.folder, term):
                return False
            if read(self.folder, term, "renewed") != seen:
                return True
        return False

    def _watch(self, holder: str) -> None:
        self._watched(holder)
        self._clock.sleep(_LOOK_SECONDS)


def terms(folder: Storage) -> list[int]:
    """Return the numbers of all terms, ascending."""
    names = (name.partition(".") for name in folder.names())
    return sorted(int(number) for number, _, rest in names if number.isdecimal() and rest == "json")


def ended(folder: Storage, term: int) -> bool:
    """Whether the holder of a term has let go."""
    return folder.exists(_name(term, "ended"))


def read(folder: Storage, term: int, kind: str = "") -> dict[str, Any]:
    """Return what the holder of a term has stored; empty if there is nothing to read.

    Args:
        folder: of the terms.
        term: its number.
        kind: "renewed" or "ended"; "" is who holds it.
    """
    try:
        content = json.loads(folder.read(_name(term, kind)))
    except (FileNotFoundError, ValueError, RecursionError):
        return {}
    return content if isinstance(content, dict) else {}


def _name(term: int, kind: str = "") -> str:
    return f"{term:06d}.{kind}.json" if kind else f"{term:06d}.json"


def _packed(content: Mapping[str, Any]) -> bytes:
    return json.dumps(content, indent=1).encode()


def _owner(holder: Mapping[str, Any]) -> str:
    return str(holder.get("owner", "another process"))


def _sign() -> dict[str, Any]:
    """Return what no other renewal holds; its time is for people alone."""
    return {"sign": uuid.uuid4().hex, "time_ms": time.time_ns() // 1_000_000}


def _at(stored: Mapping[str, Any]) -> str:
    """Say when something was stored."""
    try:
        moment = datetime.datetime.fromtimestamp(int(stored["time_ms"]) / 1000, datetime.UTC)
    except (KeyError, TypeError, ValueError, OverflowError, OSError):
        return "at an unknown time"
    return f"at {moment:%Y-%m-%d %H:%M:%S} UTC by its own clock"


def _me() -> dict[str, Any]:
    return {
        "owner": f"{_user()}@{socket.gethostname()} (process {os.getpid()})",
        "machine": _machine(),
        "pid": os.getpid(),
        "process_started": _started(os.getpid()),
        "token": uuid.uuid4().hex,
        "time_ms": time.time_ns() // 1_000_000,
    }


def _user() -> str:
    try:
        return getpass.getuser()
    except (KeyError, OSError):  # a container may run as a number that has no name
        return f"user {os.getuid()}"


def _machine() -> str:
    """Return a name for all processes that see each other's numbers: machine, its last boot, and container."""
    parts = [socket.gethostname()]
    for path in ("/proc/sys/kernel/random/boot_id", "/proc/self/ns/pid"):
        try:
            found = Path(path)
            parts.append(str(found.readlink()) if found.is_symlink() else found.read_text().strip())
        except OSError:
            parts.append("?")
    return " ".join(parts)


def _lives_here(holder: Mapping[str, Any]) -> bool | None:
    """Whether a holder's process runs; None if it is another machine's."""
    if holder.get("machine") != _machine():
        return None
    started = _started(holder.get("pid"))
    return started is not None and started == holder.get("process_started")


def _started(pid: object) -> str | None:
    """Return when a process of this machine started, in ticks since the boot; None if it does not run."""
    try:
        state, *fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    except OSError:
        return None
    return None if state == "Z" else fields[18]  # fields 3 and 22 of proc(5)
