"""Every error that a user can correct, and the faults of a study file."""

import dataclasses
import signal
from collections.abc import Iterable
from typing import Any, ClassVar

#: Where a value stands in a study: keys, and numbers of list items from 0 on.
KeyPath = tuple[str | int, ...]


class StudyError(Exception):
    """Something a user can mend. The text says how; the command prints it alone and ends with ``exit_status``."""

    exit_status: ClassVar[int] = 2
    """2: what was asked for cannot be done. A subclass for work that was done and failed says 1."""


@dataclasses.dataclass(frozen=True, slots=True)
class Place:
    """Where a value was written: a line of a file, or an override; neither for a study made in Python."""

    file: str | None = None
    line: int | None = None
    """Counted from 1."""
    override: str | None = None
    """The text after ``--set``."""

    def __str__(self) -> str:
        if self.override is not None:
            return f"--set {self.override}"
        return ":".join(str(part) for part in (self.file, self.line) if part is not None)


@dataclasses.dataclass(frozen=True, slots=True)
class Fault:
    """One thing that is wrong with a study."""

    key: str
    """Dotted, as the user wrote it (``arms.grid.temperature.value``); empty for the file as a whole."""
    value: Any
    """What stands there; None where the key is missing."""
    message: str
    """The rule, then the value."""
    place: Place = Place()

    @property
    def file(self) -> str | None:
        return self.place.file

    @property
    def line(self) -> int | None:
        """Counted from 1."""
        return self.place.line

    def __str__(self) -> str:
        return ": ".join(part for part in (str(self.place), self.key, self.message) if part)


class Terminated(KeyboardInterrupt):
    """SIGTERM, raised where Ctrl-C raises KeyboardInterrupt."""


def status_after(stop: KeyboardInterrupt) -> int:
    """The exit status after a signal, as shells have it: 128 and the signal's number."""
    return 128 + (signal.SIGTERM if isinstance(stop, Terminated) else signal.SIGINT)


class SpecError(StudyError):
    """A study is not what it should be. ``faults`` are in the order of the file."""

    def __init__(self, faults: Iterable[Fault]) -> None:
        self.faults = tuple(faults)
        super().__init__("\n".join(str(fault) for fault in self.faults))

    def __reduce__(self) -> tuple[type["SpecError"], tuple[tuple[Fault, ...]]]:
        return type(self), (self.faults,)  # the text is made of them


class UnknownStudyError(StudyError):
    """There is no study of this name in the storage."""


class ChangedStudyError(StudyError):
    """The study file no longer describes the trials that were run."""


class LeaseError(StudyError):
    """Another driver runs this study."""


class TeacherError(StudyError):
    """The teacher could not be trained or loaded."""


class ClusterError(StudyError):
    """The Ray cluster cannot be joined, or has no room for a trial."""


class TrackingError(StudyError):
    """MLflow does not answer, or does not hold what was asked for."""

    exit_status = 1


def dotted(path: KeyPath) -> str:
    """The path as people write it: ``recipe.schedule.milestones[1]``."""
    text = ""
    for part in path:
        text += f"[{part}]" if isinstance(part, int) else f".{part}" if text else part
    return text
