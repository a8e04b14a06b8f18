"""Teachers are trained, and banks filled, once."""

import dataclasses
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from tests.support import settings
from tests.support.banks import banked, segments
from trainables import lease, preparation, record, teacher
from trainables.bank import BANKS, Glance, drawn, needed, representatives
from trainables.config import TrialConfig
from trainables.data import Loaded, split
from trainables.data.digits import DigitsOptions
from trainables.inputs import ChangedInputs
from trainables.materials import load_materials
from trainables.record import Checkpoint, Contents, Run
from trainables.sources import Banked
from trainables.storage import Storage


def test_a_study_s_bank_holds_the_union_once_in_however_many_parts(tmp_path: Path) -> None:
    configs = [banked(tmp_path, seed, epochs) for seed in (0, 1) for epochs in (2, 5)]
    configs.append(banked(tmp_path, teacher_source="online"))
    chosen = representatives(configs)
    assert [(c.teacher_source, c.seed, c.recipe.epochs) for c in chosen] == [
        ("bank32", 0, 5),
        ("bank32", 1, 5),
        ("online", 0, 3),
    ]
    preparation.ensure_trained(configs[0])
    for shard in (2, 0, 1):
        preparation.ensure_banked(chosen, shard, 3)
    arrays = configs[0].data.load()
    members = split(arrays.train_labels, configs[0].data).student
    wanted = needed({0: 5, 1: 5}, members, len(arrays.train_labels), 50)
    made = segments(tmp_path)
    assert sum(meta["cost"]["pairs"] for meta in made) == len(wanted)
    assert len(made) == 3
    for config in configs:
        preparation.ensure(config)
    assert segments(tmp_path) == made, "nothing is left to do"
    preparation.ensure(banked(tmp_path, 2, 5))
    seed_more = needed({0: 5, 1: 5, 2: 5}, members, len(arrays.train_labels), 50)
    assert sum(meta["cost"]["pairs"] for meta in segments(tmp_path)) == len(seed_more)


def test_teacher_is_trained_once_and_resumable(tmp_path: Path) -> None:
    config = settings.trial(tmp_path)
    rows: list[Any] = []
    assert preparation.ensure(config, rows.append) is not None
    assert len(rows) == 2
    again = preparation.ensure(config, rows.append)
    assert again is not None
    assert again.status == "finished"
    assert len(rows) == 2
    assert again.trial == f"teacher-{again.fingerprint}"
    assert (again.arm, again.setting, again.seed) == ("teacher", "resnet8", 0)
    newest = teacher.record_of(config, Storage.at(str(tmp_path)))
    assert newest is not None
    assert newest.manifest.config["data"]["train_examples"] is None, "the teacher sees all that validation leaves"


# -- what the teacher is, by content ----------------------------------------------------------------------------------


def trained(config: TrialConfig, folder: Path) -> Checkpoint:
    found = teacher.record_of(config, Storage.at(str(folder)), check_hashes=True)
    assert found is not None
    return found


def retrain_with_other_rounding(config: TrialConfig, folder: Path) -> str:
    """Put a teacher of the same recipe in the place of the trained one, as another machine would train it."""
    found = trained(config, folder)
    weights = {key: value * (1 + 1e-3) if value.is_floating_point() else value for key, value in found.best().items()}
    rows, state, correct = found.rows(), found.state(), found.test_correct(797)
    found.storage.remove_folder("")
    run = Run.begin(found.storage, record.scan(found.storage), 1)
    run.save(found.manifest, Contents(rows, state, weights, correct))
    again = teacher.weights_of(trained(config, folder))
    assert again is not None
    return again


