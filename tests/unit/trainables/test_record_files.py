"""What exactly stands in a trial's folder, and what is said of what is damaged there."""

import json
import logging
import pickle
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch

from trainables import record
from trainables.record import Manifest, Row
from trainables.storage import Storage

STATE, BEST = {"weight": torch.tensor([1.0, 2.0])}, {"weight": torch.tensor([3.0, 4.0])}
CORRECT = np.array([True, False, True, True, False, False, False, False, True])


def manifest(epoch: int) -> Manifest:
    return Manifest(
        study="s", uid="u", trial="t", arm="a", setting="T=4", seed=0, fingerprint="f", config={"x": 1}, attempt=1,
        epoch=epoch, epochs=3, status="running",
    )  # fmt: skip


def save(folder: Path, index: int, epoch: int = 1) -> Path:
    """Save a checkpoint as a worker does, and return its folder."""
    rows: list[Row] = [{"epoch": e, "val_top1": 50.5, "kd_loss": None} for e in range(1, epoch + 1)]
    record.write_into(Storage.at(str(folder)), index, manifest(epoch), rows, STATE, BEST, CORRECT)
    return folder / f"checkpoint_{index:06d}"


def newest(folder: Path) -> record.Checkpoint:
    found = record.scan(Storage.at(str(folder))).newest
    assert found is not None
    return found


def test_a_checkpoint_holds_these_files_stamped_with_size_and_sha256(tmp_path: Path) -> None:
    folder = save(tmp_path, 7, epoch=2)
    assert folder.name == "checkpoint_000007"
    assert (folder / "history.jsonl").read_text() == (
        '{"epoch": 1, "val_top1": 50.5, "kd_loss": null}\n{"epoch": 2, "val_top1": 50.5, "kd_loss": null}\n'
    )
    assert (folder / "test_correct.bits").read_bytes() == bytes([0b10110000, 0b10000000])
    text = (folder / "manifest.json").read_text()
    assert text.startswith('{\n "version": 1,\n "study": "s",\n')
    files = json.loads(text)["files"]
    assert list(files) == ["history.jsonl", "state.pt", "best.pt", "test_correct.bits"]
    assert sorted(path.name for path in folder.iterdir()) == sorted([*files, "manifest.json"])
    assert files["test_correct.bits"] == {
        "size": 2,
        "sha256": "b154abfca3e24c96fafc6d08347741dc3b8fd7517aab039cda3e232dc9fd0fd7",
    }
    assert all(stamp["size"] == (folder / name).stat().st_size for name, stamp in files.items())


def test_a_checkpoint_gives_back_what_was_saved(tmp_path: Path) -> None:
    save(tmp_path, 0)
    checkpoint = newest(tmp_path)
    assert torch.equal(checkpoint.state()["weight"], STATE["weight"])
    assert torch.equal(checkpoint.best()["weight"], BEST["weight"])
    correct = checkpoint.test_correct(9)
    assert correct.dtype == np.bool_
    assert correct.tolist() == CORRECT.tolist()


def test_nothing_selected_yet_leaves_two_files_out(tmp_path: Path) -> None:
    storage = Storage.at(str(tmp_path))
    stamped = record.write_into(storage, 0, manifest(1), [], STATE, None, None)
    assert list(stamped.files) == ["history.jsonl", "state.pt"]
    assert newest(tmp_path).manifest == stamped


def test_a_save_that_fails_in_the_middle_leaves_no_manifest(tmp_path: Path) -> None:
    (tmp_path / "checkpoint_000000" / "state.pt" / "in the way").mkdir(parents=True)
    with pytest.raises(OSError, match=r"state\.pt"):
        save(tmp_path, 0)
    assert not (tmp_path / "checkpoint_000000" / "manifest.json").exists()
    assert record.scan(Storage.at(str(tmp_path))).newest is None


class Mischief:
    """Does something when it is unpickled."""

    def __reduce__(self) -> tuple[Callable[[str], object], tuple[str]]:
        return print, ("unpickled",)


