"""Teachers are trained, and banks filled, once."""

from pathlib import Path
from typing import Any

from tests.support import settings
from tests.support.banks import banked, segments
from trainables import preparation, record, teacher
from trainables.bank import (
    needed,
    representatives,
)
from trainables.data import split
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
    folder = Storage.at(str(tmp_path)).within(teacher.TEACHERS, teacher.fingerprint(config))
    newest = record.scan(folder).newest
    assert newest is not None
    assert newest.manifest.config["data"]["train_examples"] is None, "the teacher sees all that validation leaves"
