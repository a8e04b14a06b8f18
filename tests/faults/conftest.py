"""The study undisturbed, and commands to disturb."""

import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from ctkd_study.launch.inline import InlineRunner
from ctkd_study.study import Study
from tests.support.black_box import Command


@pytest.fixture(scope="session")
def straight(tmp_path_factory: pytest.TempPathFactory) -> Command:
    """The study after a run without a disturbance, in this process."""
    folder = tmp_path_factory.mktemp("straight")
    made = Command(folder, folder / "results")
    Study(**made.study).run(str(made.storage), runner=InlineRunner())
    return made


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