@pytest.mark.parametrize("environment", [None, "1"])
def test_a_checkpoint_runs_no_code(
    tmp_path: Path, environment: str | None, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Not even where torch is told to trust every file by default."""
    if environment is not None:
        monkeypatch.setenv("TORCH_FORCE_NO_WEIGHTS_ONLY_LOAD", environment)
    record.write_into(Storage.at(str(tmp_path)), 0, manifest(1), [], {"weight": Mischief()}, None, None)
    with pytest.raises(pickle.UnpicklingError, match="weights_only"):
        newest(tmp_path).state()
    assert "unpickled" not in capsys.readouterr().out


def cut_state(folder: Path) -> str:
    size = (folder / "state.pt").stat().st_size
    (folder / "state.pt").write_bytes((folder / "state.pt").read_bytes()[:-1])
    return f"state.pt has {size - 1} bytes, not {size}"


def lose_weights(folder: Path) -> str:
    size = (folder / "best.pt").stat().st_size
    (folder / "best.pt").unlink()
    return f"best.pt has no bytes, not {size}"


def lose_manifest(folder: Path) -> str:
    (folder / "manifest.json").unlink()
    return "no manifest: the save was cut short"


def spoil_manifest(folder: Path) -> str:
    (folder / "manifest.json").write_text("[]")
    return "the manifest cannot be read"


def change_bits(folder: Path) -> str:
    (folder / "test_correct.bits").write_bytes(bytes(2))
    return "test_correct.bits has changed"


def come_from_the_future(folder: Path) -> str:
    path = folder / "manifest.json"
    path.write_text(path.read_text().replace('"version": 1', '"version": 2'))
    return "schema 2 is newer than this version's 1"


@pytest.mark.parametrize(
    "damage", [cut_state, lose_weights, lose_manifest, spoil_manifest, change_bits, come_from_the_future]
)
def test_what_is_damaged_is_named_with_the_reason(
    tmp_path: Path, damage: Callable[[Path], str], caplog: pytest.LogCaptureFixture
) -> None:
    save(tmp_path, 0)
    reason = damage(save(tmp_path, 1))
    with caplog.at_level(logging.INFO):
        found = record.scan(Storage.at(str(tmp_path)), level=logging.INFO)
    assert found.damaged == (f"checkpoint_000001: {reason}",)
    assert [(entry.levelname, entry.getMessage()) for entry in caplog.records] == [
        ("INFO", f"{tmp_path}/checkpoint_000001 is passed over: {reason}")
    ]


def test_sizes_alone_do_not_notice_changed_bits(tmp_path: Path) -> None:
    change_bits(save(tmp_path, 0))
    storage = Storage.at(str(tmp_path))
    assert record.scan(storage).newest is None
    assert record.scan(storage, check_hashes=False).newest is not None
    cut_state(tmp_path / "checkpoint_000000")
    assert record.scan(storage, check_hashes=False).newest is None


def test_the_hundredth_launch_comes_after_the_ninety_ninth(tmp_path: Path) -> None:
    """Numbers of seven digits are sorted as numbers: "1000000" is spelled before "999999"."""
    save(tmp_path, 1_000_000, epoch=2)
    save(tmp_path, 999_999)
    found = record.scan(Storage.at(str(tmp_path)))
    assert found.newest is not None
    assert (found.newest.index, found.newest.manifest.epoch, found.next_index) == (1_000_000, 2, 1_000_001)
    record.prune(Storage.at(str(tmp_path)), keep=1)
    assert [path.name for path in tmp_path.iterdir()] == ["checkpoint_1000000"]


def test_only_checkpoints_are_scanned_and_removed(tmp_path: Path) -> None:
    for name in ("checkpoint_00001", "checkpoint_000009.tmp", "old_checkpoint_000009", "notes"):
        (tmp_path / name).mkdir()
    for index in range(3):
        save(tmp_path, index)
    found = record.scan(Storage.at(str(tmp_path)))
    assert (found.next_index, found.damaged) == (3, ())
    record.prune(Storage.at(str(tmp_path)), keep=1)
    assert sorted(path.name for path in tmp_path.iterdir()) == [
        "checkpoint_000002", "checkpoint_000009.tmp", "checkpoint_00001", "notes", "old_checkpoint_000009",
    ]  # fmt: skip


def test_two_checkpoints_are_kept_and_pruning_reads_no_files(tmp_path: Path) -> None:
    for index in range(4):
        save(tmp_path, index)
    change_bits(tmp_path / "checkpoint_000003")
    record.prune(Storage.at(str(tmp_path)))
    # The newest is whole as far as sizes tell; reading all files at every save would be slow.
    assert sorted(path.name for path in tmp_path.iterdir()) == ["checkpoint_000002", "checkpoint_000003"]


def test_a_later_versions_keys_are_no_fault(tmp_path: Path) -> None:
    path = save(tmp_path, 0) / "manifest.json"
    content = json.loads(path.read_text())
    path.write_text(json.dumps({**content, "moon_phase": "full"}))
    assert newest(tmp_path).manifest.files["test_correct.bits"].size == 2