def test_a_teacher_of_other_data_is_another_teacher(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    config, rows = settings.trial(tmp_path), list[Any]()
    preparation.ensure(config, rows.append)
    arrays = config.data.load()
    changed = dataclasses.replace(arrays, train_images=255 - arrays.train_images)
    monkeypatch.setattr(DigitsOptions, "load", lambda options: changed)
    preparation.ensure(config, rows.append)
    assert len(rows) == 4, "trained anew"
    homes = Storage.at(str(tmp_path)).names(teacher.TEACHERS)
    assert len(homes) == 2
    assert {name.partition("-")[0] for name in homes} == {teacher.fingerprint(config)}
    assert len(list((tmp_path / BANKS).iterdir())) == 2


def test_a_retrained_teacher_fills_a_bank_of_its_own(tmp_path: Path) -> None:
    """Attack 6: one bank held the outputs of two teachers, silently."""
    short, long = banked(tmp_path, 0, 1), banked(tmp_path, 0, 4)
    preparation.ensure(short)
    before = teacher.weights_of(trained(short, tmp_path))
    weights = retrain_with_other_rounding(short, tmp_path)
    assert weights != before
    preparation.ensure(long)
    names = sorted(path.name for path in (tmp_path / BANKS).iterdir())
    assert sorted(name.partition("-")[0] for name in names) == sorted([str(before)[:16], weights[:16]])
    source = load_materials(long, torch.device("cpu")).source
    assert isinstance(source, Banked)
    data = Loaded.of(long.data)
    look = Glance(teacher.load(long, data).network, long.data, data.arrays, torch.device("cpu"))
    keys = drawn([long], data.arrays, data.split)
    assert np.allclose(source.bank.rows(keys)[0], look(keys)[0], atol=1e-6), "all of the one teacher"


def test_another_teacher_than_the_studys_is_refused_before_its_bank_is_filled(tmp_path: Path) -> None:
    config = banked(tmp_path)
    preparation.ensure_trained(config)
    before = teacher.weights_of(trained(config, tmp_path))
    expecting = config.model_copy(update={"run": config.run.model_copy(update={"weights": before})})
    preparation.ensure_trained(expecting)
    retrain_with_other_rounding(config, tmp_path)
    with pytest.raises(ChangedInputs, match=r"teacher \(weights\): "):
        preparation.ensure(expecting)
    assert segments(tmp_path) == []


def test_a_teacher_whose_weights_are_damaged_is_trained_on_and_is_the_same(tmp_path: Path) -> None:
    config, rows = banked(tmp_path), list[Any]()
    preparation.ensure(config)
    before, made = trained(config, tmp_path), segments(tmp_path)
    file = Path(before.storage.root) / before.name / record.BEST
    content = bytearray(file.read_bytes())
    content[len(content) // 2] ^= 1
    file.write_bytes(content)
    assert teacher.record_of(config, Storage.at(str(tmp_path)), check_hashes=True) is None
    preparation.ensure(config, rows.append)
    assert [row["epoch"] for row in rows] == [2], "it goes on from the checkpoint before"
    after = trained(config, tmp_path)
    assert after.name != before.name
    assert teacher.weights_of(after) == teacher.weights_of(before)
    assert segments(tmp_path) == made, "so its bank still serves"


def test_a_lease_is_taken_only_if_there_is_something_to_do(tmp_path: Path) -> None:
    config = banked(tmp_path)
    preparation.ensure(config)
    leases = Storage.at(str(tmp_path)).within(preparation.LEASES)
    taken = leases.tree()
    assert sorted(lease.terms(leases.within(name)) for name in leases.names()) == [[1], [1]], "teacher and bank"
    preparation.ensure(config)
    preparation.ensure(config.model_copy(update={"seed": 0, "teacher_source": "online"}))
    assert leases.tree() == taken
    preparation.ensure(config.model_copy(update={"seed": 1}))
    assert sorted(lease.terms(leases.within(name)) for name in leases.names()) == [[1], [1, 2]]


def test_who_waits_for_the_lease_finds_the_work_done(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    config, rows = banked(tmp_path), list[Any]()

    class DoneMeanwhile(lease.Lease):
        def acquire(self) -> None:
            with monkeypatch.context() as patch:
                patch.setattr(preparation, "Lease", lease.Lease)
                preparation.ensure(config)  # by another process
            super().acquire()

    monkeypatch.setattr(preparation, "Lease", DoneMeanwhile)
    preparation.ensure(config, rows.append)
    assert rows == []
    assert sum(meta["cost"]["pairs"] for meta in segments(tmp_path)) == pairs_of(config)


def pairs_of(config: TrialConfig) -> int:
    data = Loaded.of(config.data)
    return len(drawn([config], data.arrays, data.split))
