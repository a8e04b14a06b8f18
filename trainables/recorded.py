"""Runs one trial with its record, from the newest whole checkpoint to its end.

The Ray Trainable, the inline runner and the teacher's training share it. A fault of the storage does not stop a trial
that can train on: the save is tried again, at the end until it succeeds or ``PATIENCE_SECONDS`` have passed.
"""

import dataclasses
import logging
import time
from collections.abc import Callable
from typing import Literal

from trainables import faults, record
from trainables.config import TrialConfig
from trainables.faults import Interrupted
from trainables.record import Contents, Manifest, Row, Run, Scan
from trainables.storage import Storage
from trainables.trial import MaterialSource, Trial, describe

log = logging.getLogger(__name__)

PATIENCE_SECONDS = 600.0
"""For how long the save at the end of a trial is tried again."""
_FIRST_PAUSE, _LONGEST_PAUSE = 1.0, 30.0

#: Running, saving (trained to the end, but not saved yet), finished, stopped by a scheduler, failed, or ended by a
#: fault that may pass.
StepStatus = Literal["running", "saving", "finished", "stopped", "failed", "interrupted"]


@dataclasses.dataclass(frozen=True)
class Step:
    """What a step did."""

    status: StepStatus
    row: Row | None = None
    """Of the epoch, if one was trained."""
    reason: str = ""
    """Why it failed, was interrupted, or is not saved."""
    saved: bool = False
    """Whether a checkpoint was written."""
    ends_process: bool = False
    """Whether no other trial should run in this process."""

    @property
    def ended(self) -> bool:
        return self.status not in ("running", "saving")


