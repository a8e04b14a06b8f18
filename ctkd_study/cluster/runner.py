"""The runner for Ray, on a running cluster or on one that is started for the launch."""

import contextlib
import dataclasses
import signal
import threading
from collections.abc import Iterator

from ctkd_study.cluster.session import ray_session
from ctkd_study.launch import LaunchContext, TrialQueue


@dataclasses.dataclass(frozen=True)
class RayRunner:
    """Runs trials as Ray Tune trials."""

    address: str | None = None
    """Of a running cluster; None starts one on this machine."""

    def __call__(self, queue: TrialQueue, context: LaunchContext) -> None:
        # Ray installs a handler of SIGTERM that prints a stack and ends the process; ours replaces it.
        with ray_session(self.address), _terminated_like_interrupted():
            from ctkd_study.cluster.tuner import run_trials  # imports Ray, which reads its environment then

            run_trials(queue, context)


@contextlib.contextmanager
def _terminated_like_interrupted() -> Iterator[None]:
    """Make SIGTERM stop a launch as Ctrl-C does; does nothing outside the main thread."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    previous = signal.signal(signal.SIGTERM, lambda number, frame: signal.raise_signal(signal.SIGINT))
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, previous)
