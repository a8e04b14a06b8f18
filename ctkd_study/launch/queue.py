"""Hands out the trials that are due, and takes back what became of them."""

import dataclasses
import threading
import time
from collections.abc import Callable, Sequence

from ctkd_study.launch.retries import RetryPolicy
from ctkd_study.plan import StudyState, due
from ctkd_study.spec import PlannedTrial
from trainables.config import RunOptions, TrialConfig
from trainables.record import Status


@dataclasses.dataclass(frozen=True)
class PendingTrial:
    """A trial that is due, ready for a runner."""

    trial: PlannedTrial
    config: TrialConfig
    """With its ``run`` filled in."""
    tries: int = 1
    """How many times it was handed out in this launch, this time included."""

    @property
    def id(self) -> str:
        return self.trial.id


@dataclasses.dataclass
class _Interruptions:
    """Of one trial, since it last got further."""

    count: int = 0
    epoch: int = -1
    """Up to which it was saved at the last one."""
    until: float | None = None
    """When it is tried again; None: not in this launch."""
    reason: str = ""


class TrialQueue:
    """What a runner pulls from: ``due(study, records)``, less what it has been given already.

    The rule is asked again when a trial has ended and nothing is waiting, since the record may make others due. While
    trials wait it is not: it takes 10 ms at 5,000 trials, and would be asked as often. A trial that was interrupted is
    still due; it is handed out again after a pause.

    Args:
        state: the study; its records are read again as trials end.
        uid: the study's identity.
        attempt: number of the launch.
        policy: when interrupted trials are tried again.
        now: seconds on a clock that only grows.
        retry: whether failed trials run again from their last checkpoint.
        on_due: told what is due each time that the rule is asked.
    """

    def __init__(
        self,
        state: StudyState,
        uid: str,
        attempt: int,
        policy: RetryPolicy | None = None,
        now: Callable[[], float] = time.monotonic,
        retry: bool = False,
        on_due: Callable[[Sequence[PlannedTrial]], None] = lambda trials: None,
    ) -> None:
        self.state, self.uid, self.attempt, self._retry = state, uid, attempt, retry
        self.policy, self._now, self._on_due = policy or RetryPolicy(), now, on_due
        self.handed_out: dict[str, PendingTrial] = {}
        """Every trial that was given to a runner in this launch, by id."""
        self.running: set[str] = set()
        """Those of them that have not been taken back, by id."""
        self.stopped = threading.Event()
        """Set to end the launch: nothing more is handed out."""
        self._due: dict[str, PlannedTrial] = {}
        self._interrupted: dict[str, _Interruptions] = {}
        self._ask()

    @property
    def waiting(self) -> list[PendingTrial]:
        """The trials that are still to be handed out, ready for a runner; first those that are to be tried again."""
        again = [self._trial(trial_id) for trial_id in self._resting()]
        return [self._pending(trial) for trial in (*again, *self._due.values())]

    @property
    def exhausted(self) -> bool:
        """Whether nothing is due, nothing will be tried again, and nothing runs that could make something due."""
        return self.stopped.is_set() or not (self._due or self.running or self._resting())

    @property
    def unfinished(self) -> dict[str, str]:
        """Why trials that were interrupted are not finished, by trial id."""
        return {trial_id: each.reason for trial_id, each in self._interrupted.items() if each.count}

    def pull(self, wanted: Callable[[PlannedTrial], bool] = lambda trial: True) -> PendingTrial | None:
        """The next trial to run, of those that are wanted; None where there is none now."""
        if self.stopped.is_set():
            return None
        rested = (t for trial_id in self._resting() if self._rested(trial_id) and wanted(t := self._trial(trial_id)))
        trial = next(rested, None) or next((trial for trial in self._due.values() if wanted(trial)), None)
        if trial is None:
            return None
        self._due.pop(trial.id, None)
        self.running.add(trial.id)
        pending = self.handed_out[trial.id] = self._pending(trial)
        return pending

    def seconds_to_wait(self) -> float | None:
        """Until the next interrupted trial may be tried again; None if none will be."""
        times = [self._interrupted[trial_id].until or 0.0 for trial_id in self._resting()]
        return max(min(times) - self._now(), 0.0) if times else None

    def ended(self, trial_id: str, interruption: str = "") -> Status | None:
        """Take back a trial that a runner is done with; returns what its record says.

        Args:
            trial_id: its id.
            interruption: why it ended, if that was a fault that may pass; it is tried again after a pause.
        """
        self.running.discard(trial_id)
        try:
            manifest = self.state.read_trial(trial_id)
        except OSError as fault:
            manifest, interruption = None, interruption or f"its record cannot be read: {fault}"
        status, epoch = (manifest.status, manifest.epoch) if manifest is not None else ("running", 0)
        if status != "running":
            self._interrupted.pop(trial_id, None)
        elif not self.stopped.is_set():
            interruption = interruption or "it ended without a record of its end"
            seen = self._interrupted.setdefault(trial_id, _Interruptions())
            seen.count = seen.count + 1 if epoch <= seen.epoch else 1
            seen.epoch, seen.reason = max(epoch, seen.epoch), interruption
            pause = self.policy.pause(seen.count)
            seen.until = self._now() + pause if pause is not None else None
        if not self._due:
            self._ask()
        return manifest.status if manifest is not None else None

    def stop(self) -> None:
        """Hand out nothing more, and read what the trials recorded that were stopped before their end."""
        self.stopped.set()
        for trial_id in self.running:
            self.state.read_trial(trial_id)

    def _resting(self) -> list[str]:
        """The trials that were interrupted and will be tried again."""
        return [key for key, each in self._interrupted.items() if each.until is not None and key not in self.running]

    def _rested(self, trial_id: str) -> bool:
        return (self._interrupted[trial_id].until or 0.0) <= self._now()

    def _trial(self, trial_id: str) -> PlannedTrial:
        return self.handed_out[trial_id].trial

    def _ask(self) -> None:
        trials = due(self.state.spec, self.state.manifests)
        self._due = {trial.id: trial for trial in trials if trial.id not in self.handed_out}
        self._on_due(trials)

    def _pending(self, trial: PlannedTrial) -> PendingTrial:
        spec, inputs = self.state.spec, self.state.inputs(trial.group)
        run = RunOptions(
            study=spec.name,
            uid=self.uid,
            trial=trial.id,
            arm=trial.arm,
            setting=trial.setting.label,
            suggestion=trial.setting.suggestion,
            scheduler=dict(trial.setting.scheduler) if trial.setting.scheduler is not None else None,
            search=dict(trial.setting.search) if trial.setting.search is not None else None,
            attempt=self.attempt,
            folder=self.state.folder.trial(trial.id).location,
            retry=self._retry,
            teachers=self.state.storage.location,
            data=inputs.data,
            weights=inputs.teacher,
            cores=spec.resources.cpu,
            checkpoint=spec.checkpoint,
        )
        before = self.handed_out.get(trial.id)
        return PendingTrial(
            trial, trial.config.model_copy(update={"run": run}), before.tries + 1 if before is not None else 1
        )
