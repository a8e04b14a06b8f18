"""The trials' records -> MLflow: by a thread while a study runs, or by ``sync`` at any time.

The records are the truth, and only rows that stand in a complete checkpoint are sent. Sending is idempotent: whoever
was killed, or had no MLflow to talk to, is made up for by the next pass. A tracker never slows or stops a trial: it
lives in one thread, which the driver only nudges, and all that goes wrong there is told in one sentence at the end.
"""

import contextlib
import dataclasses
import hashlib
import json
import logging
import queue
import re
import shlex
import threading
import time
from collections.abc import Iterator
from pathlib import Path

from ctkd_study.errors import StudyError, TrackingError
from ctkd_study.tracking_client import (
    client_of,
    find_experiment,
    is_outage,
    locked,
    server_command,
    server_environment,
    set_environment,
)
from ctkd_study.tracking_image import Image, Role, image_of
from ctkd_study.tracking_store import StudyRuns
from ctkd_study.tracking_view import VIEW_TAG, Span, runs_page
from trainables.record import HISTORY, Checkpoint, Row, scan
from trainables.storage import Storage

__all__ = [
    "TEACHER",
    "Projection",
    "Tracker",
    "TrackingOutcome",
    "comparison_url",
    "default_uri",
    "server_command",
    "server_environment",
    "sync",
]

log = logging.getLogger(__name__)

#: What ``Tracker.changed`` is told for the teacher.
TEACHER = "teacher"

_LOCK = ".tracking.lock"
_LOCK_PATIENCE = 120.0
_LONGEST_PAUSE = 60.0
_LAST_ATTEMPTS = 3


@dataclasses.dataclass(frozen=True)
class Projection:
    """What is shown where."""

    uri: str
    """MLflow's tracking URI: ``sqlite:///``, ``postgresql+psycopg2://``, ``http://`` or ``https://``."""
    study: str
    uid: str
    """The study's identity: all look-ups in MLflow go by it."""
    trials: Storage
    """The study's folder, with one folder per trial."""
    teacher: Storage | None = None
    """The folder of the teacher's record, if the teacher has one."""
    note: str = ""
    """Markdown for the head of the experiment's page."""

    @property
    def catching_up(self) -> str:
        """The command that makes MLflow hold what the records do, wherever the two are."""
        place = self.trials.location.rpartition("/")[0]
        words = ["ctkd-study", "sync", self.study, "--storage", place]
        if self.uri != default_uri(Storage.at(place)):
            words += ["--tracking-uri", "URI" if "@" in self.uri else self.uri]  # there may be a password in it
        return shlex.join(words)


@dataclasses.dataclass(frozen=True)
class TrackingOutcome:
    """What has become of a projection."""

    study: str
    complete: bool
    """Whether MLflow holds exactly what the records do."""
    runs: int = 0
    """Runs of the study, the teacher's included."""
    rows: int = 0
    """Epochs that were sent, this time."""
    created: int = 0
    rewritten: int = 0
    """Runs that held what the record does not, and were written anew."""
    removed: int = 0
    """Runs that were deleted: doubles, and those without a record."""
    failures: tuple[str, ...] = ()
    catching_up: str = "ctkd-study sync"
    """The command that makes up for what is missing."""

    def __str__(self) -> str:
        if not self.complete:
            reason = self.failures[0] if self.failures else "it did not answer in time"
            more = f" (and {len(self.failures) - 1} more)" if len(self.failures) > 1 else ""
            return f"MLflow is behind the records: {reason}{more}. `{self.catching_up}` makes up for it."
        changes = {"written anew": self.rewritten, "removed": self.removed}
        told = "".join(f", {count} {change}" for change, count in changes.items() if count)
        return f"MLflow: {self.runs} runs, {self.rows} epochs sent{told}."


def sync(projection: Projection) -> TrackingOutcome:
    """Makes MLflow hold exactly what the records do, comparing every value that it has.

    It can be repeated at any time, also while the study runs, and changes nothing where there is nothing to change.
    """
    projector = _Projector(projection, thorough=True)
    projector.attempt(None)
    return projector.outcome()


class Tracker:
    """Sends a running study's records to MLflow, from one thread of its own.

    Args:
        projection: what is shown where.
        every: seconds between two passes, which send what all trials have new since the last one. After a failure the
            pauses grow to a minute.
    """

    def __init__(self, projection: Projection, every: float = 5.0) -> None:
        self._every = every
        self._projector = _Projector(projection, thorough=False)
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


def check_uri(uri: str) -> None:
    """Sees to it that a tracking URI is one.

    Raises:
        StudyError: it is not, and sending to it could never work.
    """
    if not re.fullmatch(r"sqlite:///.+|https?://.+|(postgresql|mysql|mssql)(\+\w+)?://.+", uri):
        raise StudyError(
            f"--tracking-uri must be http(s)://..., sqlite:///FILE or postgresql+psycopg2://..., but got {uri!r}"
        )


def default_uri(storage: Storage, otherwise: Path = Path("results")) -> str:
    """The tracking URI where the user names none: ``mlflow.db`` in a local storage, else in folder ``otherwise``."""
    folder = Path(storage.root) if storage.is_local else otherwise
    return f"sqlite:///{(folder / 'mlflow.db').absolute()}"


