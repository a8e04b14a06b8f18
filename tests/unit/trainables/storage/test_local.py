"""Local folders: what is written is on the disk, whole or not at all; what is no file is not touched."""

import os
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from trainables.storage import Storage


@pytest.fixture
def storage(tmp_path: Path) -> Storage:
    return Storage.at(str(tmp_path / "results"))


def everything_in(folder: str) -> list[str]:
    """All names in a folder, hidden or not."""
    return sorted(path.name for path in Path(folder).iterdir())


class Disk:
    """Notes what is synced, and what there was under its final name at that moment."""

    def __init__(self, folder: Path, final: str) -> None:
        self._folder, self._final, self.synced = folder, folder / final, list[tuple[str, bool]]()

    def fsync(self, descriptor: int) -> None:
        path = Path(f"/proc/self/fd/{descriptor}").readlink()
        name = str(path.relative_to(self._folder)) if path != self._folder else "."
        temporary = name.endswith(".tmp") or ".tmp/" in name
        parts = (part.split(".")[0] if ".tmp" in part else part for part in name.split("/"))
        self.synced.append(("/".join(parts) + (" (temporary)" if temporary else ""), self._final.exists()))


@pytest.mark.parametrize("how", ["write", "create"])
def test_a_file_is_on_the_disk_before_it_has_its_name_and_its_name_before_the_call_returns(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, how: str
) -> None:
    disk = Disk(tmp_path, "a/b/file")
    monkeypatch.setattr(os, "fsync", disk.fsync)
    storage = Storage.at(str(tmp_path))
    getattr(storage, how)("a/b/file", b"content")
    new_folders = [(".", False), ("a", False)]
    assert disk.synced == [*new_folders, ("a/b/file (temporary)", False), ("a/b", True)]
    disk.synced.clear()
    storage.write("a/b/file", b"again")
    assert disk.synced == [("a/b/file (temporary)", True), ("a/b", True)]


def test_a_folder_is_on_the_disk_before_it_has_its_name(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    disk = Disk(tmp_path, "run/checkpoint")
    monkeypatch.setattr(os, "fsync", disk.fsync)
    Storage.at(str(tmp_path)).write_folder("run/checkpoint", {"state": b"1", "manifest": b"2"})
    assert disk.synced == [
        (".", False),  # holds the name of the folder above
        ("run/checkpoint/state (temporary)", False),
        ("run/checkpoint/manifest (temporary)", False),
        ("run/checkpoint (temporary)", False),
        ("run", True),
    ]


def test_a_moved_folder_s_name_is_on_the_disk(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    storage = Storage.at(str(tmp_path))
    storage.write("one/a", b"")
    disk = Disk(tmp_path, "two")
    monkeypatch.setattr(os, "fsync", disk.fsync)
    storage.move("one", "two")
    assert disk.synced == [(".", True)]


def test_a_reader_of_the_old_file_keeps_the_old_content(storage: Storage) -> None:
    storage.write("a/b", b"old")
    with Path(storage.path("a/b")).open("rb") as reader:
        storage.write("a/b", b"newer")
        assert reader.read() == b"old", "the file was written in place"


@pytest.mark.parametrize(
    "act",
    [
        lambda storage: storage.write("file", b"new"),
        lambda storage: storage.create("another", b"new"),
        lambda storage: storage.write_folder("folder", {"one": b"", "two": b""}),
    ],
)
def test_a_write_that_fails_leaves_what_was_there(
    storage: Storage, monkeypatch: pytest.MonkeyPatch, act: Callable[[Storage], Any]
) -> None:
    def full(descriptor: int) -> None:
        raise OSError("no space left on device")

    storage.write("file", b"old")
    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(OSError, match="no space left"):
        act(storage)
    assert everything_in(storage.root) == ["file"], "nothing temporary is left, nothing is half-written"
    assert storage.read("file") == b"old"


def test_a_folder_is_written_whole_or_not_at_all(storage: Storage, monkeypatch: pytest.MonkeyPatch) -> None:
    real, calls = os.fsync, list[int]()

    def full(descriptor: int) -> None:
        calls.append(descriptor)
        if len(calls) == 3:
            raise OSError("no space left on device")
        real(descriptor)

    storage.write("run/other", b"")
    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(OSError, match="no space left"):
        storage.write_folder("run/checkpoint", {"one": b"1", "two": b"2", "three": b"3"})
    assert everything_in(storage.path("run")) == ["other"]


def test_of_many_threads_that_create_a_file_one_succeeds(storage: Storage) -> None:
    start, won = threading.Barrier(8), list[int]()

    def race(number: int) -> None:
        for attempt in range(20):
            start.wait()
            if storage.create(f"folder/{attempt}", bytes([number])):
                won.append(attempt)

    threads = [threading.Thread(target=race, args=(number,)) for number in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(won) == list(range(20))
    assert len(everything_in(storage.path("folder"))) == 20


def test_links_and_pipes_are_neither_listed_nor_read(storage: Storage, tmp_path: Path) -> None:
    (tmp_path / "secret").write_bytes(b"secret")
    (tmp_path / "elsewhere").mkdir()
    (tmp_path / "elsewhere" / "a").write_bytes(b"a")
    storage.write("folder/file", b"1")
    folder = Path(storage.path("folder"))
    (folder / "link").symlink_to(tmp_path / "secret")
    (folder / "dangling").symlink_to("nowhere")
    (folder / "linked").symlink_to(tmp_path / "elsewhere")
    os.mkfifo(folder / "pipe")
    assert storage.names("folder") == ["file"]
    assert storage.tree() == {"folder/file": 1}
    for name in ("link", "dangling", "pipe", "linked"):
        with pytest.raises(OSError, match=name):
            storage.read(f"folder/{name}")


def test_a_folder_that_is_removed_takes_no_linked_folder_along(storage: Storage, tmp_path: Path) -> None:
    (tmp_path / "elsewhere").mkdir()
    (tmp_path / "elsewhere" / "a").write_bytes(b"a")
    storage.write("folder/file", b"1")
    Path(storage.path("folder/linked")).symlink_to(tmp_path / "elsewhere")
    storage.remove_folder("folder")
    assert (tmp_path / "elsewhere" / "a").exists()


def test_what_killed_writers_left_is_not_seen_and_swept_away(storage: Storage, tmp_path: Path) -> None:
    storage.write("run/file", b"1")
    left = Path(storage.path("run/checkpoint.0123.tmp"))
    left.mkdir()
    (left / "state").write_bytes(b"2")
    Path(storage.path("run/file.4567.tmp")).write_bytes(b"3")
    (tmp_path / "elsewhere").mkdir()
    Path(storage.path("run/link.tmp")).symlink_to(tmp_path / "elsewhere")
    assert (storage.names("run"), storage.tree()) == (["file"], {"run/file": 1})
    storage.sweep()
    assert left.exists(), "only the folder that is named is swept"
    storage.sweep("run")
    assert everything_in(storage.path("run")) == ["file"]
    assert (tmp_path / "elsewhere").exists()


def test_a_file_where_a_folder_should_be_holds_nothing(storage: Storage) -> None:
    storage.write("file", b"1")
    assert (storage.names("file"), storage.tree("file")) == ([], {})
    with pytest.raises(OSError, match="file"):
        storage.write("file/a", b"")


def test_a_name_that_looks_compressed_is_read_as_it_is(storage: Storage) -> None:
    storage.write("a.gz", b"no gzip")
    assert storage.read("a.gz") == b"no gzip"
