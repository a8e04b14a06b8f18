"""What a local storage promises: files whole or not at all, on the disk before they have their name."""

import os
from pathlib import Path

import pytest

from trainables.storage import Storage


def test_a_reader_of_the_old_file_keeps_the_old_content(tmp_path: Path) -> None:
    storage = Storage.at(str(tmp_path))
    storage.write("a/b", b"old")
    with (tmp_path / "a" / "b").open("rb") as reader:
        storage.write("a/b", b"newer")
        assert reader.read() == b"old", "the file was written in place"
    assert storage.read("a/b") == b"newer"
    assert storage.names("a") == ["b"], "nothing temporary is left"


def test_a_file_is_on_the_disk_before_it_has_its_name(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    synced: list[tuple[bytes, bool]] = []

    def fsync(descriptor: int) -> None:
        name = Path(f"/proc/self/fd/{descriptor}").readlink()
        synced.append((name.read_bytes(), (tmp_path / "file").exists()))

    monkeypatch.setattr(os, "fsync", fsync)
    Storage.at(str(tmp_path)).write("file", b"content")
    assert synced == [(b"content", False)]
    assert (tmp_path / "file").read_bytes() == b"content"


def test_a_write_that_fails_leaves_the_old_content(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(descriptor: int) -> None:
        raise OSError("no space left on device")

    storage = Storage.at(str(tmp_path))
    storage.write("file", b"old")
    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(OSError, match="no space left"):
        storage.write("file", b"new")
    assert storage.read("file") == b"old"


def test_names_and_sizes_and_what_is_absent(tmp_path: Path) -> None:
    storage = Storage.at(str(tmp_path))
    storage.write("folder/b", b"12345")
    storage.write("folder/a", b"")
    storage.write("folder/inner/c", b"1")
    assert storage.names("folder") == ["a", "b", "inner"]
    assert storage.sizes("folder") == {"a": 0, "b": 5}
    assert storage.within("folder").sizes() == {"a": 0, "b": 5}
    assert storage.within("folder", "inner").names() == ["c"]
    assert (storage.names("absent"), storage.sizes("absent")) == ([], {})
    assert (storage.exists("folder"), storage.exists("folder/a"), storage.exists("absent")) == (True, True, False)
    assert storage.exists()
    with pytest.raises(FileNotFoundError):
        storage.read("absent")


def test_a_name_that_looks_compressed_is_read_as_it_is(tmp_path: Path) -> None:
    storage = Storage.at(str(tmp_path))
    storage.write("a.gz", b"no gzip")
    assert storage.read("a.gz") == b"no gzip"


def test_removing_and_moving(tmp_path: Path) -> None:
    storage = Storage.at(str(tmp_path))
    for name in ("one/a", "one/b"):
        storage.write(name, name.encode())
    storage.remove("one/a")
    storage.remove("one/a")  # once more is no fault
    assert storage.names("one") == ["b"]
    storage.move("one", "two")
    assert (storage.names(), storage.read("two/b")) == (["two"], b"one/b")
    storage.remove_folder("two")
    storage.remove_folder("two")
    assert storage.names() == []


class Remote(Storage):
    """A local folder that says it is an object store."""

    @property
    def is_local(self) -> bool:
        return False


def test_an_object_store_moves_by_copying(tmp_path: Path) -> None:
    local = Storage.at(str(tmp_path))
    local.write("one/a", b"1")
    remote = Remote(local.filesystem, local.root)
    (tmp_path / "two").mkdir()  # which an object store need not have
    remote.move("one", "two")
    assert (local.names(), local.read("two/a")) == (["two"], b"1")
    remote.write("two/b", b"2")
    assert remote.read("two/b") == b"2"


def test_a_storage_is_found_again_by_its_location(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    assert Storage.at("results").location == str(tmp_path / "results")
    assert Storage.at("~/results").root == str(tmp_path / "home" / "results")
    assert Storage.at("results").within("a", "", "b").location == str(tmp_path / "results" / "a" / "b")
    assert Storage.at("results").path("a", "", "b") == str(tmp_path / "results" / "a" / "b")
    assert Storage.at("results").is_local


def test_an_object_store_is_found_at_its_endpoint(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AWS_ENDPOINT_URL", "http://127.0.0.1:9000/")
    store = Storage.at("s3://bucket/prefix/")
    assert (store.location, store.root, store.is_local) == ("s3://bucket/prefix", "bucket/prefix", False)
    assert store.within("a").location == "s3://bucket/prefix/a"
    assert Storage.at("s3://bucket/prefix?region=eu-west-1").root == "bucket/prefix"


@pytest.mark.parametrize(
    ("location", "message"),
    [
        ("", "a storage needs a name"),
        ("s3://", "a storage needs a name"),
        ("gs://bucket", "object storage is named as s3://bucket/prefix"),
        ("https://host/path", "object storage is named as s3://bucket/prefix"),
    ],
)
def test_other_locations_are_refused(location: str, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        Storage.at(location)
