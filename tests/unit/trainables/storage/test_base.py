"""What every storage promises, and how one is named."""

import pickle
from pathlib import Path

import pytest

from tests.support.stores import KINDS, storage_of
from trainables.storage import Storage


@pytest.fixture(params=KINDS)
def storage(request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Storage:
    return storage_of(request.param, tmp_path, monkeypatch)


def test_what_is_written_is_read(storage: Storage) -> None:
    storage.write("a/b", b"old")
    storage.write("a/b", b"newer")
    assert storage.read("a/b") == b"newer"
    assert storage.names("a") == ["b"], "nothing temporary is left"
    storage.write("empty", b"")
    assert storage.read("empty") == b""


def test_what_is_absent_is_told_from_a_fault(storage: Storage) -> None:
    for _ in range(2):
        with pytest.raises(FileNotFoundError, match="absent"):
            storage.read("absent")
        assert (storage.names("absent"), storage.tree("absent"), storage.sizes("absent")) == ([], {}, {})
        assert not storage.exists("absent")
        storage.remove("absent")
        storage.remove_folder("absent")
        storage.sweep("absent")
        storage.write("something/else", b"")


def test_names_sizes_and_trees(storage: Storage) -> None:
    for path, content in (("folder/b", b"12345"), ("folder/a", b""), ("folder/inner/c", b"1"), ("folder.json", b"2")):
        storage.write(path, content)
    assert storage.names() == ["folder", "folder.json"]
    assert storage.names("folder") == ["a", "b", "inner"]
    assert storage.sizes("folder") == {"a": 0, "b": 5}
    assert storage.tree("folder") == {"a": 0, "b": 5, "inner/c": 1}
    assert storage.tree() == {"folder/a": 0, "folder/b": 5, "folder/inner/c": 1, "folder.json": 1}
    assert (storage.sizes(), storage.within("folder", "inner").tree()) == ({"folder.json": 1}, {"c": 1})
    assert storage.within("folder", "", "inner").names() == ["c"]


def test_files_and_folders_exist(storage: Storage) -> None:
    assert not storage.exists()
    storage.write("folder/inner/a", b"")
    for path in ("", "folder", "folder/inner", "folder/inner/a"):
        assert storage.exists(path)
    assert not storage.exists("folder/in"), "part of a name is none"
    assert not storage.exists("folder/inner/a/b")


def test_of_those_that_create_a_file_one_succeeds(storage: Storage) -> None:
    assert storage.create("folder/one", b"first")
    assert not storage.create("folder/one", b"second")
    assert storage.read("folder/one") == b"first"
    storage.remove("folder/one")
    assert storage.create("folder/one", b"third")
    storage.write("folder/one", b"fourth")
    assert not storage.create("folder/one", b"fifth")
    assert (storage.read("folder/one"), storage.names("folder")) == (b"fourth", ["one"])


def test_a_folder_is_written_once(storage: Storage) -> None:
    storage.write_folder("a/folder", {"one": b"1", "two": b"22", "manifest": b"{}"})
    assert storage.tree("a") == {"folder/one": 1, "folder/two": 2, "folder/manifest": 2}
    with pytest.raises(FileExistsError):
        storage.write_folder("a/folder", {"one": b"1", "manifest": b"[]"})
    assert storage.read("a/folder/manifest") == b"{}"
    assert storage.names("a") == ["folder"]


def test_removing(storage: Storage) -> None:
    for name in ("one/a", "one/b/c", "one.json"):
        storage.write(name, name.encode())
    storage.remove("one/a")
    assert storage.tree() == {"one/b/c": 7, "one.json": 8}
    storage.remove_folder("one")
    assert storage.tree() == {"one.json": 8}


def test_a_folder_takes_its_content_along_when_it_moves(storage: Storage) -> None:
    for name in ("one/a", "one/b/c", "one.json"):
        storage.write(name, name.encode())
    storage.move("one", "two")
    assert storage.tree() == {"two/a": 5, "two/b/c": 7, "one.json": 8}
    assert storage.read("two/b/c") == b"one/b/c"


def test_a_storage_travels_to_other_processes_by_name_alone(storage: Storage) -> None:
    storage.write("folder/a", b"1")
    again = pickle.loads(pickle.dumps(storage.within("folder")))
    assert again == storage.within("folder") == Storage.at(storage.within("folder").location)
    assert again.read("a") == b"1"


def test_names_and_paths(storage: Storage) -> None:
    assert storage.name == "results"
    assert storage.within("a", "b").name == "b"
    assert storage.path("a", "", "b") == f"{storage.root}/a/b"
    assert storage.within("a", "b").location == f"{storage.location}/a/b"


def test_a_storage_is_found_again_by_its_location(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    assert Storage.at("results").location == str(tmp_path / "results")
    assert Storage.at("~/results").root == str(tmp_path / "home" / "results")
    assert Storage.at("results").is_local


@pytest.mark.parametrize("scheme", ["s3", "gs", "az"])
def test_an_object_store_is_named_by_bucket_and_prefix(scheme: str) -> None:
    store = Storage.at(f"{scheme}://bucket/prefix/")
    assert (store.location, store.root, store.is_local) == (f"{scheme}://bucket/prefix", "bucket/prefix", False)
    assert (store.within("a").location, store.within("a").name) == (f"{scheme}://bucket/prefix/a", "a")


@pytest.mark.parametrize(
    ("location", "message"),
    [
        ("", "a storage needs a name"),
        ("s3://", "a storage needs a name"),
        ("s3:///", "a storage needs a name"),
        ("ftp://host/path", r"object storage is named as s3://bucket/prefix \(or gs, az\)"),
        ("https://host/path", "object storage is named as s3://bucket/prefix"),
    ],
)
def test_other_locations_are_refused(location: str, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        Storage.at(location)


def test_folders_are_told_from_files(storage: Storage) -> None:
    storage.write("top/file", b"1")
    storage.write("top/inner/deep/file", b"1")
    storage.write("top/another/file", b"1")
    assert storage.folders("top") == ["another", "inner"]
    assert storage.folders("absent") == []
