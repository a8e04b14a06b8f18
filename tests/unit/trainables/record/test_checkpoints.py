"""What exactly a checkpoint holds, and that nothing is read of it but what its manifest proves."""

import json
import logging
import pickle
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from tests.support.records import flip_a_bit, plain_manifest, saved
from trainables import checksums, record
from trainables.record import Checkpoint, Contents, Damaged, Row, Run, Scan
from trainables.storage import Storage

STATE, BEST = {"weight": torch.tensor([1.0, 2.0])}, {"weight": torch.tensor([3.0, 4.0])}
CORRECT = np.array([True, False, True, True, False, False, False, False, True])
FILES = ["history.jsonl", "state.pt", "best.pt", "test_correct.bits"]


def save(trial: Path, epoch: int = 1) -> Path:
    """Save a checkpoint as a worker does, and return its folder."""
    rows: list[Row] = [{"epoch": e, "val_top1": 50.5, "kd_loss": None} for e in range(1, epoch + 1)]
    storage = Storage.at(str(trial))
    return trial / saved(storage, plain_manifest(epoch), rows, state=STATE, best=BEST, correct=CORRECT)


def scanned(trial: Path, check_hashes: bool = True) -> Scan:
    return record.scan(Storage.at(str(trial)), check_hashes)


def newest(trial: Path) -> Checkpoint:
    found = scanned(trial).newest
    assert found is not None
    return found


def rewrite(manifest: Path, **changes: Any) -> None:
    """Change a manifest so that it still proves itself."""
    content = checksums.unsealed(manifest.read_bytes())
    manifest.write_bytes(checksums.sealed({**content, **changes}))


def test_a_checkpoint_holds_these_files_stamped_with_size_and_sha256(tmp_path: Path) -> None:
    folder = save(tmp_path, epoch=2)
    assert (folder / "history.jsonl").read_text() == (
        '{"epoch": 1, "val_top1": 50.5, "kd_loss": null}\n{"epoch": 2, "val_top1": 50.5, "kd_loss": null}\n'
    )
    assert (folder / "test_correct.bits").read_bytes() == bytes([0b10110000, 0b10000000])
    text = (folder / "manifest.json").read_text()
    assert text.startswith('{\n "version": 3,\n "study": "s",\n')
    content = json.loads(text)
    files = content["files"]
    assert (list(files), list(content)[-1]) == (FILES, "checksum")
    assert sorted(path.name for path in folder.iterdir()) == sorted([*files, "manifest.json"])
    assert files["test_correct.bits"] == {
        "size": 2,
        "sha256": "b154abfca3e24c96fafc6d08347741dc3b8fd7517aab039cda3e232dc9fd0fd7",
    }
    assert all(stamp["size"] == (folder / name).stat().st_size for name, stamp in files.items())


def test_a_checkpoint_gives_back_what_was_saved(tmp_path: Path) -> None:
    save(tmp_path, epoch=2)
    checkpoint = newest(tmp_path)
    assert [row["epoch"] for row in checkpoint.rows()] == [1, 2]
    assert checkpoint.rows()[0]["kd_loss"] is None
    assert torch.equal(checkpoint.state()["weight"], STATE["weight"])
    assert torch.equal(checkpoint.best()["weight"], BEST["weight"])
    correct = checkpoint.test_correct(9)
    assert correct.dtype == np.bool_
    assert correct.tolist() == CORRECT.tolist()


def test_nothing_selected_yet_leaves_two_files_out(tmp_path: Path) -> None:
    saved(Storage.at(str(tmp_path)), plain_manifest(0), [], state=STATE)
    checkpoint = newest(tmp_path)
    assert list(checkpoint.manifest.files) == ["history.jsonl", "state.pt"]
    with pytest.raises(FileNotFoundError, match=r"best\.pt"):
        checkpoint.best()


def test_a_number_that_is_not_finite_is_not_written(tmp_path: Path) -> None:
    run = Run.begin(Storage.at(str(tmp_path)), Scan())
    with pytest.raises(ValueError, match="JSON"):
        run.save(plain_manifest(), Contents([{"epoch": 1, "val_loss": float("nan")}], {}))
    assert scanned(tmp_path).newest is None


