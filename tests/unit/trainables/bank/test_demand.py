"""Which banks trials read, and the smallest set of trials that reads the same."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tests.support import settings
from tests.support.banks import CROP, banked, rows
from trainables import preparation
from trainables.bank import (
    BANKS,
    Bank,
    BankCost,
    bank_cost,
    bank_of,
    banks_of,
    demand,
    drawn,
    representatives,
    unbanked,
)
from trainables.config import TrialConfig
from trainables.data import Loaded, split
from trainables.storage import Storage
from trainables.teacher import known_weights

ALONE: dict[str, Any] = {"distiller": {"name": "none"}, "temperature": None, "teacher": None, "teacher_source": None}


def of(configs: list[TrialConfig]) -> list[tuple[object, ...]]:
    return [(c.teacher_source, c.distiller.needs, c.seed, c.recipe.epochs) for c in configs]


def test_for_each_bank_need_and_seed_the_longest_trial_stands(tmp_path: Path) -> None:
    configs = [
        *(banked(tmp_path, seed, epochs) for seed in (0, 1) for epochs in (2, 5, 3)),
        banked(tmp_path, 0, 9, distiller={"name": "pkt"}),
        banked(tmp_path, 0, 4, teacher_source="bank16"),
        *(banked(tmp_path, seed, 7, teacher_source="online") for seed in (0, 1)),
    ]
    assert of(representatives(configs)) == [
        ("bank32", "logits", 0, 5),
        ("bank32", "logits", 1, 5),
        ("bank32", "pooled", 0, 9),
        ("bank16", "logits", 0, 4),
        ("online", "logits", 0, 7),
    ]


def test_trials_read_one_bank_with_pooled_vectors_if_any_does(tmp_path: Path) -> None:
    plain, pooled = banked(tmp_path, 0, 3), banked(tmp_path, 1, 2, distiller={"name": "pkt"})
    others = [banked(tmp_path, teacher_source="online"), banked(tmp_path, **ALONE)]
    preparation.ensure_trained(plain)
    for configs in ([plain, pooled, *others], [pooled, plain, *others]):
        ((bank, config, data, keys),) = banks_of(configs)
        assert bank.pooled
        assert config == pooled
        assert np.array_equal(keys, drawn([plain, pooled], data.arrays, data.split))
        assert unbanked(configs) == len(keys)
    assert list(banks_of(others)) == []
    assert unbanked(others) == 0


def test_what_is_drawn_grows_with_seeds_and_epochs_of_any_trial(tmp_path: Path) -> None:
    short, long, other = banked(tmp_path, 0, 1), banked(tmp_path, 0, 3), banked(tmp_path, 1, 1)
    arrays = short.data.load()
    parts = split(arrays.train_labels, short.data)

    def keys(*configs: TrialConfig) -> set[int]:
        return set(drawn(configs, arrays, parts).tolist())

    assert len(keys(short)) == 40, "one view of each example"
    assert keys(short) < keys(long) == keys(long, short) == keys(short, long)
    assert keys(short, other) == keys(short) | keys(other) > keys(short)


@pytest.mark.parametrize("changes", [{"teacher_source": "bank16"}, {"data": {**CROP, "split_seed": 1}}])
def test_trials_of_another_bank_are_kept_apart(tmp_path: Path, changes: dict[str, Any]) -> None:
    configs = [banked(tmp_path), banked(tmp_path, **changes)]
    for config in configs:
        preparation.ensure_trained(config)
    assert len(list(banks_of(configs))) == 2


def test_the_cost_is_that_of_all_the_teachers_banks_and_no_others(tmp_path: Path) -> None:
    weights, storage = "0123456789abcdef" * 4, Storage.at(str(tmp_path))
    assert bank_cost(weights, storage) == BankCost()
    for name in (f"{weights[:16]}-a", f"{weights[:16]}-b", f"other{weights[:16]}-a"):
        bank = Bank(storage.within(BANKS, name), 50, "float32", False)
        bank.write(np.array([1]), (rows(np.array([1]))[0], None), BankCost(1, 1.0, 2.0, 3.0))
    cost = bank_cost(weights, storage)
    assert (cost.pairs, cost.seconds, cost.device_seconds, cost.tflop) == (2, 2.0, 4.0, 6.0)


def test_of_equally_long_trials_the_first_stands(tmp_path: Path) -> None:
    configs = [banked(tmp_path, run={"teachers": str(tmp_path), "trial": name}) for name in ("a", "b")]
    assert [config.run.trial for config in representatives(configs)] == ["a"]
    assert representatives([]) == []


def test_banks_are_told_apart_by_teacher_data_and_storage(tmp_path: Path) -> None:
    plain = banked(tmp_path)
    others = [
        banked(tmp_path, teacher={**settings.TEACHER, "seed": 1}),
        banked(tmp_path, data={**CROP, "validation": 99}),
        banked(tmp_path, run={"teachers": str(tmp_path / "elsewhere")}),
        banked(tmp_path, teacher_source="bank16"),
    ]
    assert representatives([plain, *others]) == [plain, *others]
    same = banked(tmp_path, distiller={"name": "kd", "kd_weight": 0.5}, student={"model": "resnet8"})
    assert representatives([plain, same]) == [plain]


def test_the_bank_of_a_trial(tmp_path: Path) -> None:
    config = banked(tmp_path, teacher_source="bank16", distiller={"name": "pkt"})
    arrays = config.data.load()
    bank = bank_of(config, arrays, "abc")
    assert config.teacher is not None
    assert (bank.views, bank.precision, bank.pooled) == (50, "fixed16", True)
    assert bank.folder.root.startswith(f"{tmp_path}/.banks/abc-")
    banks, network = Storage.at(str(tmp_path)).within(BANKS), config.teacher.network()
    assert bank == Bank.at(banks, "abc", network, config.data, arrays, "fixed16", True)
    plain = bank_of(banked(tmp_path), arrays, "abc")
    assert (plain.precision, plain.pooled) == ("float32", False)


def test_an_opened_bank_lacks_what_is_not_written_yet(tmp_path: Path) -> None:
    config = banked(tmp_path, 0, 1)
    assert unbanked([config]) == 40, "without a teacher, it lacks all"
    with pytest.raises(FileNotFoundError, match=f"its teacher, which is not trained in {tmp_path}"):
        list(banks_of([config]))
    preparation.ensure_trained(config)
    ((bank, _, data, keys),) = banks_of([config])
    weights = known_weights(config, Loaded.of(config.data).for_teacher().sha256)
    assert weights is not None
    assert bank == bank_of(config, data.arrays, weights)
    assert (len(keys), unbanked([config])) == (40, 40)
    bank.write(keys[:7], (rows(keys[:7])[0], None), BankCost())
    assert unbanked([config]) == 33
    assert unbanked([config, banked(tmp_path, teacher_source="online")]) == 33
    assert unbanked([]) == 0


def test_seeds_and_epochs_of_trials_are_united(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    asked: list[Any] = []
    monkeypatch.setattr(demand, "needed", lambda *parts: asked.append(parts))
    configs = [banked(tmp_path, seed, epochs) for seed, epochs in ((0, 4), (0, 2), (3, 1), (0, 5), (3, 2))]
    arrays = configs[0].data.load()
    parts = split(arrays.train_labels, configs[0].data)
    drawn(configs, arrays, parts)
    assert asked == [({0: 5, 3: 2}, parts.student, 1000, 50)]
