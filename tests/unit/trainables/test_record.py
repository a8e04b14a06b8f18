"""A damaged checkpoint is passed over, never trusted, never fatal."""

import logging
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch

from trainables import record
from trainables.record import Manifest, Row
from trainables.storage import Storage


def manifest(epoch: int) -> Manifest:
    return Manifest(
        study="s", uid="u", trial="t", arm="a", setting="T=4", seed=0, fingerprint="f", config={"x": 1}, attempt=1,
        epoch=epoch, epochs=3, status="running",
    )  # fmt: skip


def save(folder: Path, index: int, epoch: int) -> Path:
    path = folder / f"checkpoint_{index:06d}"
    rows: list[Row] = [{"epoch": e, "val_top1": 50.0 + e, "kd_loss": None} for e in range(1, epoch + 1)]
    tensors = {"weight": torch.full((3,), float(epoch))}
    record.write_checkpoint(
        Storage.at(str(path)), manifest(epoch), rows, tensors, tensors, np.array([True, False, True])
    )
    return path


def flip(path: Path) -> None:
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 1
    path.write_bytes(content)


DAMAGE: dict[str, Callable[[Path], object]] = {
    "no manifest": lambda c: (c / record.MANIFEST).unlink(),
    "manifest cut short": lambda c: (c / record.MANIFEST).write_bytes((c / record.MANIFEST).read_bytes()[:40]),
    "manifest no object": lambda c: (c / record.MANIFEST).write_text("[]"),
    "state cut short": lambda c: (c / record.STATE).write_bytes((c / record.STATE).read_bytes()[:-1]),
    "state flipped": lambda c: flip(c / record.STATE),
    "history flipped": lambda c: flip(c / record.HISTORY),
    "weights flipped": lambda c: flip(c / record.BEST),
    "bits flipped": lambda c: flip(c / record.CORRECT),
    "file gone": lambda c: (c / record.BEST).unlink(),
}


def test_round_trip(tmp_path: Path) -> None:
    save(tmp_path, 0, 1)
    save(tmp_path, 1, 2)
    found = record.scan(Storage.at(str(tmp_path)))
    assert found.newest is not None
    assert found.newest.index == 1
    assert found.next_index == 2
    assert found.damaged == ()
    assert [row["epoch"] for row in found.newest.rows()] == [1, 2]
    assert found.newest.rows()[0]["kd_loss"] is None
    assert torch.equal(found.newest.state()["weight"], torch.full((3,), 2.0))
    assert found.newest.test_correct(3).tolist() == [True, False, True]


@pytest.mark.parametrize("damage", DAMAGE)
def test_damaged_checkpoint_is_passed_over_with_a_word(
    tmp_path: Path, damage: str, caplog: pytest.LogCaptureFixture
) -> None:
    save(tmp_path, 10_000, 1)
    DAMAGE[damage](save(tmp_path, 10_001, 2))
    with caplog.at_level(logging.WARNING):
        found = record.scan(Storage.at(str(tmp_path)))
    assert found.newest is not None
    assert found.newest.manifest.epoch == 1
    assert found.next_index == 10_002, "a damaged checkpoint's number is never used again"
    assert len(found.damaged) == 1
    assert "checkpoint_010001 is passed over" in caplog.text


def test_nothing_whole_means_from_the_start(tmp_path: Path) -> None:
    flip(save(tmp_path, 4, 1) / record.STATE)
    found = record.scan(Storage.at(str(tmp_path)))
    assert found.newest is None
    assert found.next_index == 5
    assert record.scan(Storage.at(str(tmp_path / "absent"))) == record.Scan(None, 0, ())


def test_newer_schema_is_not_guessed_at(tmp_path: Path) -> None:
    path = save(tmp_path, 0, 1) / record.MANIFEST
    path.write_text(path.read_text().replace('"version": 1', '"version": 99'))
    assert record.scan(Storage.at(str(tmp_path))).newest is None


def test_prune_keeps_two_whole_ones_and_what_is_newer(tmp_path: Path) -> None:
    for index in range(5):
        save(tmp_path, index, index + 1)
    (tmp_path / "checkpoint_000003" / record.MANIFEST).unlink()
    record.prune(Storage.at(str(tmp_path)), keep=2)
    assert sorted(path.name for path in tmp_path.iterdir()) == [f"checkpoint_{i:06d}" for i in (2, 3, 4)]


def test_a_number_that_is_not_finite_cannot_be_written(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="JSON"):
        record.write_checkpoint(
            Storage.at(str(tmp_path)), manifest(1), [{"epoch": 1, "val_loss": float("nan")}], {}, None, None
        )
