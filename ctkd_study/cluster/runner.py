"""The runner for Ray, on a running cluster or on one that is started for the launch.

Ray runs in a process of its own, which is started again when it dies or falls silent: the trials that ran are then due
again, from their last checkpoints.
"""

import contextlib
import logging
import os
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from multiprocessing.connection import Connection, Pipe
from types import TracebackType
from typing import IO

from ctkd_study.cluster.desk import Answering, Desk
from ctkd_study.cluster.ray_process import end_session
from ctkd_study.launch import LaunchContext, RetryPolicy, TrialQueue

log = logging.getLogger(__name__)

_ANSWER_SECONDS = 0.25
#: Tune's loop asks many times a second; a Ray that starts, or measures GPUs, may be busy for longer.
_SILENT_SECONDS = 60.0
_STARTING_SECONDS = 180.0
_STOP_SECONDS = 5.0

# That this package has imported the module is no fault.
COMMAND = (sys.executable, "-W", "ignore::RuntimeWarning:runpy", "-m", "ctkd_study.cluster.ray_process")


class RayRunner:
    """Runs trials as Ray Tune trials. As a context, it starts its process early, while the study is being read.

    Args:
        address: of a running cluster; None starts one on this machine.
        policy: how often Ray is started again without any trial getting further.
        command: starts the process; ``ray_process`` has its arguments.
    """

    def __init__(
        self, address: str | None = None, policy: RetryPolicy | None = None, command: Sequence[str] = COMMAND
    ) -> None:
        self.address, self._policy, self._command = address, policy or RetryPolicy(tries=3), command
        self._process: _RayProcess | None = None

    def __enter__(self) -> "RayRunner":
        self._process = _RayProcess(self.address, self._command)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._process is not None:
            self._process.end()
            self._process = None

    def __call__(self, queue: TrialQueue, context: LaunchContext) -> None:
        deaths, saved = 0, context.progress.saves
        while not queue.exhausted and not (desk := Desk(queue, context)).stopping():
            process, self._process = self._process or _RayProcess(self.address, self._command), None
            try:
                fault = process.run(desk)
            finally:
                process.end()
            if not fault:
                return
            desk.all_interrupted(fault)
            deaths = 1 if context.progress.saves > saved else deaths + 1
            saved = context.progress.saves
            log.warning("%s", fault)
            if (pause := self._policy.pause(deaths)) is None:
                return
            queue.stopped.wait(pause)


class _RayProcess:
    """A process that runs Ray."""

    def __init__(self, address: str | None, command: Sequence[str]) -> None:
        ours, theirs = Pipe()
        self._connection: Connection = ours
        self._is_local = address is None
        self._errors: IO[bytes] = tempfile.TemporaryFile()  # noqa: SIM115  # closed by `end`
        self._scratch = tempfile.TemporaryDirectory(prefix="ctkd-study-")  # removed by `end`
        self._process = subprocess.Popen(
            [*command, str(theirs.fileno()), address or "", str(os.getpid()), self._scratch.name],
            pass_fds=[theirs.fileno()],
            stdin=subprocess.DEVNULL,
            stdout=self._errors,
            stderr=self._errors,
            start_new_session=True,
        )
        theirs.close()

    def run(self, desk: Desk) -> str:
        """Answer until all is done or asked to stop; returns why Ray is no longer to be relied on, if that is so.

        Raises:
            StudyError: as raised in the process.
        """
        answering, stop_by = Answering(desk, self._connection), None
        while True:
            try:
                ended = answering.answer(_ANSWER_SECONDS)
            except (EOFError, OSError):
                with contextlib.suppress(subprocess.TimeoutExpired):  # it has closed its end, and may hang
                    self._process.wait(_STOP_SECONDS)
                return self._last_words()
            if ended is not None:
                if ended.error is not None:
                    raise ended.error
                if ended.fault:
                    log.info("%s", ended.fault)
                return ended.fault.strip().splitlines()[-1] if ended.fault else ""
            now = time.monotonic()
            if desk.stopping():
                stop_by = stop_by or now + _STOP_SECONDS
                if self._is_local or now > stop_by:
                    return ""
            if now - answering.heard > (_SILENT_SECONDS if desk.was_asked else _STARTING_SECONDS):
                return "Ray does not answer"

    def end(self) -> None:
        """Kill the process and all of its session."""
        self._connection.close()
        end_session(self._process.pid)
        with contextlib.suppress(ProcessLookupError):
            self._process.kill()
        self._process.wait()
        self._errors.close()
        self._scratch.cleanup()

    def _last_words(self) -> str:
        self._errors.seek(0)
        lines = self._errors.read().decode(errors="replace").strip().splitlines()
        status = self._process.returncode
        log.info("the Ray process ended with status %s:\n%s", status, "\n".join(lines[-30:]))
        if status is None:
            return "the Ray process does not answer"
        if status < 0:
            return f"the Ray process was killed by {signal.Signals(-status).name}"
        return lines[-1] if lines else f"the Ray process ended with status {status}"
