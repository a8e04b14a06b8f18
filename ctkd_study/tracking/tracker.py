"""Sends a running study's records to MLflow, from a thread of its own.

A tracker never slows or stops a trial: it lives in one thread, which the driver only nudges, and all that goes wrong
there is told in one sentence at the end.
"""

import contextlib
import logging
import queue
import threading
import time
from collections.abc import Iterator

from ctkd_study.tracking.client import set_environment
from ctkd_study.tracking.projection import Projection, Projector, TrackingOutcome

_LONGEST_PAUSE = 60.0
_LAST_ATTEMPTS = 3


class Tracker:
    """Sends a running study's records to MLflow, from one thread of its own.

    Args:
        projection: what is shown where.
        every: seconds between two passes, which send what all trials have new since the last one. After a failure the
            pauses grow to a minute.
    """

    def __init__(self, projection: Projection, every: float = 5.0) -> None:
        self._every = every
        self._projector = Projector(projection, thorough=False)
        self._hints: queue.SimpleQueue[str] = queue.SimpleQueue()
        self._finishing = threading.Event()
        self._deadline = 0.0
        # A daemon: a server that never answers must not keep the driver from ending.
        self._thread = threading.Thread(target=self._work, name="tracking", daemon=True)

    def start(self) -> None:
        """Starts the thread, which first brings MLflow up to the records that there are."""
        set_environment()
        # Its warnings of every retry would break up the progress; the outcome says what failed.
        logging.getLogger("urllib3.connectionpool").setLevel(logging.ERROR)
        self._thread.start()

    def changed(self, trial_id: str) -> None:
        """Says that a trial (or ``TEACHER``) has a new complete checkpoint. Takes a microsecond, from any thread."""
        self._hints.put(trial_id)

    def finish(self, timeout: float = 30.0) -> TrackingOutcome:
        """Sends what is left, looking at all trials again, and ends the thread.

        Args:
            timeout: seconds to wait; a pass that is under way then is left behind.
        """
        self._deadline = time.monotonic() + timeout
        self._finishing.set()
        if self._thread.ident is not None:
            self._thread.join(timeout)
        return self._projector.outcome(stopped=not self._thread.is_alive())

    def _work(self) -> None:
        pending: set[str] | None = None
        pause, last_attempts = 0.0, 0
        while True:
            finishing = self._finishing.wait(pause)
            hints = set(self._drained())
            pending = None if finishing or pending is None else pending | hints
            if pending is None or pending:
                done = self._projector.attempt(pending)
                pending = set() if done else pending
            else:
                done = True
            pause = self._every if done else min(max(2 * pause, self._every), _LONGEST_PAUSE)
            if finishing:
                last_attempts += 1
                if done or last_attempts == _LAST_ATTEMPTS or time.monotonic() > self._deadline:
                    return
                time.sleep(1.0)

    def _drained(self) -> Iterator[str]:
        with contextlib.suppress(queue.Empty):
            while True:
                yield self._hints.get_nowait()
