"""The thread that sends a running study's records to MLflow."""

import logging
import queue
import threading
import time

from ctkd_study.tracking.client import set_environment
from ctkd_study.tracking.projection import Projection, Projector, TrackingOutcome

_LONGEST_PAUSE = 60.0
_LAST_ATTEMPTS = 3


class Tracker:
    """Sends a running study's records to MLflow from a thread of its own, which never slows or stops a trial.

    Args:
        projection: what to show, and where.
        every: seconds between passes; a pass sends the new rows of the trials that have changed. After failures the
            pauses grow to a minute.
    """

    def __init__(self, projection: Projection, every: float = 5.0) -> None:
        self._every = every
        self._projector = Projector(projection, thorough=False)
        self._changes: queue.SimpleQueue[str] = queue.SimpleQueue()
        self._finishing = threading.Event()
        self._deadline = 0.0
        # A daemon, so that the driver can end although a server never answers.
        self._thread = threading.Thread(target=self._work, name="tracking", daemon=True)

    def start(self) -> None:
        """Start the thread; its first pass is over all records."""
        set_environment()
        # urllib3 warns of every retry, which would break up the live table; the outcome says what failed.
        logging.getLogger("urllib3.connectionpool").setLevel(logging.ERROR)
        self._thread.start()

    def changed(self, trial_id: str) -> None:
        """Report a new complete checkpoint of a trial; takes a microsecond, from any thread."""
        self._changes.put(trial_id)

    def finish(self, timeout: float = 30.0) -> TrackingOutcome:
        """Make a last pass over all records and end the thread; after ``timeout`` seconds the pass is abandoned."""
        self._deadline = time.monotonic() + timeout
        self._finishing.set()
        if self._thread.ident is not None:
            self._thread.join(timeout)
        return self._projector.outcome(stopped=not self._thread.is_alive())

    def _work(self) -> None:
        pending: set[str] | None = None  # all records
        pause, last_attempts = 0.0, 0
        while True:
            finishing = self._finishing.wait(pause)
            changed = {self._changes.get() for _ in range(self._changes.qsize())}
            pending = None if finishing or pending is None else pending | changed
            done = pending == set() or self._projector.attempt(pending)
            if done:
                pending = set()
            pause = self._every if done else min(max(2 * pause, self._every), _LONGEST_PAUSE)
            if finishing:
                last_attempts += 1
                if done or last_attempts == _LAST_ATTEMPTS or time.monotonic() > self._deadline:
                    return
                time.sleep(1.0)
