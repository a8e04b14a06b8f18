"""The launch loop: due, run, record, again, until nothing is due.

A study is resumed by running it again. Finished trials are kept, and unfinished ones go on from their newest complete
checkpoint, because that is what ``due`` says of their records.
"""

import contextlib
import dataclasses
import os
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from typing import Protocol

from rich.console import Console

from ctkd_study.errors import LeaseError, status_after
from ctkd_study.launch.progress import LaunchProgress
from ctkd_study.launch.queue import TrialQueue
from ctkd_study.plan import Plan, StudyState, decisions, due
from ctkd_study.records import Launch, Losses, StudyFolder
from ctkd_study.safe_text import visible
from ctkd_study.spec import GpuShare, PlannedTrial
from trainables.record import Manifest


@dataclasses.dataclass(frozen=True)
class LaunchContext:
    """What a runner needs besides the trials."""

    folder: StudyFolder
    progress: LaunchProgress
    saved: Callable[[str], None]
    """To be called with a trial's id when a checkpoint of it is complete; takes microseconds."""
    concurrency: int | None
    """How many trials may run at once; None: as many as fit."""
    cpu: float
    """CPU cores of a trial."""
    gpu: GpuShare
    stall: float | None = None
    """Seconds after which a silent trial is taken for hung; None: by the pace of the study."""
    lost: threading.Event = dataclasses.field(default_factory=threading.Event)
    """Set when another driver has taken the study over: the runner is to end."""


class Runner(Protocol):
    """Runs trials: pulls from the queue, and tells it what became of each, until it is exhausted or stopped."""

    def __call__(self, queue: TrialQueue, context: LaunchContext) -> None: ...


@dataclasses.dataclass(frozen=True)
class Outcome:
    """How a launch ended."""

    state: StudyState
    """With the records as the launch left them."""
    uid: str
    attempt: int
    wall_seconds: float
    busy_seconds: float
    """Device-seconds of all work of the trials in this launch."""
    cores: float
    """CPU cores (or, for trials on GPUs, GPUs) that the launch could use."""
    damaged: dict[str, tuple[str, ...]]
    """Checkpoints that were passed over, by trial id."""
    interrupted: Mapping[str, str] = dataclasses.field(default_factory=dict)
    """Faults that may pass and were met until the launch ended, by trial id."""
    stopped: KeyboardInterrupt | None = None
    """Ctrl-C or SIGTERM, if one ended the launch."""

    @property
    def plan(self) -> Plan:
        """The study's trials."""
        return self.state.plan

    @property
    def manifests(self) -> Mapping[str, Manifest]:
        """The newest manifest of each trial that has one, by trial id."""
        return self.state.manifests

    @property
    def trained(self) -> int:
        """How many trials ran, or went on, in this launch."""
        return sum(manifest.attempt == self.attempt for manifest in self.manifests.values())

    @property
    def failed(self) -> dict[str, str]:
        """Why trials failed, by trial id."""
        return {key: m.reason or "no reason given" for key, m in self.manifests.items() if m.status == "failed"}

    @property
    def exit_status(self) -> int:
        """Of a command that launched: 0; 1 if trials failed; 75 if some are unfinished; 130 or 143 after a signal."""
        if self.unfinished:
            return status_after(self.stopped) if self.stopped is not None else os.EX_TEMPFAIL
        return 1 if self.failed else 0

    @property
    def unfinished(self) -> dict[str, str]:
        """Trials without a final record, each with the fault that it met last; empty if the launch was stopped."""
        return {trial.id: self.interrupted.get(trial.id, "") for trial in due(self.state.spec, self.manifests)}

    @property
    def trials(self) -> int:
        """How many trials have ended or are due."""
        return sum(manifest.status != "running" for manifest in self.manifests.values()) + len(self.unfinished)


def launch(
    state: StudyState,
    runner: Runner,
    console: Console,
    *,
    fresh: bool = False,
    retry: bool = False,
    watch: Callable[[LaunchProgress], contextlib.AbstractContextManager[None]] | None = None,
    track: Callable[[str], contextlib.AbstractContextManager[Callable[[str], None]]] | None = None,
) -> Outcome:
    """Run what is due of a study.

    Args:
        state: the study in its storage; its records are read here.
        runner: how trials are run.
        console: told what becomes of old records.
        fresh: whether to set the old folder aside first.
        retry: whether to run failed trials again, from their last checkpoint before the failure.
        watch: given the progress, a context that shows it.
        track: given the study's uid, a context that takes the ids of trials with new checkpoints.

    Raises:
        ChangedStudyError: recorded trials are no longer those of the plan; nothing was run.
        LeaseError: another driver runs this study.
        TeacherError: the teacher could not be trained or loaded; trials that need it were not run.
    """
    folder, spec, first = state.folder, state.spec, 0

    def say(text: str) -> None:
        console.print(visible(text), markup=False, emoji=False, highlight=False, soft_wrap=True)

    if fresh and folder.root.exists():
        first = _set_aside(state, say)
    progress: LaunchProgress | None = None

    def losses() -> tuple[Losses, Losses]:
        return (progress.wasted, progress.unsaved()) if progress is not None else ({}, {})

    def holds() -> float:
        return progress.held_device_seconds if progress is not None else 0.0

    def told(trials: Sequence[PlannedTrial]) -> None:
        if progress is not None:
            progress.add(trials)
            progress.decisions = decisions(spec, state.manifests)

    queue: TrialQueue | None = None
    stopped: KeyboardInterrupt | None = None
    try:
        with Launch(folder, losses, holds, first, say) as held, contextlib.ExitStack() as stack:
            state.read(check_hashes=True).refuse_changes()
            damaged = {t.id: found for t in state.plan.trials if (found := state.scan_of(t.id).damaged)}
            uid = state.stored()
            if retry:
                state.forget_failures(held.number)
            counted = {*state.manifests, *(trial.id for trial in due(spec, state.manifests))}
            progress = LaunchProgress([t for t in state.plan.trials if t.id in counted], state.manifests)
            queue, began = TrialQueue(state, uid, held.number, retry=retry, on_due=told), time.perf_counter()
            saved = stack.enter_context(track(uid)) if track is not None else (lambda trial_id: None)
            if not queue.exhausted:
                if watch is not None:
                    stack.enter_context(watch(progress))
                cores, gpu = spec.cores_per_trial, spec.resources.gpu
                runner(
                    queue, LaunchContext(folder, progress, saved, spec.concurrency, cores, gpu, spec.stall, held.lost)
                )
                queue.stop()
    except KeyboardInterrupt as signal:
        if queue is None or progress is None:
            raise  # nothing ran
        stopped = signal
        queue.stop()
    if held.lost.is_set():
        raise LeaseError(f"another driver took {folder.root.location} over; this one stopped its trials")
    wall, busy, devices = time.perf_counter() - began, progress.busy_seconds, progress.devices
    return Outcome(state, uid, held.number, wall, busy, devices, damaged, queue.unfinished, stopped)


def _set_aside(state: StudyState, say: Callable[[str], None]) -> int:
    """Rename the study's folder; returns the number of its last launch, after which the new launches are counted.

    So a worker of the old study that still runs is older than any of the new.
    """
    with Launch(state.folder, say=say) as held:
        aside = state.folder.set_aside()
        if aside:
            held.moved(state.storage.within(aside))
            say(f"The old records are kept in {state.storage.path(aside)}.")
    return held.number
