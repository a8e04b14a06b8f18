"""Plan -> records: runs what is left of a study, on Ray or in this process.

A study is resumed by running it again: the folders are scanned, finished trials are kept, unfinished ones go on from
their newest complete checkpoint, and one Tuner gets all that is left, all arms at once.
"""

import contextlib
import dataclasses
import logging
import time
from collections.abc import Callable, Sequence
from typing import Any, Protocol

from rich.console import Console

from ctkd_study.launch.progress import Progress
from ctkd_study.plan import Plan, PlannedTrial
from ctkd_study.records import Lease, StudyFolder
from ctkd_study.spec import GpuShare, StudySpec
from trainables import record
from trainables.config import RunOptions, TrialConfig
from trainables.record import Checkpoint, Manifest
from trainables.storage import Storage
from trainables.trial import describe

log = logging.getLogger(__name__)


@dataclasses.dataclass(frozen=True)
class Todo:
    """A trial that is not finished."""

    trial: PlannedTrial
    config: TrialConfig
    """With its ``run`` filled in."""
    checkpoint: Checkpoint | None
    first_index: int

    @property
    def needs_teacher(self) -> bool:
        return self.config.uses_teacher


@dataclasses.dataclass(frozen=True)
class Context:
    """What a runner needs besides the trials."""

    folder: StudyFolder
    progress: Progress
    saved: Callable[[str], None]
    """To be called with a trial's id when a checkpoint of it is complete; takes microseconds."""
    attempt: int
    retries: int
    concurrency: int | None
    cpu: float
    gpu: GpuShare


class Runner(Protocol):
    """Runs trials to their end and returns the reasons of those that crashed beyond their retries, by id."""

    def __call__(self, todo: Sequence[Todo], context: Context) -> dict[str, str]: ...


@dataclasses.dataclass(frozen=True)
class Outcome:
    """How a launch ended."""

    folder: StudyFolder
    plan: Plan
    manifests: dict[str, Manifest]
    uid: str
    attempt: int
    trained: int
    """Trials that were run, or run on, in this launch."""
    wall_seconds: float
    busy_seconds: float
    """Device-seconds of all work of the trials in this launch."""
    cores: float
    """CPU cores (or, for trials on GPUs, GPUs) that the launch could use."""
    damaged: dict[str, tuple[str, ...]]
    """Checkpoints that were passed over, by trial id."""

    @property
    def failed(self) -> dict[str, str]:
        """Reasons by trial id."""
        return {key: m.reason or "no reason given" for key, m in self.manifests.items() if m.status == "failed"}

    @property
    def unfinished(self) -> list[str]:
        """Trials without a final record: the launch was stopped."""
        settled = {key for key, manifest in self.manifests.items() if manifest.status != "running"}
        return [trial.id for trial in self.plan.trials if trial.id not in settled]


