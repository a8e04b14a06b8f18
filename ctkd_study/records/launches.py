"""The launches of a study: one driver at a time, its number, and the work that each launch lost to faults.

``<study>/launches/`` is a lease (``trainables.lease``) whose terms are the launches: ``000002.json`` says who runs the
second, and with which code; ``000002.renewed.json`` and ``000002.ended.json`` what it has lost so far.
"""

import math
import os
import subprocess
from collections.abc import Callable, Mapping
from importlib.metadata import version
from types import TracebackType
from typing import Any

from ctkd_study.errors import LeaseError
from ctkd_study.records.folder import StudyFolder
from trainables import lease
from trainables.lease import Clock, Held, Lease
from trainables.storage import Storage

LAUNCHES = "launches"
_GIT_SECONDS = 5

#: Device-seconds by trial id.
Losses = Mapping[str, float]


class Launch:
    """Held while a driver runs a study; a context manager.

    Args:
        folder: the study's.
        losses: what this launch has lost to faults, and what it would lose if it died now.
        holds: device-seconds that this launch has held so far.
        after: numbers of launches begin after this one.
        say: told that a holder on another machine is watched, before that takes its time.
        clock: of this process.

    Raises:
        LeaseError: on entry, if another driver runs the study.
    """

    def __init__(
        self,
        folder: StudyFolder,
        losses: Callable[[], tuple[Losses, Losses]] = lambda: ({}, {}),
        holds: Callable[[], float] = lambda: 0.0,
        after: int = 0,
        say: Callable[[str], None] = lambda text: None,
        clock: Clock | None = None,
    ) -> None:
        self._folder = folder

        def status() -> dict[str, Any]:
            wasted, unsaved = losses()
            return {"wasted": dict(wasted), "unsaved": dict(unsaved), "held": holds()}

        told = set[str]()

        def watched(holder: str) -> None:
            if holder not in told:
                told.add(holder)
                say(
                    f"{folder.root.location} was left without an end by {holder}. If it gives no sign for "
                    f"{lease.STALE_SECONDS:.0f} s, this command takes over."
                )

        self._lease = Lease(
            folder.root.within(LAUNCHES), status, after=after, watched=watched, about=_code(), clock=clock
        )
        self.lost = self._lease.lost
        """Set when another driver has taken the study over, because this one was thought dead."""

    @property
    def number(self) -> int:
        """Of the launch, from 1."""
        return self._lease.term

    def __enter__(self) -> "Launch":
        try:
            self._lease.__enter__()
        except Held as holder:
            raise LeaseError(
                f"{self._folder.root.location} is being run by {holder}: one driver at a time. Wait for it, or stop it."
            ) from None
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._lease.__exit__(kind, error, trace)

    def moved(self, folder: Storage) -> None:
        """Say that the study's folder has another place now."""
        self._lease.folder = folder.within(LAUNCHES)


def held(folder: StudyFolder) -> float | None:
    """Device-seconds that all launches have held, as far as they say; None where none does.

    A launch that died has held what it said last, five seconds ago at most.
    """
    place = folder.root.within(LAUNCHES)
    said = (lease.read(place, n, "ended") or lease.read(place, n, "renewed") for n in lease.terms(place))
    found = [each["held"] for each in said if isinstance(each.get("held"), int | float)]
    return math.fsum(found) if any(found) else None


def wasted(folder: StudyFolder) -> dict[str, float]:
    """Device-seconds lost to faults in all launches, by trial id.

    A launch that is over has lost what it had not saved, too.
    """
    place, total = folder.root.within(LAUNCHES), dict[str, float]()
    numbers = lease.terms(place)
    for number in numbers:
        last = lease.read(place, number, "ended")
        is_over = bool(last) or number < numbers[-1]
        last = last or lease.read(place, number, "renewed")
        for kind in ("wasted", "unsaved") if is_over else ("wasted",):
            losses = last.get(kind)
            for trial_id, seconds in losses.items() if isinstance(losses, dict) else ():
                if isinstance(seconds, int | float):
                    total[trial_id] = total.get(trial_id, 0.0) + seconds
    return total


def _code() -> dict[str, str]:
    """Return the version of this package, and the git commit of the current folder if it is in a repository.

    The commit ends in ``-dirty`` if tracked files have changes that are not in it.
    """
    found = {"ctkd_study": version("ctkd-study")}
    command = ["git", "describe", "--always", "--dirty", "--exclude=*", "--abbrev=40"]
    environment = {**os.environ, "GIT_OPTIONAL_LOCKS": "0"}
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=_GIT_SECONDS, env=environment)
    except (OSError, subprocess.TimeoutExpired):  # no git, or a folder that answers slowly
        return found
    return found | ({"commit": done.stdout.strip()} if done.returncode == 0 else {})
