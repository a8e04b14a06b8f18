"""Literal hashes: a change of one would change every fingerprint."""

import os
from pathlib import Path

import pytest

from trainables.hashing import canonical, digest, file_sha256


def test_canonical_json_is_one_text_for_equal_values() -> None:
    value = {"b": [1, 2.0, (3.5, None)], "a": {"λ": True, "x": "4.0"}}
    assert canonical(value) == '{"a":{"x":"4.0","λ":true},"b":[1,2,[3.5,null]]}'
    assert canonical({"a": 4}) == canonical({"a": 4.0}) == '{"a":4}'
    assert canonical(True) != canonical(1)


def test_a_digest_is_16_hex_digits_of_sha256() -> None:
    assert digest({"a": 4.0}) == digest({"a": 4}) == "17e7d2b31edd9f05"
    assert digest({}) == "44136fa355b3678a"


def test_a_files_hash_is_read_again_only_when_it_changes(tmp_path: Path) -> None:
    file = tmp_path / "file"
    file.write_bytes(b"one")
    first = file_sha256(str(file))
    assert first == "7692c3ad3540bb803c020b3aee66cd8887123234ea0c6e7143c0add73ff431ed"
    stamp = file.stat().st_mtime_ns
    file.write_bytes(b"two")
    os.utime(file, ns=(stamp, stamp))
    assert file_sha256(str(file)) == first, "neither inode, size nor time of change differs"
    os.utime(file, ns=(stamp, stamp + 1))
    assert file_sha256(str(file)) == "3fc4ccfe745870e2c0d99f71f30ff0656c8dedd41cc1d7d3d376b0dbe685e2f3"
    file.write_bytes(b"twice")
    os.utime(file, ns=(stamp, stamp + 1))
    assert file_sha256(str(file)) not in {first, "3fc4ccfe745870e2c0d99f71f30ff0656c8dedd41cc1d7d3d376b0dbe685e2f3"}
    with pytest.raises(FileNotFoundError):
        file_sha256(str(tmp_path / "absent"))


def test_a_file_that_was_replaced_by_another_of_its_size_and_time_is_read_again(tmp_path: Path) -> None:
    file, other = tmp_path / "file", tmp_path / "other"
    for path, content in ((file, b"one"), (other, b"two")):
        path.write_bytes(content)
        os.utime(path, ns=(10**18, 10**18))
    first = file_sha256(str(file))
    other.rename(file)
    assert file_sha256(str(file)) != first
