"""A study that an earlier version recorded, and that was killed, goes on as if nothing had changed."""

import json
import tarfile
from pathlib import Path
from typing import Any

import pytest
import torch

from ctkd_study.launch.inline import InlineRunner
from ctkd_study.study import Study
from trainables import record
from trainables.record import Checkpoint, Row
from trainables.storage import Storage
from trainables.trial import machine

ARCHIVE = Path(__file__).parents[1] / "records" / "first_version.tar.gz"
TIMES = {"time_ms", "epoch_seconds", "eval_seconds", "teacher_seconds", "device_seconds", "images_per_second"}


def without_times(rows: list[Row]) -> list[Row]:
    return [{key: value for key, value in row.items() if key not in TIMES} for row in rows]


@pytest.fixture
def recorded(tmp_path: Path) -> Path:
    with tarfile.open(ARCHIVE) as archive:
        archive.extractall(tmp_path, filter="data")
    return tmp_path


def newest(recorded: Path, trial: str) -> Checkpoint | None:
    return record.scan(Storage.at(str(recorded / "results")).within("before", trial)).newest


def test_it_goes_on_bit_for_bit(recorded: Path) -> None:
    expected: dict[str, dict[str, Any]] = json.loads((recorded / "expected.json").read_text())
    before = {trial: newest(recorded, trial) for trial in expected}
    assert [trial for trial, checkpoint in before.items() if checkpoint is None] == [
        "alone-b7893e84-s4",
        "diverges-937cd595-s4",
    ], "these were waiting"

    study = Study.from_file(recorded / "before.json")
    outcome = study.run(str(recorded / "results"), runner=InlineRunner())

    assert outcome.attempt == 2
    assert outcome.trained == 3, "the interrupted trial and the two that were waiting"
    kinds = [checkpoint.manifest.machine for checkpoint in before.values() if checkpoint is not None]
    here = machine(torch.device("cpu"))
    same_machine = all(kind[key] == here[key] for kind in kinds for key in ("model", "torch", "threads"))
    for trial, wanted in expected.items():
        kept, found = before[trial], newest(recorded, trial)
        assert found is not None
        assert found.manifest.fingerprint == wanted["fingerprint"]
        if kept is not None and kept.manifest.status != "running":
            assert found == kept, "a trial that had ended is left alone"
            continue
        if kept is not None:
            assert [start.epoch for start in found.manifest.starts] == [0, 4]
            assert found.rows()[:4] == kept.rows(), "recorded epochs are written once"
            assert found.manifest.status == "finished"
        if same_machine:  # another processor rounds otherwise
            assert without_times(found.rows()) == without_times(wanted["rows"])
            assert found.manifest.status == wanted["status"]


def test_its_strategies_can_be_read_as_they_lie(recorded: Path) -> None:
    expected: dict[str, dict[str, Any]] = json.loads((recorded / "expected.json").read_text())
    found = Study.named("before", str(recorded / "results")).compare(str(recorded / "results"))
    test = {summary.strategy.name: summary.test_top1.per_seed for summary in found.summaries}
    grid = [expected[f"grid-e999e8fd-s{seed}"]["summary"]["test_top1"] for seed in (3, 4)]
    assert test["grid"] == tuple(grid), "validation keeps T=2 at both seeds"
    assert test["global"] == (expected["global-5a5eaee3-s3"]["summary"]["test_top1"], None), "one was interrupted"
    assert test["diverges"] == (None, None)
    assert found.baseline == "grid"
