"""Hands out the trials that are due, and takes back what became of them."""

import dataclasses
from collections.abc import Callable

from ctkd_study.plan import StudyState, due
from ctkd_study.spec import PlannedTrial
from trainables import record
from trainables.config import RunOptions, TrialConfig
from trainables.record import Checkpoint, Status
from trainables.trial import describe


@dataclasses.dataclass(frozen=True)
class PendingTrial:
    """A trial that is due, ready for a runner."""

    trial: PlannedTrial
    config: TrialConfig
    """With its ``run`` filled in."""
    checkpoint: Checkpoint | None
    """Where it goes on."""
    first_index: int
    """The number of its first checkpoint in this launch."""

    @property
    def id(self) -> str:
        return self.trial.id


class TrialQueue:
    """What a runner pulls from: ``due(study, records)``, less what it has been given already.

    The rule is asked again when a trial has ended and nothing is waiting, since the record may make others due. While
    trials wait it is not: it takes 10 ms at 5,000 trials, and would be asked as often.

    Args:
        state: the study; its records are read again as trials end.
        uid: the study's identity.
        attempt: number of the launch.
    """

    def __init__(self, state: StudyState, uid: str, attempt: int) -> None:
        self.state, self.uid, self.attempt = state, uid, attempt
        self.handed_out: dict[str, PendingTrial] = {}
        """Every trial that was given to a runner in this launch, by id."""
        self.running: set[str] = set()
        """Those of them that have not been taken back, by id."""
        self._due: dict[str, PlannedTrial] = {}
        self._ask()

    @property
    def waiting(self) -> list[PendingTrial]:
        """The trials that are due and not handed out, in order, ready for a runner."""
        return [self._pending(trial) for trial in self._due.values()]

    @property
    def exhausted(self) -> bool:
        """Whether nothing is due, and nothing that could make something due is running."""
        return not self._due and not self.running

    def pull(self, wanted: Callable[[PlannedTrial], bool] = lambda trial: True) -> PendingTrial | None:
        """The next trial to run, of those that are wanted; None where there is none now."""
        trial = next((trial for trial in self._due.values() if wanted(trial)), None)
        if trial is None:
            return None
        del self._due[trial.id]
        self.running.add(trial.id)
        pending = self.handed_out[trial.id] = self._pending(trial)
        return pending

    def ended(self, trial_id: str) -> Status | None:
        """Take back a trial that a runner is done with; returns what its record says."""
        manifest = self.state.read_trial(trial_id)
        self.running.discard(trial_id)
        if not self._due:
            self._ask()
        return manifest.status if manifest is not None else None

    def crashed(self, trial_id: str, reason: str) -> None:
        """Take back a trial whose worker crashed beyond its retries; writes the record that the worker could not."""
        pending, folder = self.handed_out[trial_id], self.state.folder.trial(trial_id)
        found = record.scan(folder)
        rows, base = (found.newest.rows(), found.newest.manifest) if found.newest is not None else ([], None)
        starts = base.starts if base is not None else []
        manifest = describe(pending.config, rows, None, status="failed", reason=reason, starts=starts)
        if base is not None:
            manifest = manifest.model_copy(update={"summary": base.summary, "machine": base.machine})
        record.write_into(folder, max(found.next_index, pending.first_index), manifest, rows, {}, None, None)
        self.ended(trial_id)

    def stop(self) -> None:
        """Read what the trials recorded that were stopped before their end."""
        for trial_id in self.running:
            self.state.read_trial(trial_id)

    def _ask(self) -> None:
        trials = due(self.state.spec, self.state.manifests)
        self._due = {trial.id: trial for trial in trials if trial.id not in self.handed_out}

    def _pending(self, trial: PlannedTrial) -> PendingTrial:
        spec, scan = self.state.spec, self.state.scan_of(trial.id)
        run = RunOptions(
            study=spec.name,
            uid=self.uid,
            trial=trial.id,
            arm=trial.arm,
            setting=trial.setting.label,
            attempt=self.attempt,
            teachers=self.state.storage.location,
            cores=spec.resources.cpu,
            checkpoint=spec.checkpoint,
        )
        index = max(scan.next_index, self.attempt * record.CHECKPOINTS_PER_ATTEMPT)
        return PendingTrial(trial, trial.config.model_copy(update={"run": run}), scan.newest, index)
