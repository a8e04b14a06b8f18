"""A small study that is run through the command line alone, to be disturbed from outside."""

import dataclasses
import json
import os
import shutil
import subprocess
import sys
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from ctkd_study.launch import InlineRunner
from ctkd_study.report import comparison_as_json
from ctkd_study.study import Study
from tests.support import recorded, settings
from tests.support.family import Family
from trainables.record import Checkpoint

NAME = "faults"
EPOCHS = 30
#: Batch systems kill what has not ended this long after SIGTERM.
GRACE_SECONDS = 30.0
STUDY: dict[str, Any] = {
    "name": NAME,
    "data": {"name": "digits", "validation": 100, "train_examples": 100},
    "teacher": settings.TEACHER,
    "student": {**settings.STUDENT, "widths": [2, 2, 4, 4]},
    "recipe": {**settings.RECIPE, "epochs": EPOCHS},
    "distiller": {"name": "kd"},
    "seeds": [3],
    "margin": 2.0,
    "checkpoint": {"epochs": 1},
    "arms": {
        "fixed": {"temperature": {"kind": "fixed", "value": 4}},
        "global": {"temperature": {"kind": "global"}},
        "alone": {"distiller": {"name": "none"}},
    },
}


@dataclasses.dataclass
class Command:
    """``ctkd-study run`` on the study, in a storage of its own.

    Args:
        folder: where the study file and the output of each run lie.
        storage: where the study's records lie; must exist.
    """

    folder: Path
    storage: Path
    study: Mapping[str, Any] = dataclasses.field(default_factory=lambda: STUDY)
    options: tuple[str, ...] = ()
    environment: Mapping[str, str] = dataclasses.field(default_factory=dict)
    family: Family = dataclasses.field(default_factory=Family)
    runs: int = 0

    @classmethod
    def undisturbed(cls, folder: Path) -> "Command":
        """Return one whose study was run in this process, without a fault."""
        made = cls(folder, folder / "results")
        Study(**made.study).run(str(made.storage), runner=InlineRunner())
        return made

    def start(self) -> "subprocess.Popen[bytes]":
        """Start the command as the leader of a process group of its own."""
        file = self.folder / "study.yaml"
        file.write_text(json.dumps(self.study))
        self.runs += 1
        # Into a file: a pipe would stay open for as long as any orphan of the command lives.
        with self._log.open("wb") as log:
            command = [sys.executable, "-m", "ctkd_study.cli", "run", str(file), "--storage", str(self.storage)]
            process = subprocess.Popen(
                [*command, *self.options],
                stdout=log,
                stderr=subprocess.STDOUT,
                start_new_session=True,
                env={**os.environ, "COLUMNS": "200", **self.environment},
            )
        self.family.add(process.pid)
        return process

    def goes_on(self, process: "subprocess.Popen[bytes]") -> bool:
        """Whether a run goes on; to be asked now and then, so that its processes are known before they are orphans."""
        self.family.living()
        return process.poll() is None

    def ended(self, process: "subprocess.Popen[bytes]", seconds: float = 150) -> int:
        """Return the exit status of a run; it must end in time."""
        until = time.monotonic() + seconds
        while self.goes_on(process):
            assert time.monotonic() < until, (
                f"run {self.runs} goes on {seconds} s after it should have ended:\n{self.output}"
            )
            time.sleep(0.1)
        return process.returncode

    def run_until_done(self, most: int = 3) -> None:
        """Run the command again until it says that all is done."""
        statuses: list[int] = []
        while len(statuses) < most:
            statuses.append(self.ended(self.start()))
            if statuses[-1] == 0:
                return
        raise AssertionError(f"exit statuses {statuses}, never 0:\n{self.output}")

    @property
    def output(self) -> str:
        """What the latest run has printed."""
        return self._log.read_text(errors="replace")

    @property
    def _log(self) -> Path:
        return self.folder / f"output-{self.runs}.txt"

    def trials(self) -> dict[str, Checkpoint]:
        return recorded.trials(self.storage, str(self.study["name"]))

    def answer(self) -> Any:
        """What ``compare --json`` says, less seconds."""
        study = Study.named(str(self.study["name"]), str(self.storage))
        return _without_times(comparison_as_json(study.compare(str(self.storage))))

    def assert_undisturbed(self, straight: "Command") -> None:
        """Nothing is left of the disturbance: equal records, answer and MLflow values, no process, the lease free."""
        recorded.assert_equal(straight.trials(), self.trials())
        assert self.answer() == straight.answer()
        if "MLflow is behind" in self.output:
            Study.named(str(self.study["name"]), str(self.storage)).sync(str(self.storage))
        recorded.assert_tracked(straight.storage, self.storage, str(self.study["name"]))
        assert recorded.lease_is_free(self.storage, str(self.study["name"])), "the lease is still held"
        left = self.family.left_after(10)
        assert not left, "processes are left:\n" + "\n".join(left)

    def copy_prepared(self, straight: "Command") -> None:
        """Take over what trials need and share, so that they start at once."""
        for name in recorded.PREPARED:
            source, target = straight.storage / name, self.storage / name
            if source.is_dir():
                shutil.copytree(source, target)
            else:
                shutil.copy(source, target)


def _without_times(value: Any) -> Any:
    """An answer without what a clock measured: seconds, the bill made from them, and the sentence that has them."""
    if isinstance(value, dict):
        timed = {key for key in value if "seconds" in key or key in ("bill", "verdict")}
        return {key: _without_times(each) for key, each in value.items() if key not in timed}
    return [_without_times(each) for each in value] if isinstance(value, list) else value
