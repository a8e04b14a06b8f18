"""What the Ray process asks of the driver, and tells it.

Ray runs in a process of its own (``ray_process``): where Ray's servers die, its library ends the process that uses it.
The driver keeps the lease, the queue, the display and the tracker, and answers over a pipe.
"""

import dataclasses
import time
import traceback
from multiprocessing.connection import Connection
from typing import Any

from ctkd_study.errors import StudyError
from ctkd_study.launch import LaunchContext, RetryPolicy, TrialQueue
from ctkd_study.spec import GpuShare, Vary
from trainables.config import TrialConfig


@dataclasses.dataclass(frozen=True)
class Brief:
    """What there is to do."""

    study: str
    waiting: tuple[TrialConfig, ...]
    """Of the trials that are to run."""
    concurrency: int | None
    """How many trials may run at once; None: as many as fit."""
    cpu: float
    gpu: GpuShare
    policy: RetryPolicy = dataclasses.field(default_factory=RetryPolicy)
    """When what was interrupted is tried again."""
    vary: Vary = dataclasses.field(default_factory=Vary)
    """In which groups of seeds the teacher is another."""


@dataclasses.dataclass(frozen=True)
class Assignment:
    """A trial to run."""

    id: str
    tries: int
    config: TrialConfig


class Desk:
    """The driver's end: every public method may be called by the Ray process.

    Args:
        queue: of the launch.
        context: its progress, and what a trial is given.
    """

    def __init__(self, queue: TrialQueue, context: LaunchContext) -> None:
        self._queue, self._context, self._progress = queue, context, context.progress
        self.was_asked = False
        """Whether Ray runs, and has asked for trials."""

    def brief(self) -> Brief:
        """Say what there is to do."""
        waiting = tuple(pending.config for pending in self._queue.waiting)
        context, queue = self._context, self._queue
        return Brief(
            study=context.folder.name,
            waiting=waiting,
            concurrency=context.concurrency,
            cpu=context.cpu,
            gpu=context.gpu,
            policy=queue.policy,
            vary=queue.state.spec.vary,
        )

    def pull(self, not_ready: frozenset[int]) -> Assignment | None:
        """Hand out a trial; of the groups of seeds whose teacher is not ready, one that needs none."""
        self.was_asked = True
        pending = self._queue.pull(lambda trial: trial.group not in not_ready or not trial.setting.config.uses_teacher)
        return Assignment(pending.id, pending.tries, pending.config) if pending is not None else None

    def exhausted(self) -> bool:
        """Whether nothing more will be handed out."""
        return self._queue.exhausted

    def goes_on(self) -> bool:
        """Whether trials run, or will be tried again."""
        return bool(self._queue.running) or self._queue.seconds_to_wait() is not None

    def stopping(self) -> bool:
        """Whether all trials are to end now."""
        return self._queue.stopped.is_set() or self._context.lost.is_set()

    def hung(self) -> set[str]:
        """Return the ids of trials that have been silent for too long: their workers are to be killed."""
        return set(self._progress.silent(self._context.stall)) & (self._queue.running | self._progress.helpers)

    def begun(self, trial_id: str) -> None:
        """Note that a trial has a worker, and should report from now on; before, it may have waited for long."""
        self._progress.begun(trial_id)

    def helper(self, job: str, signs: int = -1, longest: float = 0.0) -> None:
        """Note how far a helper trial is; see ``LaunchProgress.helper``."""
        self._progress.helper(job, signs, longest)

    def helper_ended(self, job: str) -> None:
        """Note that a helper trial's worker does nothing for it any more."""
        self._progress.helper_ended(job)

    def devices(self, number: float) -> None:
        """Note how many cores or GPUs trials can use."""
        self._progress.devices = number

    def note(self, text: str) -> None:
        """Show what trials wait for."""
        if self._progress.note != text:  # to set it starts a new estimate of the pace
            self._progress.note = text

    def reported(self, trial_id: str, result: dict[str, Any]) -> None:
        """Note the result of a step."""
        status, reason = result.get("status"), result.get("reason") or ""
        if "epoch_seconds" in result:
            self._progress.row(trial_id, result)
        if result.get("saved"):
            self._progress.saved(trial_id)
            self._context.saved(trial_id)
        elif reason and status in ("running", "saving"):
            self.trouble(trial_id, reason)
        if status in ("finished", "stopped", "failed"):
            self._progress.ended(trial_id, status)

    def trouble(self, trial_id: str, reason: str) -> None:
        """Show what is wrong with a trial; an empty reason says that it is over."""
        self._progress.trouble(trial_id, reason)

    def ended(self, trial_id: str, fault: str) -> None:
        """Take back a trial; ``fault`` is what ended it before its end, if something did."""
        status = self._queue.ended(trial_id, fault)
        if status in ("finished", "stopped", "failed"):
            self._progress.ended(trial_id, status)
        else:
            self._progress.interrupted(trial_id, self._queue.unfinished.get(trial_id, fault))
        self._context.saved(trial_id)

    def all_interrupted(self, fault: str) -> None:
        """Take back all trials that run: their workers are gone."""
        for job in self._progress.helpers:
            self._progress.helper_ended(job)
        for trial_id in sorted(self._queue.running):
            self.ended(trial_id, fault)


@dataclasses.dataclass(frozen=True)
class Ended:
    """The Ray process's last message."""

    error: StudyError | None = None
    fault: str = ""
    """A traceback, where something else than a ``StudyError`` ended it."""

    @classmethod
    def by(cls, error: BaseException) -> "Ended":
        """Say what an exception ended."""
        if isinstance(error, StudyError):
            return cls(error)
        return cls(fault="".join(traceback.format_exception(error)))


def caller(connection: Connection) -> Any:
    """Return the desk as the Ray process sees it: each method sends its call, and returns the answer."""
    return _Caller(connection)


class _Caller:
    def __init__(self, connection: Connection) -> None:
        self._connection = connection

    def __getattr__(self, name: str) -> Any:
        def call(*arguments: Any) -> Any:
            self._connection.send((name, arguments))
            return self._connection.recv()

        return call


@dataclasses.dataclass
class Answering:
    """Answers the Ray process until it has ended or falls silent."""

    desk: Desk
    connection: Connection
    heard: float = dataclasses.field(default_factory=time.monotonic)
    """When it last called."""

    def answer(self, seconds: float) -> Ended | None:
        """Wait for a call and answer it; returns the last message when that comes.

        Raises:
            EOFError, OSError: the process is gone.
        """
        if not self.connection.poll(seconds):
            return None
        message = self.connection.recv()
        self.heard = time.monotonic()
        if isinstance(message, Ended):
            return message
        name, arguments = message
        self.connection.send(getattr(self.desk, name)(*arguments))
        return None
