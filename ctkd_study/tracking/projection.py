"""Passes over a study's records that bring MLflow up to date.

The records are the truth, and only rows of complete checkpoints are sent. Passes are idempotent: the next one sends
whatever a killed process or an outage has left out.
"""

import contextlib
import dataclasses
import hashlib
import json
import logging
import shlex
import traceback
from collections.abc import Callable, Iterator, Sequence

import filelock

from ctkd_study.safe_text import visible, without_passwords
from ctkd_study.tracking.client import default_uri, first_line, is_outage
from ctkd_study.tracking.snapshot import Role, snapshot_of
from ctkd_study.tracking.store import StudyRuns, Tally
from trainables.record import HISTORY, Manifest, Row, scan
from trainables.storage import Storage

log = logging.getLogger(__name__)

_LOCK, _LOCK_TIMEOUT = ".tracking.lock", 120.0


@dataclasses.dataclass(frozen=True)
class Projection:
    """What to show, and where."""

    uri: str = dataclasses.field(repr=False)
    """MLflow's tracking URI, which may hold a password: ``sqlite:///``, ``postgresql://``, ``http://``, ``https://``."""
    study: str
    uid: str
    """The study's identity, by which its experiment and runs are found in MLflow."""
    trials: Storage
    """The study's folder, with one folder per trial."""
    teachers: Callable[[], Sequence[Storage | None]] = tuple
    """Finds the folders of the trained teachers' records; None for one that is not known yet."""
    note: str = ""
    """Markdown for the head of the experiment's page."""

    @property
    def sync_command(self) -> str:
        """The `sync` command that brings MLflow up to date with the records; without the URI's password."""
        place = self.trials.location.rpartition("/")[0]
        words = ["ctkd-study", "sync", self.study, "--storage", place]
        if self.uri != default_uri(Storage.at(place)):
            words += ["--tracking-uri", without_passwords(self.uri)]
        return shlex.join(words)


@dataclasses.dataclass(kw_only=True)
class TrackingOutcome(Tally):
    """What was sent to MLflow, and whether it is up to date."""

    complete: bool
    """Whether MLflow holds exactly what the records hold; if not, ``sync_command`` makes it so."""
    runs: int = 0
    """Runs of the study, including its teachers'."""
    failures: tuple[str, ...] = ()
    sync_command: str = "ctkd-study sync"

    def __str__(self) -> str:
        if not self.complete:
            reason = self.failures[0] if self.failures else "it did not answer in time"
            more = f" (and {len(self.failures) - 1} more)" if len(self.failures) > 1 else ""
            found = f"MLflow is behind the records: {reason}{more}. `{self.sync_command}` brings it up to date."
            return visible(found)
        counts = {"rewritten": self.rewritten, "removed": self.removed}
        changes = "".join(f", {count} {change}" for change, count in counts.items() if count)
        return f"MLflow: {self.runs} runs, {self.rows} epochs sent{changes}."


def sync(projection: Projection) -> TrackingOutcome:
    """Make MLflow hold exactly what the records hold, comparing every value; also while the study runs."""
    projector = Projector(projection, thorough=True)
    projector.attempt(None)
    return projector.outcome()