class RecordedTrial:
    """A trial that trains and records; it is set up in its first step, so that a fault in that is like any other.

    Args:
        config: the trial; its launch is ``run.attempt``, or the newest in the record where that is 0.
        materials: loads data and teacher.
        folder: the trial's folder.
    """

    def __init__(self, config: TrialConfig, materials: MaterialSource, folder: Storage) -> None:
        self._config, self._materials, self._folder = config, materials, folder
        self._run: Run | None = None
        self._trial: Trial | None = None
        self._save_from = 0.0
        """When a save that failed may be tried again."""
        self._pause = _FIRST_PAUSE
        self._failing_since: float | None = None
        self._stop_reason: str | None = None

    def stop(self, reason: str) -> None:
        """End the trial: its next step records it as stopped, unless it has ended."""
        self._stop_reason = reason

    def step(self) -> Step:
        """Train one epoch, and save where the interval has passed. Raises nothing but what ends a process."""
        try:
            return self._step()
        except Exception as error:  # a plug-in may raise anything
            log.info("trial %s met a fault", self._config.run.trial, exc_info=True)
            return self._faulted(error)

    def _step(self) -> Step:
        if self._run is None:
            found = self._scan()
            if found.newest is not None and found.newest.manifest.status != "running":
                return Step(found.newest.manifest.status, reason=found.newest.manifest.reason or "")
            self._run = Run.begin(self._folder, found, self._config.run.attempt or None)
        if self._trial is None:
            self._trial = self._begun(self._run)
        trial, row = self._trial, None
        if self._stop_reason is not None:
            trial.stop(self._stop_reason)
        if trial.status == "running":
            row = trial.step()
        fault = self._save(trial, self._run) if trial.wants_checkpoint() else None
        if fault is not None and trial.status != "running":
            return Step("saving", row, fault)
        return Step(trial.status, row, trial.reason or fault or "", saved=trial.is_saved)

    def _scan(self) -> Scan:
        run = self._config.run

        def counts(manifest: Manifest) -> bool:
            ours = not run.uid or manifest.uid == run.uid
            return ours and not (run.retry and manifest.status == "failed" and manifest.attempt < run.attempt)

        return record.scan(self._folder, wanted=counts)

    def _begun(self, run: Run) -> Trial:
        before = run.origin.manifest.starts if run.origin is not None else []
        trial = Trial(self._config, self._materials, [*before, run.start])
        if run.origin is not None:
            trial.restore(run.origin)
        return trial

    def _save(self, trial: Trial, run: Run) -> str | None:
        """Save, unless that failed a moment ago; returns what keeps it from being saved.

        Raises:
            OSError: the trial has ended, and saving it has failed for too long.
        """
        if trial.status != "running":
            time.sleep(max(self._save_from - time.monotonic(), 0.0))
        elif time.monotonic() < self._save_from:
            return "the storage does not take the checkpoint"
        try:
            run.save(trial.manifest(), trial.contents())
        except OSError as fault:
            now = time.monotonic()
            self._failing_since = self._failing_since or now
            if trial.status != "running" and now - self._failing_since > PATIENCE_SECONDS:
                raise
            log.warning("trial %s is not saved, and tries again: %s", self._config.run.trial, fault)
            self._save_from, self._pause = now + self._pause, min(2 * self._pause, _LONGEST_PAUSE)
            return faults.words(fault)
        self._save_from, self._pause, self._failing_since = 0.0, _FIRST_PAUSE, None
        trial.saved()
        return None

    def _faulted(self, error: Exception) -> Step:
        """Say whether a fault may pass; one of the program that has come twice is recorded."""
        reason = faults.described(error)
        if faults.kind(error) == "program" and self._run is not None:
            try:
                if self._run.note_fault(self._epoch, faults.words(error)):
                    self._fail(self._run, error)
                    return Step("failed", reason=reason, saved=True)
            except Exception as fault:  # of the storage, or of a part of the trial that is no longer sound
                log.warning("the fault of trial %s is not recorded: %s", self._config.run.trial, fault)
        return Step("interrupted", reason=reason, ends_process=faults.ends_process(error))

    @property
    def _epoch(self) -> int:
        """The epoch that is being trained."""
        if self._trial is not None:
            return len(self._trial.rows) + 1
        return self._run.start.epoch + 1 if self._run is not None else 0

    def _fail(self, run: Run, error: Exception) -> None:
        reason, traceback = faults.described(error), faults.full(error)
        if self._trial is not None:
            self._trial.reason = reason
            manifest, contents = self._trial.manifest(), self._trial.contents()
        else:
            rows = run.origin.rows() if run.origin is not None else []
            starts = [*(run.origin.manifest.starts if run.origin is not None else ()), run.start]
            manifest = describe(self._config, rows, None, status="failed", reason=reason, starts=starts)
            if run.origin is not None:
                # Nothing was trained since: what has changed since is not part of the record.
                kept = (
                    "fingerprint",
                    "config",
                    "data",
                    "teacher",
                    "summary",
                    "machine",
                    "remarks",
                    "test_examples",
                    "chance",
                )
                manifest = manifest.model_copy(update={name: getattr(run.origin.manifest, name) for name in kept})
            contents = Contents(rows, {})
        run.save(manifest.model_copy(update={"traceback": traceback}), contents)


def run_inline(
    config: TrialConfig, materials: MaterialSource, folder: Storage, on_row: Callable[[Row], None] | None = None
) -> Manifest:
    """Run a trial in this process, without Ray, from the newest whole checkpoint in its folder to its end.

    Args:
        config: the trial.
        materials: loads data and teacher.
        folder: the trial's folder.
        on_row: called with the row of every epoch.

    Returns:
        The last manifest.

    Raises:
        Interrupted: a fault ended it that may pass; calling again goes on.
    """
    trial = RecordedTrial(config, materials, folder)
    while True:
        step = trial.step()
        if step.row is not None and on_row is not None:
            on_row(step.row)
        if step.status == "interrupted":
            raise Interrupted(step.reason)
        if step.ended:
            newest = record.scan(folder, check_hashes=False).newest
            if newest is None:
                raise Interrupted(f"the record in {folder.location} has gone")
            return newest.manifest
