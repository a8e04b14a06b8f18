"""A fault of each kind at each point of a worker's work, once: the trials recover, and their numbers are the same."""

import signal
from collections.abc import Sequence
from multiprocessing.context import ForkServerContext
from pathlib import Path
from typing import Any

import pytest

from tests.faults.conftest import configs
from tests.support import injected
from tests.support.black_box import Command
from tests.support.injected import POINTS, Fault, Kind, Point
from tests.support.trials import recorded, same
from trainables.config import TrialConfig
from trainables.record import Checkpoint

pytestmark = pytest.mark.timeout(400)

KINDS: Sequence[Kind] = ("OSError", "kill", "memory")
ALL = [(point, kind) for point in POINTS for kind in KINDS]


def faults_of(point: Point, kind: Kind, folder: Path) -> list[Fault]:
    """To restore something, a worker must have died before."""
    before = [Fault("step", "kill", folder / "before")] if point == "restore" else []
    return [*before, Fault(point, kind, folder / "struck")]


def workers_for(trials: Sequence[TrialConfig], faults: Sequence[Fault], context: ForkServerContext) -> list[Any]:
    """Start worker after worker, as long as trials are not finished; returns their exit statuses."""
    statuses: list[Any] = []
    while 0 not in statuses:
        assert len(statuses) < 4, statuses
        worker = context.Process(target=injected.work, args=([trial.plain() for trial in trials], faults))
        worker.start()
        worker.join(60)
        statuses.append(worker.exitcode)
    return statuses


@pytest.mark.parametrize(("point", "kind"), ALL)
def test_a_fault_in_a_worker(
    point: Point, kind: Kind, tmp_path: Path, undisturbed: list[Checkpoint], fresh: ForkServerContext
) -> None:
    trials, faults = configs(tmp_path), faults_of(point, kind, tmp_path)
    statuses = workers_for(trials, faults, fresh)
    assert all(fault.flag.exists() for fault in faults)
    in_place = (point, kind) == ("save", "OSError")  # it is saved a moment later
    struck = [] if in_place else [-signal.SIGKILL if kind == "kill" else 1]
    assert statuses == [*([-signal.SIGKILL] if point == "restore" else []), *struck, 0]
    for expected, trial in zip(undisturbed, trials, strict=True):
        same(expected, recorded(Path(str(trial.run.folder))))


@pytest.mark.slow
@pytest.mark.parametrize(
    ("point", "kind"),
    [
        pytest.param(*case, marks=pytest.mark.thorough if case == ("reset", "kill") else pytest.mark.chaos)
        for case in ALL
    ],
)
def test_a_fault_in_a_study(point: Point, kind: Kind, command: Command, straight: Command) -> None:
    """One trial at a time, so that Ray's actor is reused."""
    command.copy_prepared(straight)
    command.study = {**command.study, "concurrency": 1}
    faults = faults_of(point, kind, command.folder)
    command.environment = injected.environment(faults)
    assert command.ended(command.start()) == 0, command.output
    assert all(fault.flag.exists() for fault in faults)
    command.assert_undisturbed(straight)
