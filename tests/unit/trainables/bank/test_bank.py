"""A bank holds what was written, and survives what happens to files."""

import dataclasses
import hashlib
import logging
import pickle
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tests.support.banks import bank_at, flip_a_bit, random_arrays, rows, written
from tests.support.stores import bucket_in_memory
from trainables import checksums
from trainables.bank import PRECISIONS, Bank, BankCost, OpenBank, Segment, Table, paid
from trainables.data import Arrays
from trainables.data.digits import DigitsOptions
from trainables.data.views import Crop
from trainables.hashing import digest
from trainables.models import MODELS
from trainables.storage import Storage
from trainables.storage.objects import ObjectStore

WEIGHTS = "0123456789abcdef" * 4
NETWORK = MODELS.parse({"model": "resnet8"})


def segment_of(folder: Path, key: int) -> Path:
    """The folder of the segment that begins with a key."""
    (found,) = (file.parent for file in folder.rglob("keys.npy") if np.load(file)[0] == key)
    return found


def test_outputs_that_are_not_finite_are_refused(tmp_path: Path) -> None:
    for value in (np.nan, np.inf):
        with pytest.raises(ValueError, match="the teacher's outputs must be finite"):
            bank_at(tmp_path).write(np.array([0]), (np.array([[0.0, value]], np.float32), None), BankCost())


def test_rows_come_in_the_order_of_the_keys_from_whatever_segment(tmp_path: Path) -> None:
    opened = written(tmp_path, [1, 4, 9], [2, 3, 20], [5], pooled=True).open()
    keys = np.array([20, 1, 5, 4, 2, 1])
    logits, pooled = opened.rows(keys)
    assert pooled is not None
    for ours, theirs in zip((logits, pooled), rows(keys), strict=True):
        assert np.array_equal(ours, theirs)
    assert list(opened.missing(np.array([0, 1, 2, 6, 20, 21]))) == [0, 6, 21]
    cost = paid(bank_at(tmp_path).folder)
    assert (cost.pairs, cost.seconds, cost.device_seconds, cost.tflop) == (7, 3.0, 6.0, 9.0)
    assert cost.bytes == sum(file.stat().st_size for file in tmp_path.rglob("*.npy"))
    with pytest.raises(KeyError, match=r"lacks 2, e\.g\. example 0, view 7"):
        opened.rows(np.array([1, 8, 7]))
    with pytest.raises(KeyError, match="lacks 1"):
        OpenBank([], 50).rows(np.array([3]))


@pytest.mark.parametrize(
    "damage",
    [
        lambda folder: flip_a_bit(folder / "logits.npy"),
        lambda folder: flip_a_bit(folder / "keys.npy"),
        lambda folder: (folder / "logits.npy").write_bytes((folder / "logits.npy").read_bytes()[:-4]),
        lambda folder: (folder / "keys.npy").unlink(),
        lambda folder: (folder / "segment.json").write_text("{"),
        lambda folder: (folder / "segment.json").unlink(),
    ],
    ids=["logits", "keys", "cut short", "file gone", "manifest", "crash before the manifest"],
)
def test_a_damaged_segment_is_passed_over_and_made_again(
    tmp_path: Path, damage: Callable[[Path], object], caplog: pytest.LogCaptureFixture
) -> None:
    bank = written(tmp_path, [1, 4], [2, 3])
    damage(segment_of(tmp_path, 2))
    with caplog.at_level(logging.WARNING):
        assert list(bank.open().missing(np.arange(1, 5))) == [2, 3]
    crashed = not list(tmp_path.rglob("segment.json"))[1:]
    assert bool(caplog.records) != crashed, "what a crash leaves is nothing to warn of"
    written(tmp_path, [2, 3])
    assert np.array_equal(bank.open().rows(np.arange(1, 5))[0], rows(np.arange(1, 5))[0])


