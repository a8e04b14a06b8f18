"""Faults that strike once, at a point in the work of a worker: for processes of tests, and for Ray's workers.

In a command with ``environment``, Python loads ``injection/sitecustomize.py`` at its start, which installs the fault.
"""

import dataclasses
import functools
import os
import signal
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, Literal

Point = Literal["construct", "reset", "restore", "step", "save", "report"]
Kind = Literal["OSError", "kill", "memory", "stop"]
POINTS: Sequence[Point] = ("construct", "reset", "restore", "step", "save", "report")
EPOCH = 4
"""In which step, save and report fail."""
_VARIABLE = "CTKD_TEST_FAULTS"


@dataclasses.dataclass(frozen=True)
class Fault:
    """What strikes at a point, the first time that a worker comes to it; but for "construct", in a student's trial.

    Args:
        point: where.
        kind: an exception, or a signal to the process itself.
        flag: a file that is made when it strikes.
    """

    point: Point
    kind: Kind
    flag: Path

    def __str__(self) -> str:
        return f"{self.point} {self.kind} {self.flag}"

    def strike(self) -> None:
        """Do it, unless it was done."""
        try:
            self.flag.touch(exist_ok=False)
        except FileExistsError:
            return
        if self.kind == "OSError":
            raise OSError(5, "an injected fault")
        if self.kind == "memory":
            raise MemoryError("an injected fault")
        os.kill(os.getpid(), signal.SIGSTOP if self.kind == "stop" else signal.SIGKILL)


def environment(faults: Sequence[Fault]) -> Mapping[str, str]:
    """With which a command is started whose workers are to meet faults."""
    places = [str(Path(__file__).with_name("injection")), str(Path(__file__).parents[2])]
    return {_VARIABLE: "\n".join(map(str, faults)), "PYTHONPATH": os.pathsep.join(places)}


def from_environment() -> Iterator[Fault]:
    """The faults of the process's environment."""
    for line in os.environ.get(_VARIABLE, "").splitlines():
        point, kind, flag = line.split(maxsplit=2)
        yield Fault(point, kind, Path(flag))  # type: ignore[arg-type]


def install(fault: Fault) -> None:
    """Put a fault into this process; the modules of a worker are imported."""
    from trainables import trial
    from trainables.storage import local
    from trainables.trainable import CTKDTrainable
    from trainables.trainer import Trainer

    def always(*arguments: Any) -> bool:
        return True

    def of_student(trainable: Any, config: Mapping[str, Any]) -> bool:
        return "student" in config

    def due(trainer: Trainer) -> bool:
        return trainer.epoch + 1 == EPOCH

    def the_state(path: Path, content: bytes) -> bool:
        # Not the teacher's: that has no epoch of this number.
        return path.name == "state.pt" and f"checkpoint_{EPOCH:06d}" in path.parent.name

    match fault.point:
        case "construct":
            _before(CTKDTrainable, "setup", always, fault)
        case "reset":
            _before(CTKDTrainable, "reset_config", of_student, fault)
        case "restore":
            _before(trial.Trial, "restore", always, fault)
        case "step":
            _before(Trainer, "train_epoch", due, fault)
        case "save":
            _before(local, "_write", the_state, fault)
        case "report":
            _after(CTKDTrainable, "train_buffered", lambda results: results[-1].get("epoch", 0) >= EPOCH, fault)


def _before(owner: Any, name: str, here: Callable[..., bool], fault: Fault) -> None:
    real = getattr(owner, name)

    @functools.wraps(real)
    def faulty(*arguments: Any, **named: Any) -> Any:
        if here(*arguments, **named):
            fault.strike()
        return real(*arguments, **named)

    setattr(owner, name, faulty)


def _after(owner: Any, name: str, here: Callable[[Any], bool], fault: Fault) -> None:
    real = getattr(owner, name)

    @functools.wraps(real)
    def faulty(*arguments: Any, **named: Any) -> Any:
        result = real(*arguments, **named)
        if here(result):
            fault.strike()
        return result

    setattr(owner, name, faulty)


def work(configs: Sequence[dict[str, Any]], faults: Sequence[Fault]) -> None:
    """Do what an actor of Ray does with these trials, one after the other; ends the process at the first fault.

    Exit status 0: all have ended.
    """
    from ray.tune.result import DONE

    from trainables import jobs
    from trainables.trainable import CTKDTrainable

    jobs.REPORT_SECONDS = 0.0  # each epoch is reported for itself
    for fault in faults:
        install(fault)
    actor: CTKDTrainable | None = None
    for config in configs:
        if actor is None:
            actor = CTKDTrainable(config)
        else:
            actor.reset_config(config)
        last: dict[str, Any] = {}
        while not last.get(DONE):
            *_, last = actor.train_buffered()
        if last["status"] != "finished":
            sys.exit(f"{last['status']}: {last['reason']}")
