"""Jobs: which one a configuration asks for, and what is kept from one to the next."""

from pathlib import Path
from typing import Any

import pytest
import torch

from tests.support import settings
from tests.support.banks import banked
from trainables import jobs, preparation
from trainables.bank import BANKS, unbanked
from trainables.faults import Interrupted

CPU = torch.device("cpu")


def unused(*arguments: Any) -> Any:
    raise AssertionError("this job reads no data")


@pytest.mark.parametrize(
    ("config", "kind"),
    [
        ({"stand_by": True}, jobs.StandBy),
        ({"prepare": [{}]}, jobs.Prepare),
        ({"prepare": [{}], "shard": (1, 2)}, jobs.Prepare),
        ({"stand_by": False}, jobs.TrainUnrecorded),
        ({"run": {"folder": "/nowhere"}}, jobs.TrainRecorded),
    ],
)
def test_the_keys_of_a_configuration_choose_the_job(tmp_path: Path, config: dict[str, Any], kind: type) -> None:
    plain = settings.trial(tmp_path, arm="alone").plain()
    if "prepare" in config:
        config = {**config, "prepare": [plain]}
    elif not config.get("stand_by"):
        config = {**plain, **{key: value for key, value in config.items() if key in plain}}
    assert type(job := jobs.choose(config, jobs.KeptMaterials())) is kind
    assert job.is_recorded == (kind is jobs.TrainRecorded)


def test_other_configurations_are_refused() -> None:
    with pytest.raises(ValueError, match="this configuration is not a trial's"):
        jobs.choose({"stand_by": False}, unused)


def test_a_shard_fills_its_part_of_the_bank(tmp_path: Path) -> None:
    config = banked(tmp_path, epochs=2)
    missing = []
    for shard in ([0, 2], [0, 2], [1, 2]):
        assert jobs.choose({"prepare": [config.plain()], "shard": shard}, unused).step().values["status"] == "finished"
        missing.append(unbanked([config]))
    assert missing[0] == missing[1] > 0, "the same part twice"
    assert missing[2] == 0


def test_a_fault_in_preparing_is_reported_not_raised(tmp_path: Path) -> None:
    (tmp_path / BANKS).write_text("a file where a folder must be")
    report = jobs.choose({"prepare": [banked(tmp_path).plain()]}, unused).step()
    assert (report.ended, report.ends_process) == (True, False)
    assert report.values["status"] == "interrupted", "it may pass"
    assert BANKS in report.values["reason"]


@pytest.mark.parametrize(
    ("fault", "status", "ends_process"),
    [
        (OSError("gone"), "interrupted", False),
        (Interrupted("OSError: gone"), "interrupted", False),
        (MemoryError("gone"), "interrupted", True),
        (RuntimeError("gone"), "failed", False),
    ],
    ids=lambda value: type(value).__name__ if isinstance(value, Exception) else str(value),
)
def test_what_preparing_raises_is_told_by_its_kind(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, fault: Exception, status: str, ends_process: bool
) -> None:
    def broken(config: Any) -> None:
        raise fault

    monkeypatch.setattr(preparation, "ensure_trained", broken)
    report = jobs.choose({"prepare": [banked(tmp_path).plain()]}, unused).step()
    assert (report.ended, report.values["status"], report.ends_process) == (True, status, ends_process)
    assert "gone (" in report.values["reason"]


def test_materials_are_kept_for_the_next_trial_that_reads_the_same(tmp_path: Path) -> None:
    kept = jobs.KeptMaterials()
    first = kept(banked(tmp_path, seed=0), CPU)
    hotter = banked(tmp_path, seed=0, temperature={"kind": "fixed", "value": 9})
    assert kept(hotter, CPU) is first
    more = kept(banked(tmp_path, seed=1), CPU)
    assert more is not first, "another seed reads other pairs of the bank"
    alone = settings.trial(tmp_path, arm="alone")
    without = kept(alone, CPU)
    assert without.source is None
    assert kept(settings.trial(tmp_path, seed=5, arm="alone"), CPU) is without
    fewer = settings.trial(tmp_path, arm="alone", data={"name": "digits", "validation": 100, "train_examples": 50})
    assert len(kept(fewer, CPU).split.student) == 50


def test_a_wrong_configuration_names_every_fault() -> None:
    data = {"name": "digits", "validation": 10, "colour": 1}
    with pytest.raises(ValueError, match="this configuration is not a trial's") as error:
        jobs.parse({"seed": "0", "data": data, "recipe": {}})
    for key in ("seed", "data.digits.colour", "recipe.epochs", "student"):
        assert key in str(error.value)
