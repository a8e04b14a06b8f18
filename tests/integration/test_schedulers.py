"""Trials that a scheduler stops, on Ray: what they record, what they cost, and how a study goes on."""

import shutil
from pathlib import Path
from typing import Any

import pytest

from ctkd_study import Study, grid
from ctkd_study.errors import ChangedStudyError
from ctkd_study.launch import Outcome
from ctkd_study.report.columns import values
from ctkd_study.report.notes import notes
from tests.support.banks import BASE
from trainables import record
from trainables.storage import Storage

pytestmark = [pytest.mark.slow, pytest.mark.thorough]

EPOCHS = 120
RATES = (0.05, 1e-7, 2e-7, 3e-7)  # only the first learns


def study(scheduler: Any) -> Study:
    alone = {"distiller": {"name": "none"}, "recipe": {"lr": grid(*RATES)}}
    arms = {"plain": {"distiller": {"name": "none"}}, "asha": {**alone, "scheduler": scheduler}}
    kept = {key: value for key, value in BASE.items() if key not in ("arms", "seeds", "name", "recipe", "teacher")}
    recipe = {**BASE["recipe"], "epochs": EPOCHS}
    return Study(**kept, name="stopped", recipe=recipe, seeds=2, arms=arms, concurrency=1)


@pytest.fixture(scope="module")
def outcome(tmp_path_factory: pytest.TempPathFactory) -> Outcome:
    return study({"by": "asha", "grace": 5, "factor": 2}).run(str(tmp_path_factory.mktemp("stopped")))


def test_trials_that_lag_are_stopped_and_recorded_by_their_worker(outcome: Outcome) -> None:
    assert not outcome.unfinished
    assert not outcome.failed
    found = {(each.arm, each.seed, each.setting): each for each in outcome.manifests.values()}
    assert {each.status for (arm, *_), each in found.items() if arm == "plain"} == {"finished"}
    stopped = [each for each in found.values() if each.status == "stopped"]
    assert len(stopped) >= 2
    for each in stopped:
        assert each.epoch < EPOCHS
        assert each.reason is not None
        rung = int(each.reason.removeprefix("stopped by asha at epoch "))
        assert 5 <= rung <= each.epoch
        newest = record.scan(Storage.at(f"{outcome.state.folder.root.location}/{each.trial}")).newest
        assert newest is not None
        rows = newest.rows()
        assert len(rows) == each.epoch
        assert each.summary.device_seconds == pytest.approx(sum(row["device_seconds"] or 0 for row in rows))


def test_they_are_compared_by_what_they_reached_and_paid(outcome: Outcome) -> None:
    asked = study({"by": "asha", "grace": 5, "factor": 2})
    found = asked.compare(str(outcome.state.storage.location))
    row = values(found)[1]
    trials = [each for each in outcome.manifests.values() if each.arm == "asha"]
    assert row["stopped"] == sum(each.status == "stopped" for each in trials)
    assert row["missing"] == 0
    assert row["cost"]["device_seconds"] == pytest.approx(sum(each.summary.device_seconds for each in trials) / 2)
    for seed, selected in enumerate(row["val_top1"]["per_seed"]):
        assert selected == max(each.summary.val_top1 or 0 for each in trials if each.seed == seed)
    assert [text for text in notes(found) if text.startswith("asha: ") and "in another order" in text]


def test_a_stopped_trial_is_not_run_further(outcome: Outcome) -> None:
    again = study({"by": "asha", "grace": 5, "factor": 2}).run(str(outcome.state.storage.location))
    assert again.trained == 0
    assert again.manifests == outcome.manifests


@pytest.mark.parametrize("scheduler", [None, "median"])
def test_another_scheduler_is_refused(outcome: Outcome, scheduler: str | None) -> None:
    with pytest.raises(ChangedStudyError, match=r"arms\.asha\.scheduler"):
        study(scheduler).compare(str(outcome.state.storage.location))


def test_a_study_that_lost_trials_completes(outcome: Outcome, tmp_path: Path) -> None:
    shutil.copytree(outcome.state.storage.location, tmp_path / "copy")
    lost = [each.trial for each in outcome.manifests.values() if each.arm == "asha" and each.seed == 0][1:]
    for trial in lost:
        shutil.rmtree(tmp_path / "copy" / "stopped" / trial)
    again = study({"by": "asha", "grace": 5, "factor": 2}).run(str(tmp_path / "copy"))
    assert not again.unfinished
    assert again.trained == len(lost)