def launch(
    plan: Plan,
    storage: Storage,
    runner: Runner,
    console: Console,
    *,
    watch: Callable[[Progress], contextlib.AbstractContextManager[None]] | None = None,
    fresh: bool = False,
    retry: bool = False,
    tracked: Callable[[StudyFolder, str], contextlib.AbstractContextManager[Callable[[str], None]]] | None = None,
) -> Outcome:
    """Runs what is left of a study.

    Args:
        plan: the study's trials.
        storage: where studies lie.
        runner: how trials are run.
        console: where is said what becomes of old records.
        watch: given the progress, a context that shows it.
        fresh: sets the old folder aside first.
        retry: runs failed trials again, from their last checkpoint before the failure.
        tracked: given the folder and the study's uid, a context that takes the ids of trials with new checkpoints.

    Raises:
        ChangedStudyError: recorded trials are no longer those of the plan; nothing was run.
        LeaseError: another driver runs this study.
        TeacherError: the teacher could not be made ready; trials that need it were not run.
    """
    spec, folder = plan.spec, StudyFolder(storage, plan.spec.name)
    if fresh and folder.root.exists():
        with Lease(folder.root):
            aside = folder.set_aside()
        if aside:
            console.print(f"The old records are kept in {storage.path(aside)}.", highlight=False)
    progress: Progress | None = None

    def status() -> dict[str, Any]:
        return {"unsaved": progress.unsaved()} if progress is not None else {}

    with Lease(folder.root, status) as lease:
        scans = folder.scan(plan.trials)
        recorded = {key: scan.newest.manifest for key, scan in scans.items() if scan.newest is not None}
        folder.refuse_changes(plan, recorded)
        uid = folder.open(spec)
        died = lease.previous and not lease.previous.get("released", True)
        wasted = dict(lease.previous.get("status", {}).get("unsaved", {})) if died else {}
        attempt = folder.begin_launch(wasted).attempt
        if retry:
            for trial in plan.trials:
                scans[trial.id] = _before_failure(folder.trial(trial.id), scans[trial.id])
        before = {key: scan.newest.manifest for key, scan in scans.items() if scan.newest is not None}
        todo = [
            _todo(trial, scans[trial.id], spec, storage, uid, attempt)
            for trial in plan.trials
            if trial.id not in before or before[trial.id].status == "running"
        ]
        progress = Progress(plan.trials, before)
        cpu = spec.resources.cpu or float(spec.numerics.threads)
        began = time.perf_counter()
        with contextlib.ExitStack() as stack:
            saved = stack.enter_context(tracked(folder, uid)) if tracked is not None else _ignore
            if todo:
                if watch is not None:
                    stack.enter_context(watch(progress))
                context = Context(folder, progress, saved, attempt, 3, spec.concurrency, cpu, spec.resources.gpu)
                crashed = runner(todo, context)
                for item in todo:
                    if item.trial.id in crashed:
                        _record_crash(item, crashed[item.trial.id], folder)
                        saved(item.trial.id)
            wall = time.perf_counter() - began
            for item in todo:
                record.prune(folder.trial(item.trial.id))
        folder.end_launch(progress.wasted)
        manifests = folder.manifests(plan)
        return Outcome(
            folder=folder,
            plan=plan,
            manifests=manifests,
            uid=uid,
            attempt=attempt,
            trained=sum(manifest.attempt == attempt for manifest in manifests.values()),
            wall_seconds=wall,
            busy_seconds=progress.busy_seconds,
            cores=progress.devices,
            damaged={key: scan.damaged for key, scan in scans.items() if scan.damaged},
        )


def _todo(trial: PlannedTrial, scan: record.Scan, spec: StudySpec, storage: Storage, uid: str, attempt: int) -> Todo:
    run = RunOptions(
        study=spec.name,
        uid=uid,
        trial=trial.id,
        arm=trial.arm,
        setting=trial.setting.label,
        attempt=attempt,
        teachers=storage.location,
        cores=spec.resources.cpu,
        checkpoint=spec.checkpoint,
    )
    index = max(scan.next_index, attempt * record.CHECKPOINTS_PER_ATTEMPT)
    return Todo(trial, trial.config.model_copy(update={"run": run}), scan.newest, index)


def _before_failure(trial: Storage, scan: record.Scan) -> record.Scan:
    while scan.newest is not None and scan.newest.manifest.status == "failed":
        trial.remove_folder(scan.newest.name)
        scan = record.scan(trial)
    return scan


def _record_crash(item: Todo, reason: str, folder: StudyFolder) -> None:
    """Writes the record that a crashed worker could not write: its last rows, marked as failed."""
    trial = folder.trial(item.trial.id)
    found = record.scan(trial)
    rows, base = (found.newest.rows(), found.newest.manifest) if found.newest is not None else ([], None)
    manifest = describe(item.config, rows, None, status="failed", reason=reason, starts=base.starts if base else [])
    if base is not None:
        manifest = manifest.model_copy(update={"summary": base.summary, "machine": base.machine})
    record.write_into(trial, max(found.next_index, item.first_index), manifest, rows, {}, None, None)


def _ignore(trial_id: str) -> None:
    pass