def test_precisions_and_widths_do_not_mix(tmp_path: Path) -> None:
    written(tmp_path, [1, 2])
    assert list(bank_at(tmp_path, "fixed16").open().missing(np.array([1]))) == [1]
    assert list(bank_at(tmp_path, pooled=True).open().missing(np.array([1]))) == [1]
    written(tmp_path, [1, 2], pooled=True)
    assert not len(bank_at(tmp_path, pooled=True).open().missing(np.array([1, 2])))
    assert bank_at(tmp_path).open().rows(np.array([2]))[1] is None


def test_a_bank_on_object_storage_is_fetched_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    bank = Bank(bucket_in_memory(monkeypatch).within("bank"), 50, "float32", False)
    for keys in (np.array([1, 4]), np.array([2, 3])):
        bank.write(keys, (rows(keys)[0], None), BankCost())
    expected = rows(np.arange(1, 5))[0]
    assert np.array_equal(bank.open().rows(np.arange(1, 5))[0], expected)
    copies = list((tmp_path / "cache").rglob("*.npy"))
    assert len(copies) == 4
    before = [copy.stat().st_mtime_ns for copy in copies]
    assert np.array_equal(bank.open().rows(np.arange(1, 5))[0], expected)
    assert [copy.stat().st_mtime_ns for copy in copies] == before
    flip_a_bit(next(copy for copy in copies if copy.name == "logits.npy"))
    assert len(bank.open().missing(np.arange(1, 5))) == 2, "a damaged copy is as bad as a damaged segment"


def test_a_segment_says_what_it_holds_and_what_it_cost(tmp_path: Path) -> None:
    cost = written(tmp_path, [1, 4]).write(np.array([7]), (rows(np.array([7]))[0], None), BankCost(1, 0.5, 1.0, 2.0))
    folder = segment_of(tmp_path, 7)
    assert sorted(file.name for file in folder.iterdir()) == ["keys.npy", "logits.npy", "segment.json"]
    content = {file: (folder / f"{file}.npy").read_bytes() for file in ("keys", "logits")}
    size = sum(map(len, content.values()))
    assert checksums.unsealed((folder / "segment.json").read_bytes()) == {
        "version": 1,
        "views": 50,
        "precision": "float32",
        "cost": {"pairs": 1, "seconds": 0.5, "device_seconds": 1.0, "tflop": 2.0, "bytes": size},
        "files": {
            file: {"size": len(data), "sha256": hashlib.sha256(data).hexdigest()} for file, data in content.items()
        },
    }
    assert cost == BankCost(1, 0.5, 1.0, 2.0, size)


def test_a_write_that_fails_in_the_middle_leaves_no_segment(monkeypatch: pytest.MonkeyPatch) -> None:
    class Full(ObjectStore):
        def write(self, path: str, content: bytes) -> None:
            if path.endswith("logits.npy"):
                raise OSError("no space left on device")
            super().write(path, content)

    folder = bucket_in_memory(monkeypatch)
    bank = Bank(Full(folder.root, folder.scheme), 50, "float32", False)
    with pytest.raises(OSError, match="no space left"):
        bank.write(np.array([1]), (rows(np.array([1]))[0], None), BankCost())
    assert [path.rpartition("/")[2] for path in folder.tree()] == ["keys.npy"]
    assert list(bank.open().missing(np.array([1]))) == [1]
    assert paid(bank.folder) == BankCost()


