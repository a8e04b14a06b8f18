"""The study undisturbed, and commands to disturb."""

import multiprocessing
import tempfile
from collections.abc import Iterator
from multiprocessing.context import ForkServerContext
from pathlib import Path
from typing import Any

import pytest

from ctkd_study.launch.inline import InlineRunner, train
from ctkd_study.study import Study
from tests.support import settings
from tests.support.black_box import STUDY as LARGER
from tests.support.black_box import Command
from tests.support.trials import finished
from trainables.config import TrialConfig
from trainables.record import Checkpoint, Manifest
from trainables.storage import Storage

NAME = "small"
STUDY: dict[str, Any] = {**LARGER, "name": NAME, "recipe": {**LARGER["recipe"], "epochs": 4}}
FINISHED, UNFINISHED = "finished", "unfinished"


@pytest.fixture(scope="session")
def straight(tmp_path_factory: pytest.TempPathFactory) -> Command:
    """The study after a run without a disturbance, in this process."""
    return Command.undisturbed(tmp_path_factory.mktemp("straight"))


@pytest.fixture
def command(tmp_path: Path) -> Iterator[Command]:
    """The command in a fresh storage; whatever still runs afterwards is killed."""
    made = Command(tmp_path, tmp_path / "results")
    made.storage.mkdir()
    yield made
    made.family.kill()


@pytest.fixture
def temporary() -> Iterator[Path]:
    """A folder for temporary files, with a path that is short enough for Ray's sockets."""
    with tempfile.TemporaryDirectory(prefix="faults-", dir="/tmp", ignore_cleanup_errors=True) as folder:
        yield Path(folder)


@pytest.fixture(scope="session")
def fresh() -> ForkServerContext:
    """Makes processes that have imported the worker's modules, and nothing else."""
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(["pytest", "trainables.trainable", "torch._dynamo", "sklearn.datasets"])
    return context


def configs(folder: Path) -> list[TrialConfig]:
    """Two trials without a teacher, one after the other in one worker."""
    found = []
    for seed in (0, 1):
        config = settings.trial(folder, seed, "alone", recipe={**settings.RECIPE, "epochs": 6})
        run = config.run.model_copy(update={"folder": str(folder / f"s{seed}"), "attempt": 1})
        found.append(config.model_copy(update={"run": run}))
    return found


@pytest.fixture(scope="session")
def undisturbed(tmp_path_factory: pytest.TempPathFactory) -> list[Checkpoint]:
    folder = tmp_path_factory.mktemp("undisturbed")
    return [finished(config, Path(str(config.run.folder))) for config in configs(folder)]


def stopped_at(epoch: int) -> InlineRunner:
    """A runner that is stopped by Ctrl-C when the first trial that learns its temperature comes to an epoch."""

    def train_until(config: TrialConfig, folder: Storage, on_row: Any) -> Manifest:
        def tell(row: Any) -> None:
            on_row(row)
            if config.run.arm == "global" and row["epoch"] == epoch:
                raise KeyboardInterrupt

        return train(config, folder, tell)

    return InlineRunner(train_until)


@pytest.fixture(scope="session")
def studies(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Command]:
    """A finished study, and one that was stopped in the third epoch of its second trial."""
    made = {}
    for name, runner in ((FINISHED, InlineRunner()), (UNFINISHED, stopped_at(3))):
        folder = tmp_path_factory.mktemp(name)
        made[name] = Command(folder, folder / "results", STUDY)
        Study(**STUDY).run(str(made[name].storage), runner=runner)
    return made