class Mischief:
    """Leaves a file behind when it is unpickled."""

    def __init__(self, file: Path) -> None:
        self._file = file

    def __reduce__(self) -> tuple[Callable[[Path], object], tuple[Path]]:
        return Path.touch, (self._file,)


@pytest.mark.parametrize("environment", [None, "1"])
def test_a_checkpoint_runs_no_code(tmp_path: Path, environment: str | None, monkeypatch: pytest.MonkeyPatch) -> None:
    """Not even where torch is told to trust every file by default."""
    if environment is not None:
        monkeypatch.setenv("TORCH_FORCE_NO_WEIGHTS_ONLY_LOAD", environment)
    saved(Storage.at(str(tmp_path / "trial")), plain_manifest(), state={"weight": Mischief(tmp_path / "ran")})
    with pytest.raises(pickle.UnpicklingError, match="weights_only"):
        newest(tmp_path / "trial").state()
    assert not (tmp_path / "ran").exists()


def test_a_file_that_no_manifest_lists_is_never_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = save(tmp_path / "trial")
    planted = pickle.dumps({"weight": Mischief(tmp_path / "ran")})
    for name in ("_dict_checkpoint.pkl", ".tune_metadata", "more.pt", "state.pt.pkl"):
        (folder / name).write_bytes(planted)
        (folder.parent / name).write_bytes(planted)
        (tmp_path / "trial" / name).write_bytes(planted)
    read: list[str] = []
    local = type(Storage.at(str(tmp_path)))
    real = local.read

    def noted(storage: Storage, path: str) -> bytes:
        read.append(path)
        return real(storage, path)

    monkeypatch.setattr(local, "read", noted)
    checkpoint = newest(tmp_path / "trial")
    for each in (checkpoint.rows, checkpoint.state, checkpoint.best):
        each()
    assert {path.rpartition("/")[2] for path in read} <= {*FILES, "manifest.json", "start.json"}
    assert not (tmp_path / "ran").exists()


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


def cut_manifest(folder: Path) -> str:
    (folder / "manifest.json").write_bytes((folder / "manifest.json").read_bytes()[:40])
    return "the manifest cannot be read: Expecting"


def spoil_manifest(folder: Path) -> str:
    (folder / "manifest.json").write_text("[]")
    return "the manifest cannot be read: it is no JSON object"


def change_a_value(folder: Path) -> str:
    path = folder / "manifest.json"
    path.write_text(path.read_text().replace('"seed": 0', '"seed": 1'))
    return "the manifest cannot be read: it has changed since it was written"


def lack_a_field(folder: Path) -> str:
    content = checksums.unsealed((folder / "manifest.json").read_bytes())
    del content["epoch"]
    (folder / "manifest.json").write_bytes(checksums.sealed(content))
    return "the manifest cannot be read: 1 validation error"


def change_bits(folder: Path) -> str:
    (folder / "test_correct.bits").write_bytes(bytes(2))
    return "test_correct.bits has changed"


def come_from_the_future(folder: Path) -> str:
    rewrite(folder / "manifest.json", version=4)
    return "its schema is 4, and this version reads 3"


def come_from_the_past(folder: Path) -> str:
    rewrite(folder / "manifest.json", version=2)
    return "its schema is 2, and this version reads 3"


def list_a_file_elsewhere(folder: Path) -> str:
    secret = folder.parent.parent / "secret"
    secret.write_bytes(b"secret")
    stamps = {name: stamp.model_dump() for name, stamp in checksums.stamp({"../../secret": b"secret"}).items()}
    rewrite(folder / "manifest.json", files=stamps)
    return "the manifest lists ../../secret, which no checkpoint holds"


def link_the_state(folder: Path) -> str:
    size = (folder / "state.pt").stat().st_size
    (folder / "state.pt").rename(folder.parent / "elsewhere")
    (folder / "state.pt").symlink_to("../elsewhere")
    return f"state.pt has no bytes, not {size}"


def link_the_manifest(folder: Path) -> str:
    (folder / "manifest.json").rename(folder.parent / "elsewhere")
    (folder / "manifest.json").symlink_to("../elsewhere")
    return "no manifest: the save was cut short"


