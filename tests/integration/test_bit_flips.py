"""One bit of one file of a study changes: every command says so or passes it over, and the next launch mends it."""

from pathlib import Path
from typing import Any

import pytest

from ctkd_study import Study, StudyError, grid
from ctkd_study.launch import InlineRunner, tabulated
from tests.support import settings
from tests.support.records import flip_a_bit
from tests.support.trials import recorded
from trainables.config import TrialConfig
from trainables.record import Row

STUDY: dict[str, Any] = {
    "name": "flipped",
    "data": {"name": "digits", "validation": 200, "train_examples": 300},
    "teacher": settings.TEACHER,
    "student": settings.STUDENT,
    "recipe": settings.RECIPE,
    "distiller": {"name": "kd"},
    "seeds": 2,
    "margin": 1.0,
    "arms": {
        "grid": {"temperature": {"kind": "fixed", "value": grid(2, 4)}},
        "global": {"temperature": {"kind": "global"}},
    },
}


def table(config: TrialConfig) -> list[Row]:
    value = getattr(config.temperature, "value", 3.0)
    return [
        {
            "epoch": epoch,
            "time_ms": epoch,
            "val_loss": 0.1,
            "val_top1": 90 + value,
            "test_top1": 80 + value + epoch,
            "temperature": 4.0,
        }
        for epoch in (1, 2)
    ]


RUNNER = InlineRunner(tabulated(table))


@pytest.mark.parametrize("place", [0.1, 0.5, 0.9])
@pytest.mark.parametrize("file", ["manifest.json", "history.jsonl", "state.pt", "../start.json"])
@pytest.mark.parametrize("arm", ["grid", "global"])
def test_in_a_record(tmp_path: Path, arm: str, file: str, place: float) -> None:
    study, storage = Study(**STUDY), str(tmp_path)
    first = study.run(storage, runner=RUNNER)
    before = study.compare(storage)
    trial = next(trial.id for trial in study.plan(storage).trials if trial.arm == arm)
    folder = tmp_path / "flipped" / trial
    flip_a_bit(folder / "run-000001-001" / "checkpoint_000001" / file, place)
    found = study.compare(storage)
    assert study.histories(storage)
    assert study.sync(storage).complete
    again = study.run(storage, runner=RUNNER)
    lost = file != "../start.json"
    assert (again.trained, again.failed, again.unfinished) == (int(lost), {}, {})
    assert list(again.damaged) == ([trial] if lost else [])
    assert recorded(folder).manifest.summary == first.manifests[trial].summary
    assert study.compare(storage).pairs == before.pairs
    if file != "manifest.json":  # the numbers that are compared stand there
        assert found.pairs == before.pairs


@pytest.mark.parametrize("place", [0.1, 0.5, 0.9])
@pytest.mark.parametrize("file", ["000001.json", "000001.ended.json"])
def test_in_a_launch(tmp_path: Path, file: str, place: float) -> None:
    study, storage = Study(**STUDY), str(tmp_path)
    study.run(storage, runner=RUNNER)
    flip_a_bit(tmp_path / "flipped" / "launches" / file, place)
    assert study.compare(storage).pairs
    assert study.run(storage, runner=RUNNER).trained == 0


@pytest.mark.parametrize("place", [0.0, 0.05, 0.5, 0.9])
def test_in_the_stored_study(tmp_path: Path, place: float) -> None:
    study, storage = Study(**STUDY), str(tmp_path)
    study.run(storage, runner=RUNNER)
    flip_a_bit(tmp_path / "flipped" / "study.json", place)
    for act in (study.compare, study.sync, lambda storage: study.run(storage, runner=RUNNER)):
        with pytest.raises(StudyError, match=r"study\.json"):
            act(storage)