def comparison_url(uri: str, uid: str, server: str | None = None) -> str:
    """The address of a study's comparison: its preset view where it has one, else its plain page of runs.

    Args:
        uri: MLflow's tracking URI.
        uid: the study's.
        server: address of an MLflow server on that store; by default ``uri`` itself.

    Raises:
        TrackingError: MLflow does not answer, or has no experiment of this study.
    """
    try:
        experiment = find_experiment(client_of(uri), uid)
    except Exception as error:
        raise TrackingError(f"MLflow at {uri} does not answer: {_first_line(error)}") from error
    if experiment is None or experiment.lifecycle_stage == "deleted":
        raise TrackingError(f"MLflow at {uri} has no experiment of this study; `ctkd-study sync` makes one")
    return runs_page(server or uri, experiment.experiment_id, VIEW_TAG in experiment.tags)


class _Projector:
    """Passes over the records. One thread at a time may call ``attempt``; any may read ``outcome``."""

    def __init__(self, projection: Projection, thorough: bool) -> None:
        self._what, self._thorough = projection, thorough
        self._runs: StudyRuns | None = None
        self._outage: str | None = "MLflow was never reached"
        self._failures: dict[str, str] = {}
        self._accuracy: Span | None = None

    def attempt(self, trials: set[str] | None) -> bool:
        """One pass over some trials, or over all and the teacher; returns whether all of it worked. Never raises."""
        began = time.monotonic()
        try:
            with self._lock():
                self._pass(trials)
        except Exception as error:
            # Whatever it is, it must not reach the study; the outcome tells it.
            self._outage = _first_line(error)
            log.debug("a pass to MLflow failed", exc_info=True)
            return False
        self._outage = None
        log.debug("a pass to MLflow took %.2f s", time.monotonic() - began)
        return not self._failures

    def outcome(self, stopped: bool = True) -> TrackingOutcome:
        tally = dataclasses.asdict(self._runs.tally) if self._runs is not None else {}
        failures = ([self._outage] if self._outage else []) + [f"{id}: {text}" for id, text in self._failures.items()]
        complete = stopped and not failures
        runs = len(self._runs) if self._runs is not None else 0
        told = tuple(failures) if stopped else ()
        what = self._what
        return TrackingOutcome(what.study, complete, runs, **tally, failures=told, catching_up=what.catching_up)

    def _lock(self) -> contextlib.AbstractContextManager[None]:
        # An object store has no locks; there doubles are found after the fact.
        trials = self._what.trials
        return locked(Path(trials.path(_LOCK)), _LOCK_PATIENCE) if trials.is_local else contextlib.nullcontext()

    def _pass(self, trials: set[str] | None) -> None:
        what = self._what
        if self._runs is None:
            self._runs = StudyRuns(what.uri, what.study, what.uid, what.note, alone=what.trials.is_local)
            self._runs.look()
        runs = self._runs
        seen: set[str] = set()
        if trials is None:
            self._accuracy = None
        self._failures = {key: text for key, text in self._failures.items() if trials is not None and key not in trials}
        for name, folder, role in self._folders(trials):
            # One trial's trouble, with its record or its run, is no reason to leave the others out.
            try:
                image = self._image(folder, role)
            except Exception as error:
                self._failures[name] = f"its record cannot be read: {_first_line(error)}"
                continue
            if image is None:
                continue
            seen.add(image.trial)
            self._widen(image)
            try:
                runs.bring(image, self._thorough)
            except Exception as error:
                if is_outage(error):
                    raise
                self._failures[name] = _first_line(error)
        if trials is None:
            if not self._failures:
                self._remove_lost(runs, seen)
            runs.dress(self._accuracy)
        runs.expect_others()

    def _folders(self, trials: set[str] | None) -> Iterator[tuple[str, Storage, Role]]:
        what = self._what
        if what.teacher is not None and (trials is None or TEACHER in trials):
            yield TEACHER, what.teacher, "teacher"
        names = set(what.trials.names()) - what.trials.sizes().keys() if trials is None else trials - {TEACHER}
        for name in sorted(names):
            yield name, what.trials.within(name), "trial"

    def _image(self, folder: Storage, role: Role) -> Image | None:
        try:
            found = self._read(folder)
        except FileNotFoundError:
            # The trial has saved again, and cleared this checkpoint away, since it was found.
            found = self._read(folder)
        return image_of(found[0].manifest, found[1], self._what.study, self._what.uid, role) if found else None

    def _read(self, folder: Storage) -> tuple[Checkpoint, list[Row]] | None:
        """The newest checkpoint and its rows. While trials run, the weights in it, which may be large, are not read."""
        newest = scan(folder, check_hashes=self._thorough, level=logging.DEBUG).newest
        if newest is None:
            return None
        content = newest.storage.read(f"{newest.name}/{HISTORY}")
        if hashlib.sha256(content).hexdigest() != newest.manifest.files[HISTORY].sha256:
            newest = scan(folder, level=logging.DEBUG).newest
            return (newest, newest.rows()) if newest is not None else None
        return newest, [json.loads(line) for line in content.splitlines()]

    def _remove_lost(self, runs: StudyRuns, seen: set[str]) -> None:
        """Deletes the runs whose trial has no record any more; the teacher's only if it is known where that lies."""
        lost = runs.ids("trial") | (runs.ids("teacher") if self._what.teacher is not None else set())
        for trial in lost - seen:
            runs.remove(trial)

    def _widen(self, image: Image) -> None:
        """Notes which accuracies the charts should show: those of the second half of each training."""
        late = image.groups[image.epochs // 2 : image.epochs]
        values = [point.value for group in late for point in group if point.key in ("val/top1", "test/top1")]
        if values:
            low, high = self._accuracy or (values[0], values[0])
            self._accuracy = (min(low, *values), max(high, *values))


def _first_line(error: Exception) -> str:
    text = str(error).strip()
    return text.splitlines()[0] if text else type(error).__name__