DAMAGES = [
    cut_state,
    lose_weights,
    lose_manifest,
    cut_manifest,
    spoil_manifest,
    change_a_value,
    lack_a_field,
    change_bits,
    come_from_the_future,
    come_from_the_past,
    list_a_file_elsewhere,
    link_the_state,
    link_the_manifest,
]


@pytest.mark.parametrize("damage", DAMAGES)
def test_what_is_damaged_is_named_with_the_reason_and_passed_over(
    tmp_path: Path, damage: Callable[[Path], str], caplog: pytest.LogCaptureFixture
) -> None:
    save(tmp_path)
    reason = damage(save(tmp_path, epoch=2))
    with caplog.at_level(logging.INFO):
        found = record.scan(Storage.at(str(tmp_path)), level=logging.INFO)
    assert found.newest is not None
    assert (found.newest.name, found.newest.manifest.epoch) == ("run-000001-001/checkpoint_000001", 1)
    (damaged,) = found.damaged
    assert damaged.startswith(f"run-000001-002/checkpoint_000001: {reason}")
    assert [(entry.levelname, entry.getMessage()) for entry in caplog.records] == [
        ("INFO", f"{tmp_path}/{damaged.replace(': ', ' is passed over: ', 1)}")
    ]


@pytest.mark.parametrize("file", [*FILES, "manifest.json"])
@pytest.mark.parametrize("place", [0.0, 0.3, 0.5, 0.9])
def test_a_flipped_bit_in_any_file_is_noticed(tmp_path: Path, file: str, place: float) -> None:
    save(tmp_path)
    flip_a_bit(save(tmp_path, epoch=2) / file, place)
    found = scanned(tmp_path)
    assert found.newest is not None
    assert found.newest.manifest.epoch == 1
    assert len(found.damaged) == 1


def test_nothing_whole_means_from_the_start(tmp_path: Path) -> None:
    flip_a_bit(save(tmp_path / "trial") / "state.pt")
    found = scanned(tmp_path / "trial")
    assert (found.newest, len(found.damaged)) == (None, 1)
    assert scanned(tmp_path / "absent") == Scan()


def test_sizes_alone_do_not_notice_changed_bits(tmp_path: Path) -> None:
    folder = save(tmp_path)
    change_bits(folder)
    assert scanned(tmp_path).newest is None
    assert scanned(tmp_path, check_hashes=False).newest is not None
    cut_state(folder)
    assert scanned(tmp_path, check_hashes=False).newest is None


@pytest.mark.parametrize("file", FILES)
def test_a_file_that_changes_after_the_scan_is_not_trusted(tmp_path: Path, file: str) -> None:
    folder = save(tmp_path)
    checkpoint = newest(tmp_path)
    flip_a_bit(folder / file)
    reader: dict[str, Callable[[], object]] = {
        "history.jsonl": checkpoint.rows,
        "state.pt": checkpoint.state,
        "best.pt": checkpoint.best,
        "test_correct.bits": lambda: checkpoint.test_correct(9),
    }
    with pytest.raises(Damaged, match=rf"{tmp_path}.*{file} has changed since it was written"):
        reader[file]()


@pytest.mark.parametrize("lines", ['{"epoch": 2}\n', '{"epoch": 1}\n{"epoch": 3}\n', "[]\n", '"epoch"\n'])
def test_rows_are_those_of_all_epochs_in_order(tmp_path: Path, lines: str) -> None:
    folder = save(tmp_path)
    (folder / "history.jsonl").write_text(lines)
    files = {name: (folder / name).read_bytes() for name in FILES}
    stamps = {name: stamp.model_dump() for name, stamp in checksums.stamp(files).items()}
    rewrite(folder / "manifest.json", files=stamps)
    with pytest.raises(Damaged, match=r"holds no rows of epochs 1, 2"):
        newest(tmp_path).rows()


def test_a_later_versions_keys_are_no_fault(tmp_path: Path) -> None:
    rewrite(save(tmp_path) / "manifest.json", moon_phase="full")
    assert newest(tmp_path).manifest.files["test_correct.bits"].size == 2