def test_the_bank_of_a_teacher_is_of_its_pixels_and_views(tmp_path: Path) -> None:
    arrays, data = random_arrays(4, size=8), DigitsOptions(validation=1)
    storage = Storage.at(str(tmp_path))

    def name(
        weights: str = WEIGHTS, images: Arrays = arrays, options: DigitsOptions = data, network: Any = NETWORK
    ) -> str:
        return Bank.at(storage, weights, network, options, images, "float32", False).name

    assert name().startswith(f"{WEIGHTS[:16]}-")
    assert len(name()) == 16 + len("-") + 16
    darker = dataclasses.replace(arrays, train_images=arrays.train_images // 2)
    cropped = DigitsOptions(validation=1, views=Crop(padding=1))
    wider = MODELS.parse({"model": "resnet8", "widths": [4, 4, 4, 4]})
    others = {name("def"), name(images=darker), name(options=cropped), name(network=wider)}
    assert len(others | {name()}) == 5
    assert name() == name(options=DigitsOptions(validation=3, split_seed=1)), "splits read the same bank"
    assert Bank.at(storage, WEIGHTS, NETWORK, cropped, arrays, "fixed16", True).views == 18


def test_rows_are_float32_in_both_precisions(tmp_path: Path) -> None:
    for precision in PRECISIONS.values():
        bank = bank_at(tmp_path / precision, precision, pooled=True)
        logits, vectors = rows(np.array([1, 4]))
        bank.write(np.array([1, 4]), (logits, vectors), BankCost())
        read, pooled = bank.open().rows(np.array([4]))
        assert pooled is not None
        assert [str(each.dtype) for each in (read, pooled)] == ["float32", "float32"]
        assert (read.tolist(), pooled.tolist()) == ([[4.0, -4.0]], [[8.0]])


def test_a_segment_without_pooled_vectors_is_read_beside_one_with(tmp_path: Path) -> None:
    def segment(key: int, pooled: bool) -> Segment:
        numbers = Table.of(np.array([[float(key)]]), "float32")
        return Segment(np.array([key]), numbers, numbers if pooled else None)

    keys = np.array([3, 1])
    logits, pooled = OpenBank([segment(1, False), segment(3, False)], 5).rows(keys)
    assert (logits.tolist(), pooled) == ([[3.0], [1.0]], None)
    logits, pooled = OpenBank([segment(1, True), segment(3, True)], 5).rows(keys)
    assert pooled is not None
    assert (logits.tolist(), pooled.tolist()) == ([[3.0], [1.0]], [[3.0], [1.0]])
    logits, pooled = OpenBank([segment(1, False), segment(3, True)], 5).rows(keys)
    assert (logits.tolist(), pooled) == ([[3.0], [1.0]], None)


def test_what_a_bank_lacks_is_named_in_the_order_of_keys() -> None:
    opened = OpenBank([Segment(np.array([10, 12]), Table.zeros(2, 1, "float32"), None)], 5)
    with pytest.raises(KeyError) as lacking:
        opened.rows(np.array([12, 23, 11, 10]))
    assert lacking.value.args == (
        "the bank must hold all 4 pairs of example and view, but it lacks 2, e.g. example 2, view 1",
    )
    with pytest.raises(KeyError) as lacking:
        opened.rows(np.array([], np.int64))
    assert "lacks 0, e.g. example 0, view 0" in lacking.value.args[0]
    assert opened.missing(np.array([9, 10, 11, 12, 13])).tolist() == [9, 11, 13]
    assert opened.missing(np.array([], np.int64)).tolist() == []


def test_only_whole_manifests_are_paid(tmp_path: Path) -> None:
    bank = written(tmp_path, [1], [2], [3])
    segment_of(tmp_path, 1).joinpath("segment.json").unlink()
    segment_of(tmp_path, 2).joinpath("segment.json").write_text("{")
    cost = paid(bank.folder)
    assert (cost.pairs, cost.seconds) == (1, 1.0)


def test_the_name_of_a_bank_is_its_teacher_and_what_it_saw(tmp_path: Path) -> None:
    arrays, data = random_arrays(4, size=8), DigitsOptions(validation=1, views=Crop(padding=1))
    seen = {"network": NETWORK.plain(), "pixels": arrays.fingerprint(), "views": data.views.plain()}
    bank = Bank.at(Storage.at(str(tmp_path)), WEIGHTS, NETWORK, data, arrays, "fixed16", True)
    name = f"{WEIGHTS[:16]}-{digest(seen)}"
    assert bank.folder.root == f"{tmp_path}/{name}"
    assert (bank.name, bank.views, bank.precision, bank.pooled) == (name, 18, "fixed16", True)


def test_warnings_name_the_segment_and_its_fault(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    bank = written(tmp_path, [1], [2])
    broken, cut = segment_of(tmp_path, 1), segment_of(tmp_path, 2)
    (broken / "segment.json").write_text("{")
    (cut / "logits.npy").write_bytes(b"")
    with caplog.at_level(logging.WARNING):
        assert bank.open().segments == ()
    assert sorted(entry.getMessage() for entry in caplog.records) == sorted(
        (
            f"{broken} is damaged and passed over",
            f"{cut} is damaged and passed over: logits.npy has 0 bytes, not 136",
        )
    )


def test_a_copy_lies_in_the_cache_and_is_fetched_again_if_cut(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    bank = Bank(bucket_in_memory(monkeypatch).within("bank"), 50, "float32", False)
    bank.write(np.array([1, 4]), (rows(np.array([1, 4]))[0], None), BankCost())
    bank.open()
    (copy,) = (tmp_path / "cache" / "ctkd-study" / "banks" / "bank").glob("segment-*/logits.npy")
    assert copy.parent.name == bank.folder.names()[0]
    copy.write_bytes(b"short")
    assert bank.open().rows(np.array([4]))[0].tolist() == [[4.0, -4.0]]
    other = Bank(bank.folder, 50, "float32", True)
    assert other.open().segments == ()


def test_a_segment_s_tables_are_numpy_files_with_scales_if_rounded(tmp_path: Path) -> None:
    bank = bank_at(tmp_path, "fixed16", pooled=True)
    bank.write(np.array([1, 4]), rows(np.array([1, 4])), BankCost())
    folder = segment_of(tmp_path, 1)
    assert folder.name.startswith("segment-")
    assert {file.stem: str(np.load(file).dtype) for file in folder.glob("*.npy")} == {
        "keys": "int64",
        "logits": "uint16",
        "logits.scale": "float32",
        "pooled": "uint16",
        "pooled.scale": "float32",
    }
    assert (folder / "segment.json").read_text().startswith('{\n "version": 1,\n')
    (segment,) = bank.open().segments
    assert segment.pooled is not None
    assert segment.pooled.scale is not None
    assert segment.pooled.read(np.array([1])).tolist() == [[8.0]]
    assert len(bank_at(tmp_path, "fixed16").open().segments) == 1, "pooled vectors do no harm"
    assert bank_at(tmp_path, "float32").open().segments == ()


def test_segments_whose_keys_interleave_hide_nothing_of_each_other() -> None:
    def segment(*keys: int) -> Segment:
        return Segment(np.array(keys), Table.of(np.array(keys, float)[:, None], "float32"), None)

    parts = [segment(2, 4, 20), segment(3, 9)]
    for segments in (parts, parts[::-1]):
        opened = OpenBank(segments, 50)
        assert opened.missing(np.array([3, 4, 5])).tolist() == [5]
        assert opened.rows(np.array([9, 4, 3]))[0].tolist() == [[9.0], [4.0], [3.0]]


def test_a_segment_is_mapped_not_read(tmp_path: Path) -> None:
    (segment,) = written(tmp_path, [1, 4], pooled=True).open().segments
    assert segment.pooled is not None
    for table in (segment.keys, segment.logits.values, segment.pooled.values):
        assert isinstance(table, np.memmap)
        assert not table.flags.writeable


def test_no_object_is_pickled_or_unpickled(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="Object arrays cannot be saved"):
        bank_at(tmp_path).write(np.array([{}]), (np.zeros((1, 2), np.float32), None), BankCost())
    bank, content = written(tmp_path, [1]), pickle.dumps({"a": 1})
    folder = segment_of(tmp_path, 1)
    meta = checksums.unsealed((folder / "segment.json").read_bytes())
    meta["files"]["keys"] = {"size": len(content), "sha256": hashlib.sha256(content).hexdigest()}
    (folder / "segment.json").write_bytes(checksums.sealed(meta))
    (folder / "keys.npy").write_bytes(content)
    with pytest.raises(ValueError, match=r"pickled \(object\) data"):
        bank.open()
