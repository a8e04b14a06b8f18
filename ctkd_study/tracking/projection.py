"""The trials' records -> MLflow, one pass after the other.

The records are the truth, and only rows that stand in a complete checkpoint are sent. Sending is idempotent: whoever
was killed, or had no MLflow to talk to, is made up for by the next pass.
"""

import contextlib
import dataclasses
import hashlib
import json
import logging
import shlex
import time
from collections.abc import Iterator
from pathlib import Path

from ctkd_study.tracking.client import default_uri, first_line, is_outage, locked
from ctkd_study.tracking.snapshot import Image, Role, image_of
from ctkd_study.tracking.store import StudyRuns
from ctkd_study.tracking.view import Span
from trainables.record import HISTORY, Checkpoint, Row, scan
from trainables.storage import Storage

log = logging.getLogger(__name__)

#: What ``Tracker.changed`` is told for the teacher.
TEACHER = "teacher"

_LOCK = ".tracking.lock"
_LOCK_PATIENCE = 120.0


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
    projector = Projector(projection, thorough=True)
    projector.attempt(None)
    return projector.outcome()


class Projector:
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
            self._outage = first_line(error)
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
                self._failures[name] = f"its record cannot be read: {first_line(error)}"
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
                self._failures[name] = first_line(error)
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
