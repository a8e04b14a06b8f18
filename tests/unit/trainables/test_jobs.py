"""Jobs: which one a configuration asks for, and what is kept from one to the next."""

from pathlib import Path
from typing import Any

import pytest
import torch

from tests.support import settings
from tests.support.banks import banked
from trainables import jobs
from trainables.bank import BANKS, unbanked

CPU = torch.device("cpu")


def unused(*arguments: Any) -> Any:
    raise AssertionError("this job reads no data")


@pytest.mark.parametrize(
    ("config", "kind"),
    [
        ({"stand_by": True}, jobs.StandBy),
        ({"prepare": [{}]}, jobs.Prepare),
        ({"prepare": [{}], "shard": (1, 2)}, jobs.Prepare),
        ({"stand_by": False}, jobs.TrainStudent),
        ({}, jobs.TrainStudent),
    ],
)
def test_the_keys_of_a_configuration_choose_the_job(tmp_path: Path, config: dict[str, Any], kind: type) -> None:
    plain = settings.trial(tmp_path, arm="alone").plain()
    config = {**plain, **config} if kind is jobs.TrainStudent and not config else config
    if "prepare" in config:
        config = {**config, "prepare": [plain]}
    if config == {"stand_by": False}:
        with pytest.raises(ValueError, match="this configuration is not a trial's"):
            jobs.choose(config, unused)
        return
    assert type(jobs.choose(config, jobs.KeptMaterials())) is kind


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
    assert report.ended
    assert report.values["status"] == "failed"
    assert BANKS in report.values["reason"]


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