class Projector:
    """Passes over the records, one at a time; ``outcome`` may be called from any thread.

    ``thorough`` passes check every file of the records and every value in MLflow.
    """

    def __init__(self, projection: Projection, thorough: bool) -> None:
        self._projection, self._thorough = projection, thorough
        self._runs: StudyRuns | None = None
        self._outage: str | None = "MLflow was never reached"
        self._failures: dict[str, str] = {}
        """What failed, by trial; a trial's own next success clears it."""

    def attempt(self, trials: set[str] | None) -> bool:
        """Make one pass over some trials, or over all trials and teachers; return whether all of it worked.

        It never raises: no trouble with MLflow may reach the study.
        """
        try:
            with self._lock():
                self._pass(trials)
        except Exception as error:
            self._outage = first_line(error)
            log.debug("a pass failed: %s", without_passwords("".join(traceback.format_exception(error))))
            return False
        self._outage = None
        return not self._failures

    def outcome(self, stopped: bool = True) -> TrackingOutcome:
        """Sum up the passes so far; while one is still under way, nothing is complete and failures are not final."""
        failures = [] if self._outage is None else [self._outage]
        failures += [f"{name}: {text}" for name, text in self._failures.items()]
        return TrackingOutcome(
            **(vars(self._runs.tally) if self._runs is not None else {}),
            complete=stopped and not failures,
            runs=len(self._runs) if self._runs is not None else 0,
            failures=tuple(failures) if stopped else (),
            sync_command=self._projection.sync_command,
        )

    def _lock(self) -> contextlib.AbstractContextManager[object]:
        # An object store has no locks; there, duplicate runs are found and deleted afterwards.
        trials = self._projection.trials
        return filelock.FileLock(trials.path(_LOCK), _LOCK_TIMEOUT) if trials.is_local else contextlib.nullcontext()

    def _pass(self, trials: set[str] | None) -> None:
        what = self._projection
        if self._runs is None:
            self._runs = StudyRuns(what.uri, what.study, what.uid, what.note, exclusive=what.trials.is_local)
        runs = self._runs
        if trials is None:
            runs.refresh()
            self._failures = {}
        else:
            runs.mark_stale()
            self._failures = {name: text for name, text in self._failures.items() if name not in trials}
        homes = what.teachers()
        seen: set[str] = set()
        accuracies: list[float] = []
        for name, folder, role in self._folders(trials, homes):
            # One trial's trouble, with its record or its run, does not keep the others from being sent.
            try:
                found = self._read(folder)
                snapshot = snapshot_of(*found, what.study, what.uid, role) if found else None
            except Exception as error:
                self._failures[name] = f"its record cannot be read: {first_line(error)}"
                continue
            if snapshot is None:
                continue
            seen.add(snapshot.trial)
            accuracies += snapshot.late_accuracies
            try:
                runs.write(snapshot, self._thorough)
            except Exception as error:
                if is_outage(error):
                    raise
                self._failures[name] = first_line(error)
        if trials is None:
            if not self._failures:  # a record that cannot be read is not a lost one
                # Runs of teachers are deleted only if all their folders are known.
                listed = runs.trials("trial") | (runs.trials("teacher") if homes and None not in homes else set())
                for trial in listed - seen:
                    runs.remove(trial)
            runs.decorate((min(accuracies), max(accuracies)) if accuracies else None)

    def _folders(self, trials: set[str] | None, homes: Sequence[Storage | None]) -> Iterator[tuple[str, Storage, Role]]:
        what = self._projection
        if trials is None:
            trials = set(what.trials.folders())
            for home in homes:
                if home is not None:
                    yield f"teacher {home.name}", home, "teacher"
        for name in sorted(trials):
            yield name, what.trials.within(name), "trial"

    def _read(self, folder: Storage) -> tuple[Manifest, list[Row]] | None:
        try:
            return _read_newest(folder, self._thorough)
        except OSError:
            # The trial has saved again and deleted this checkpoint, or it is damaged: look closely.
            return _read_newest(folder, check_hashes=True)


def _read_newest(folder: Storage, check_hashes: bool) -> tuple[Manifest, list[Row]] | None:
    """Return the newest complete checkpoint's manifest and rows; only ``check_hashes`` reads its weights.

    Raises:
        OSError: the history is gone, or does not match the manifest.
    """
    newest = scan(folder, check_hashes, logging.DEBUG).newest
    if newest is None:
        return None
    content = newest.storage.read(f"{newest.name}/{HISTORY}")
    if hashlib.sha256(content).hexdigest() != newest.manifest.files[HISTORY].sha256:
        raise OSError(f"{newest.name}/{HISTORY} has changed")
    return newest.manifest, [json.loads(line) for line in content.splitlines()]
