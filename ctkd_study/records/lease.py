"""One driver at a time: a lease with owner and heartbeat in the study's folder."""

import getpass
import json
import os
import socket
import threading
import time
import uuid
from collections.abc import Callable
from pathlib import Path
from types import TracebackType
from typing import Any

import filelock

from ctkd_study.errors import LeaseError
from ctkd_study.records.folder import now_ms
from trainables.storage import Storage

LEASE = "lease.json"
_STALE_SECONDS = 60.0


class Lease:
    """Held while a driver runs a study; a context manager.

    On a local folder an operating system's lock guards it, which a killed process leaves behind at once. On an
    object store, and between machines that share a folder, the heartbeat does: a lease that has not been renewed for
    a minute is taken over.

    Args:
        folder: the study's folder.
        status: what to store with each heartbeat, as plain values.
        heartbeat_seconds: between two renewals.

    Raises:
        LeaseError: on entry, if another driver holds it.
    """

    def __init__(
        self, folder: Storage, status: Callable[[], dict[str, Any]] = dict, heartbeat_seconds: float = 5.0
    ) -> None:
        self.folder, self.status, self._heartbeat_seconds = folder, status, heartbeat_seconds
        self.token = uuid.uuid4().hex
        self.owner = f"{getpass.getuser()}@{socket.gethostname()} (process {os.getpid()})"
        self.lost = threading.Event()
        """Set when another driver has taken the lease over, which happens to a driver that hung."""
        self.previous: dict[str, Any] = {}
        """What the last lease's owner stored; its ``released`` is false if it died."""
        self._stop = threading.Event()
        self._started = now_ms()
        self._thread = threading.Thread(target=self._beat, name="lease", daemon=True)
        self._file: filelock.BaseFileLock | None = None

    @property
    def unsaved_of_dead_owner(self) -> dict[str, float]:
        """Device-seconds of work that the last owner lost when it died, by trial id; empty if it ended properly."""
        if not self.previous or self.previous.get("released", True):
            return {}
        return dict(self.previous.get("status", {}).get("unsaved", {}))

    def __enter__(self) -> "Lease":
        if self.folder.is_local:
            Path(self.folder.root).mkdir(parents=True, exist_ok=True)
            self._file = filelock.FileLock(self.folder.path(".lease.lock"))
            try:
                self._file.acquire(timeout=0)
            except filelock.Timeout:
                raise self._refusal(self._read()) from None
        self.previous = self._read()
        if self._held_elsewhere(self.previous):
            self._release_file()
            raise self._refusal(self.previous)
        self._write(released=False)
        if not self.folder.is_local:
            # Two drivers may have written at once: the store keeps the last, and both read again.
            time.sleep(1.0)
            if (current := self._read()).get("token") != self.token:
                raise self._refusal(current)
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._stop.set()
        self._thread.join()
        if not self.lost.is_set():
            self._write(released=True)
        self._release_file()

    def _held_elsewhere(self, lease: dict[str, Any]) -> bool:
        if not lease or lease.get("released"):
            return False
        if self.folder.is_local and lease.get("host") == socket.gethostname():
            return False  # the operating system's lock would have refused
        return now_ms() - int(lease.get("heartbeat_ms", 0)) < _STALE_SECONDS * 1000

    def _refusal(self, lease: dict[str, Any]) -> LeaseError:
        owner = lease.get("owner", "another process")
        return LeaseError(
            f"{self.folder.root} is being run by {owner}: one driver at a time. "
            f"Wait for it, stop it, or, if its machine is gone, try again in {_STALE_SECONDS:.0f} s."
        )

    def _beat(self) -> None:
        while not self._stop.wait(self._heartbeat_seconds):
            if self._read().get("token", self.token) != self.token:
                self.lost.set()
                return
            self._write(released=False)

    def _read(self) -> dict[str, Any]:
        try:
            lease = json.loads(self.folder.read(LEASE))
        except (FileNotFoundError, ValueError):
            return {}
        return lease if isinstance(lease, dict) else {}

    def _write(self, released: bool) -> None:
        lease = {
            "owner": self.owner,
            "host": socket.gethostname(),
            "token": self.token,
            "started_ms": self._started,
            "heartbeat_ms": now_ms(),
            "released": released,
            "status": self.status(),
        }
        self.folder.write(LEASE, json.dumps(lease, indent=1).encode())

    def _release_file(self) -> None:
        if self._file is not None:
            self._file.release()
