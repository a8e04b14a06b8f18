"""What a durable checkpoint costs: the quickstart's student, on the disk of the temporary folder."""

import os
import time
from pathlib import Path

import pytest

from tests.benchmarks.measuring import report
from tests.support import settings
from trainables import record
from trainables.config import TrialConfig
from trainables.materials import load_materials
from trainables.preparation import ensure
from trainables.storage import Storage
from trainables.trial import Trial

pytestmark = [pytest.mark.bench]

_SAVES, _INTERVAL_SECONDS = 60, 10.0  # the default interval

CONFIG = {
    "seed": 0,
    "data": {"name": "digits", "validation": 200, "train_examples": 300},
    "teacher": settings.TEACHER,
    "teacher_source": "bank32",
    "student": {"model": "resnet8", "widths": [4, 4, 8, 16]},
    "recipe": {"epochs": 30, "batch_size": 32},
    "distiller": {"name": "kd"},
    "temperature": {"kind": "global"},
}


def test_a_save_takes_at_most_a_thousandth_of_the_interval(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    config = TrialConfig.model_validate({**CONFIG, "run": {"teachers": str(tmp_path / "teachers")}})
    ensure(config)
    trial = Trial(config, load_materials)
    for _ in range(10):
        trial.step()
    found: dict[str, float | list[float]] = {}
    synced = os.fsync
    for name, fsync in (("durable", synced), ("not durable", lambda descriptor: None)):
        monkeypatch.setattr(os, "fsync", fsync)
        folder = Storage.at(str(tmp_path / name))
        run, milliseconds = record.Run.begin(folder, record.scan(folder)), []
        for _ in range(_SAVES):
            began = time.perf_counter()
            run.save(trial.manifest(), trial.contents())
            milliseconds.append(1000 * (time.perf_counter() - began))
            time.sleep(0.02)
        found[name] = milliseconds
    medians = report("a save of the quickstart's student", "milliseconds", found)
    assert medians["durable"] <= 1000 * _INTERVAL_SECONDS / 1000
