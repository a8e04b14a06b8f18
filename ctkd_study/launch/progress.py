"""Where a launch stands: counted by the runner, shown to the user, stored with the lease's heartbeat."""

import dataclasses
import math
import os
import threading
import time
from collections.abc import Iterable, Mapping
from types import MappingProxyType

from ctkd_study.analysis import Decisions
from ctkd_study.spec import PlannedTrial
from trainables.record import Manifest, Row, Status

_STALL_EPOCHS, _STALL_SECONDS, _QUIET_SECONDS, _SETUP_SECONDS = 10, 600.0, 30.0, 20.0
_NO_RECORDS: Mapping[str, Manifest] = MappingProxyType({})
_PACE_SECONDS = 3.0  # short epochs are reported in bursts; a pace seen for less would be a burst's


@dataclasses.dataclass
class ArmProgress:
    """How many trials of an arm are in which state."""

    waiting: int = 0
    running: int = 0
    finished: int = 0
    stopped: int = 0
    failed: int = 0


class LaunchProgress:
    """Counts what happens in a launch. Its methods may be called from any thread, and take microseconds.

    Args:
        trials: those that have a record or are due; more may be ``added``.
        before: the manifests of those that have a record.
    """

    def __init__(self, trials: Iterable[PlannedTrial], before: Mapping[str, Manifest]) -> None:
        self._lock = threading.Lock()
        self.began = time.monotonic()
        self._trials: dict[str, PlannedTrial] = {}
        self._status: dict[str, Status | None] = {}
        self._epochs: dict[str, int] = {}
        self.add(trials, before)
        self.decisions: Decisions | None = None
        """The looks so far, in a study that adds seeds until it is decided."""
        self.saves = 0
        """Checkpoints written in this launch."""
        self.device_seconds = 0.0
        """Headline cost of this launch."""
        self.busy_seconds = 0.0
        """Device-seconds of all work of this launch's trials: training, evaluation, and the teacher's share."""
        self._unsaved: dict[str, float] = {}
        self._troubles: dict[str, str] = {}
        self._heard: dict[str, float] = {}
        self._helpers: dict[str, int] = {}
        self._longest_of_helpers = 0.0
        self.wasted: dict[str, float] = {}
        """Device-seconds lost to faults in this launch, by trial id."""
        self.devices = float(len(os.sched_getaffinity(0)))
        """CPU cores, or GPUs, that the launch can use; a runner on a cluster knows better than this default."""
        self._note = ""
        self._since: float | None = None
        self._trained_since, self._longest = 0, 0.0

    @property
    def held_device_seconds(self) -> float:
        """Wall time so far, times the devices that the launch can use."""
        return (time.monotonic() - self.began) * self.devices

    def add(self, trials: Iterable[PlannedTrial], before: Mapping[str, Manifest] = _NO_RECORDS) -> None:
        """Trials have become due; those that are counted already stay as they are."""
        with self._lock:
            for trial in trials:
                if trial.id not in self._trials:
                    manifest = before.get(trial.id)
                    self._trials[trial.id] = trial
                    self._status[trial.id] = manifest.status if manifest and manifest.status != "running" else None
                    self._epochs[trial.id] = manifest.epoch if manifest else 0

    @property
    def note(self) -> str:
        """What trials wait for, e.g. the teacher's training; empty if for nothing."""
        return self._note

    @note.setter
    def note(self, text: str) -> None:
        with self._lock:
            self._note, self._since = text, None

    def row(self, trial_id: str, row: Row) -> None:
        """An epoch is done."""
        share_seconds = float(row.get("device_seconds") or 0.0)
        seconds = float(row.get("epoch_seconds") or 0.0)
        share = share_seconds / seconds if seconds else 1.0
        others = float(row.get("eval_seconds") or 0.0) + float(row.get("teacher_seconds") or 0.0)
        with self._lock:
            self._status[trial_id] = "running"
            self._heard[trial_id] = time.monotonic()
            self._epochs[trial_id] = int(row.get("epoch") or 0)
            self.device_seconds += share_seconds
            self.busy_seconds += share_seconds + others * share
            self._unsaved[trial_id] = self._unsaved.get(trial_id, 0.0) + share_seconds
            self._trained_since += 1
            self._longest = max(self._longest, seconds + others)
            if self._since is None and not self._note:
                self._since, self._trained_since = time.monotonic(), 0

    def begun(self, trial_id: str) -> None:
        """A trial has a worker, which may have to read data before it reports anything."""
        with self._lock:
            self._heard[trial_id] = time.monotonic() + _SETUP_SECONDS

    def helper(self, job: str, signs: int = -1, longest: float = 0.0) -> None:
        """A helper trial, which is none of the study's, runs.

        Args:
            job: its id.
            signs: a number that grows as it gets on; -1 when it has just been given a worker.
            longest: seconds of its longest epoch so far; 0 if there was none.
        """
        with self._lock:
            if signs < 0 or signs != self._helpers.get(job):
                self._heard[job] = time.monotonic() + (_SETUP_SECONDS if signs < 0 else 0.0)
            self._helpers[job] = signs
            self._longest_of_helpers = max(self._longest_of_helpers, longest)

    def helper_ended(self, job: str) -> None:
        with self._lock:
            self._helpers.pop(job, None)
            self._heard.pop(job, None)

    @property
    def helpers(self) -> set[str]:
        """The ids of the helper trials that run."""
        with self._lock:
            return set(self._helpers)

    def silent(self, seconds: float | None) -> dict[str, float]:
        """Return since how many seconds trials have reported nothing, by id, where that is too long.

        Args:
            seconds: what is too long; None: ten of the longest epochs so far, and at least ten minutes. The epochs of
                the teacher count for helper trials, those of students for students.
        """
        with self._lock:
            now = time.monotonic()
            limit, of_helper = (seconds or _stall(each) for each in (self._longest, self._longest_of_helpers))
            limits = {key: of_helper if key in self._helpers else limit for key in self._heard}
            return {key: now - heard for key, heard in self._heard.items() if now - heard > limits[key]}

    def saved(self, trial_id: str) -> None:
        """A checkpoint is complete."""
        with self._lock:
            self.saves += 1
            self._unsaved.pop(trial_id, None)
            self._troubles.pop(trial_id, None)

    def interrupted(self, trial_id: str, reason: str) -> None:
        """A trial met a fault that may pass, and goes back to its last checkpoint."""
        with self._lock:
            if lost := self._unsaved.pop(trial_id, 0.0):
                self.wasted[trial_id] = self.wasted.get(trial_id, 0.0) + lost
            self._status[trial_id] = None
            self._heard.pop(trial_id, None)
            self._troubles[trial_id] = reason

    def trouble(self, trial_id: str, reason: str) -> None:
        """A trial goes on, but something is wrong; an empty reason says that it is over."""
        with self._lock:
            if trial_id in self._heard:
                self._heard[trial_id] = time.monotonic()
            if reason:
                self._troubles[trial_id] = reason
            else:
                self._troubles.pop(trial_id, None)

    def troubles(self) -> dict[str, str]:
        """What is wrong now with trials that are not finished, by trial id."""
        slow = self.silent(max(_QUIET_SECONDS, _STALL_EPOCHS * self._longest))
        with self._lock:
            return {key: f"nothing heard for {seconds:.0f} s" for key, seconds in slow.items()} | self._troubles

    def ended(self, trial_id: str, status: Status) -> None:
        with self._lock:
            self._status[trial_id] = status
            self._heard.pop(trial_id, None)
            self._unsaved.pop(trial_id, None)
            self._troubles.pop(trial_id, None)

    def unsaved(self) -> dict[str, float]:
        """Device-seconds that would be lost if everything died now, by trial id."""
        with self._lock:
            return dict(self._unsaved)

    def arms(self) -> dict[str, ArmProgress]:
        """States by arm, in the order of the study."""
        arms: dict[str, ArmProgress] = {}
        with self._lock:
            for trial_id, trial in self._trials.items():
                arm = arms.setdefault(trial.arm, ArmProgress())
                state = self._status[trial_id] or "waiting"
                setattr(arm, state, getattr(arm, state) + 1)
        return arms

    def seconds_left(self) -> float | None:
        """A guess from the pace of epochs since nothing but trials runs; None before there is one.

        While the teacher is made ready there is none: some of the devices are its, and how long for is not known.
        """
        with self._lock:
            if self._note or self._since is None:
                return None
            seconds = time.monotonic() - self._since
            # Trials that run beside the first one to report soon do, too: that is no pace before all report again.
            if self._trained_since == 0 or seconds < max(_PACE_SECONDS, 2 * self._longest):
                return None
            going_on = [key for key, status in self._status.items() if status not in ("finished", "stopped", "failed")]
            left = sum(self._trials[key].setting.config.recipe.epochs - self._epochs[key] for key in going_on)
            return left * seconds / self._trained_since


def _stall(longest: float) -> float:
    """Return the seconds of silence that are too long, given the longest epoch; 0: none has ended."""
    return max(_STALL_EPOCHS * longest, _STALL_SECONDS) if longest else math.inf
