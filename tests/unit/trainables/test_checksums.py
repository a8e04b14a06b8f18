"""A folder that its manifest proves whole."""

from pathlib import Path

import pyarrow.fs as pafs
import pytest

from trainables import checksums
from trainables.storage import Storage

CONTENTS = {"a": b"one", "b": b"two"}
HASHES = {
    "a": "7692c3ad3540bb803c020b3aee66cd8887123234ea0c6e7143c0add73ff431ed",
    "b": "3fc4ccfe745870e2c0d99f71f30ff0656c8dedd41cc1d7d3d376b0dbe685e2f3",
}


class Recording(Storage):
    """Notes what is written, in order; fails at a file named ``broken``."""

    def __init__(self, folder: Path) -> None:
        super().__init__(pafs.LocalFileSystem(), str(folder))
        object.__setattr__(self, "written", [])

    written: list[str]

    def write(self, path: str, content: bytes) -> None:
        if path == "broken":
            raise OSError("no space left on device")
        self.written.append(path)
        super().write(path, content)


def test_stamps_are_size_and_sha256() -> None:
    assert {name: stamp.model_dump() for name, stamp in checksums.stamp(CONTENTS).items()} == {
        "a": {"size": 3, "sha256": HASHES["a"]},
        "b": {"size": 3, "sha256": HASHES["b"]},
    }


def test_the_manifest_is_written_last(tmp_path: Path) -> None:
    folder = Recording(tmp_path)
    checksums.write(folder, CONTENTS, "manifest.json", b"{}")
    assert folder.written == ["a", "b", "manifest.json"]


def test_a_write_that_fails_in_the_middle_leaves_no_manifest(tmp_path: Path) -> None:
    folder = Recording(tmp_path)
    with pytest.raises(OSError, match="no space left"):
        checksums.write(folder, {"a": b"one", "broken": b"", "b": b"two"}, "manifest.json", b"{}")
    assert folder.names() == ["a"]


def test_the_first_fault_is_named(tmp_path: Path) -> None:
    folder, stamps = Storage.at(str(tmp_path)), checksums.stamp(CONTENTS)

    def fault(hashed: bool = True) -> str | None:
        return checksums.fault(folder, stamps, (lambda name: checksums.sha256(folder.read(name))) if hashed else None)

    assert fault() == "a has no bytes, not 3"
    checksums.write(folder, CONTENTS, "manifest.json", b"{}")
    assert fault() is None
    folder.write("b", b"twice")
    assert fault() == fault(hashed=False) == "b has 5 bytes, not 3"
    folder.write("b", b"owt")
    assert fault() == "b has changed"
    assert fault(hashed=False) is None
