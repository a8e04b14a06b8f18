"""CIFAR's archives: published forms are read alike, no pickle runs anything, damage is refused with path and rule."""

import dataclasses
import gzip
import hashlib
import io
import os
import pickle
import re
import tarfile
import tracemalloc
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torchvision.datasets

from tests.support.data_files import CIFAR_FORMS, CifarForm, cifar_records, python2_pickle, served, write_cifar
from trainables.data import DATASETS, Arrays, cifar
from trainables.data.cifar import Cifar10Options, Cifar100Options
from trainables.data.safe_pickle import unpickle_arrays

NAMES = ("cifar10", "cifar100")


def load(folder: Path, name: str, verify: bool = False) -> Arrays:
    return DATASETS.parse({"name": name, "validation": 10, "folder": str(folder), "verify": verify}).load()


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("form", CIFAR_FORMS)
def test_reads_what_was_written(tmp_path: Path, name: str, form: CifarForm) -> None:
    written = write_cifar(tmp_path, name, form)
    arrays = load(tmp_path, name)
    np.testing.assert_array_equal(arrays.train_images.numpy(), written.train_images)
    np.testing.assert_array_equal(arrays.train_labels.numpy(), written.train_labels)
    np.testing.assert_array_equal(arrays.test_images.numpy(), written.test_images)
    np.testing.assert_array_equal(arrays.test_labels.numpy(), written.test_labels)


def test_takes_the_unpacked_folder_itself(tmp_path: Path) -> None:
    written = write_cifar(tmp_path, "cifar100")
    assert len(load(tmp_path / "cifar-100-python", "cifar100").train_labels) == len(written.train_labels)


def test_torchvision_reads_the_same(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The tests' files have the real form: torchvision's reader, with its checksums off, agrees."""
    write_cifar(tmp_path, "cifar100")
    monkeypatch.setattr(torchvision.datasets.CIFAR100, "_check_integrity", lambda self: True)
    monkeypatch.setattr(torchvision.datasets.CIFAR100, "_load_meta", lambda self: None)
    theirs, ours = torchvision.datasets.CIFAR100(str(tmp_path)), load(tmp_path, "cifar100")
    np.testing.assert_array_equal(ours.train_images.permute(0, 2, 3, 1).numpy(), theirs.data)
    assert ours.train_labels.tolist() == theirs.targets


@pytest.mark.parametrize(
    ("options", "published"),
    [(Cifar10Options, torchvision.datasets.CIFAR10), (Cifar100Options, torchvision.datasets.CIFAR100)],
)
def test_checksums_are_the_published_ones(options: Any, published: Any) -> None:
    python = options.archives[0]
    assert list(python.train.items()) == [tuple(pair) for pair in published.train_list]
    assert list(python.test.items()) == [tuple(pair) for pair in published.test_list]
    assert (python.file, python.md5, python.folder) == (published.filename, published.tgz_md5, published.base_folder)
    assert f"{cifar._SERVER}/{python.file}" == published.url


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("form", CIFAR_FORMS)
def test_files_that_are_not_the_published_ones_are_refused(tmp_path: Path, name: str, form: CifarForm) -> None:
    write_cifar(tmp_path, name, form)
    rule = (
        "must have 50000 training and 10000 test images" if form == "binary" else "must have the published MD5 checksum"
    )
    with pytest.raises(ValueError, match=rule) as fault:
        load(tmp_path, name, verify=True)
    assert str(tmp_path) in str(fault.value)


class Intruder:
    """Makes a folder when it is unpickled."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self) -> tuple[Callable[[str], None], tuple[str]]:
        return os.mkdir, (str(self.path),)


@pytest.mark.parametrize("protocol", range(pickle.HIGHEST_PROTOCOL + 1))
def test_a_pickle_runs_nothing(tmp_path: Path, protocol: int) -> None:
    write_cifar(tmp_path, "cifar100")
    batch, trace = tmp_path / "cifar-100-python" / "train", tmp_path / "intruder was here"
    batch.write_bytes(pickle.dumps({"data": Intruder(trace), "fine_labels": [0]}, protocol=protocol))
    with pytest.raises(ValueError, match=r"it names posix\.mkdir, and only numpy arrays are read") as fault:
        load(tmp_path, "cifar100")
    assert str(batch) in str(fault.value)
    assert not trace.exists()
    pickle.loads(batch.read_bytes())  # the pickle is armed: a plain reader runs it
    assert trace.is_dir()


@pytest.mark.parametrize(
    "named",
    [
        b"cbuiltins\neval\n.",
        b"cnumpy\nload\n.",
        b"cnumpy\nfrompyfunc\n.",
        b"cnumpy.core.multiarray\nscalar\n.",
        b"cbuiltins\ngetattr\n.",
        b"\x80\x04\x8c\x05numpy\x8c\x0dndarray.tofile\x93.",
        b"Pid\n.",
        b"\x82\x01.",
    ],
)
def test_other_names_are_refused(named: bytes) -> None:
    with pytest.raises(ValueError, match="a file must be a pickle of numpy arrays, but: "):
        unpickle_arrays("a file", named)


@pytest.mark.parametrize("protocol", range(2, 5))
def test_arrays_of_todays_numpy_are_read(protocol: int) -> None:
    array = np.arange(6, dtype=np.int64).reshape(2, 3)
    content = pickle.dumps({"a": array.tolist()}, protocol=protocol)
    assert unpickle_arrays("a file", content) == {"a": array.tolist()}
    content = pickle.dumps(array, protocol=4)
    np.testing.assert_array_equal(unpickle_arrays("a file", content), array)


def _pickled(**changes: Any) -> bytes:
    batch = {"data": np.zeros((4, 3072), dtype=np.uint8), "labels": [0, 1, 2, 3], **changes}
    return python2_pickle({key: value for key, value in batch.items() if value is not None})


@pytest.mark.parametrize(
    ("content", "rule"),
    [
        (b"", "must be a pickle of numpy arrays, but: "),
        (_pickled()[:-100], "must be a pickle of numpy arrays, but: "),
        (python2_pickle([1, 2]), "must hold a dict with 'data' and 'labels'"),
        (_pickled(labels=None), "must hold a dict with 'data' and 'labels'"),
        (_pickled(data="pixels"), "must be bytes of shape (N, 3072), but is str"),
        (_pickled(data=np.zeros((4, 3071), dtype=np.uint8)), "(N, 3072), but is uint8 (4, 3071)"),
        (_pickled(data=np.zeros((4, 3072), dtype=np.float32)), "(N, 3072), but is float32 (4, 3072)"),
        (_pickled(labels=[0, 1, 2]), "must be 4 labels, but is 3"),
        (_pickled(labels=[[0], [1, 2], 3, 4]), "must be a list of integers"),
        (_pickled(labels=0), "must be a list of integers"),
        (_pickled(labels=[0, 1, 2, 10**30]), f"must be from 0 to 9, but one is {10**30}"),
        (_pickled(labels=["a", "b", "c", "d"]), "must be a list of integers"),
        (_pickled(labels=[0, 1, 2, 10]), "must be from 0 to 9, but one is 10"),
        (_pickled(labels=[0, -1, 2, 3]), "must be from 0 to 9, but one is -1"),
        (_pickled(data=np.zeros((0, 3072), dtype=np.uint8), labels=np.zeros(0, dtype=np.int64)), "must hold images"),
    ],
)
def test_damaged_pickles_are_refused(tmp_path: Path, content: bytes, rule: str) -> None:
    write_cifar(tmp_path, "cifar10")
    batch = tmp_path / "cifar-10-batches-py" / "data_batch_3"
    batch.write_bytes(content)
    with pytest.raises(ValueError, match=re.escape(rule)) as fault:
        load(tmp_path, "cifar10")
    assert str(batch) in str(fault.value)


@pytest.mark.parametrize(
    ("content", "rule"),
    [
        (bytes(3074 + 3073), "must be whole records of 3074 bytes, but has 6147 bytes"),
        (b"", "must hold images, but holds none"),
        (
            cifar_records("cifar100", np.zeros((1, 3, 32, 32), np.uint8), np.array([100])),
            "must be from 0 to 99, but one is 100",
        ),
    ],
)
def test_damaged_records_are_refused(tmp_path: Path, content: bytes, rule: str) -> None:
    write_cifar(tmp_path, "cifar100", "binary")
    records = tmp_path / "cifar-100-binary" / "test.bin"
    records.write_bytes(content)
    with pytest.raises(ValueError, match=re.escape(rule)) as fault:
        load(tmp_path, "cifar100")
    assert str(records) in str(fault.value)


@pytest.mark.parametrize("damage", [lambda content: content[:-500], lambda content: b"no archive", lambda content: b""])
def test_damaged_archives_are_refused(tmp_path: Path, damage: Callable[[bytes], bytes]) -> None:
    write_cifar(tmp_path, "cifar10", "python packed")
    archive = tmp_path / "cifar-10-python.tar.gz"
    archive.write_bytes(damage(archive.read_bytes()))
    with pytest.raises(ValueError, match=r"cifar-10-python\.tar\.gz must be the whole archive, but: "):
        load(tmp_path, "cifar10")


class Download:
    """A server that serves an archive of its own making under the published name, with a cache of its own."""

    def __init__(self, cache: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        self._patch, self.place = monkeypatch, cache / "ctkd-study" / "datasets" / "cifar-100"
        monkeypatch.setenv("XDG_CACHE_HOME", str(cache))

    def load(self, packed: bytes, md5: str | None = None) -> Arrays:
        """Load the data set by a download; ``md5`` is the published checksum, by default that of the archive."""
        digest = md5 or hashlib.md5(packed, usedforsecurity=False).hexdigest()
        python = dataclasses.replace(Cifar100Options.archives[0], md5=digest)
        self._patch.setattr(Cifar100Options, "archives", (python,))
        with served({"cifar-100-python.tar.gz": packed}) as address:
            self._patch.setattr(cifar, "_SERVER", address)
            return DATASETS.parse({"name": "cifar100", "validation": 10, "verify": False}).load()


@pytest.fixture
def download(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Download:
    return Download(tmp_path / "cache", monkeypatch)


def packed(contents: dict[str, bytes], links: dict[str, str] | None = None) -> bytes:
    """An archive of these files, by path, and of symbolic links, each with its target; links come first."""
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w:gz") as archive:
        for path, target in (links or {}).items():
            entry = tarfile.TarInfo(path)
            entry.type, entry.linkname = tarfile.SYMTYPE, target
            archive.addfile(entry)
        for path, content in contents.items():
            entry = tarfile.TarInfo(path)
            entry.size = len(content)
            archive.addfile(entry, io.BytesIO(content))
    return buffer.getvalue()


def batches(tmp_path: Path) -> dict[str, bytes]:
    """The content of CIFAR-100's archive for Python, by path."""
    write_cifar(tmp_path / "written", "cifar100")
    return {
        f"cifar-100-python/{n}": (tmp_path / "written/cifar-100-python" / n).read_bytes() for n in ("train", "test")
    }


def test_a_download_is_unpacked_once(tmp_path: Path, download: Download) -> None:
    contents = batches(tmp_path)
    assert len(download.load(packed(contents)).train_labels) == 250
    unpacked = download.place / "cifar-100-python"
    assert sorted(path.name for path in download.place.iterdir()) == ["cifar-100-python"]
    assert {f"cifar-100-python/{path.name}": path.read_bytes() for path in unpacked.iterdir()} == contents
    assert len(download.load(b"is not asked for").train_labels) == 250


def test_another_download_than_the_published_one_is_refused(tmp_path: Path, download: Download) -> None:
    with pytest.raises(FileNotFoundError, match=r"cannot be downloaded: .* must have the published MD5 checksum 0+"):
        download.load(packed(batches(tmp_path)), md5="0" * 32)
    assert not download.place.exists()


def test_a_pickle_of_a_download_runs_nothing(tmp_path: Path, download: Download) -> None:
    trace = tmp_path / "intruder was here"
    batch = pickle.dumps({"data": Intruder(trace), "fine_labels": [0]}, protocol=2)
    meta = pickle.dumps(Intruder(trace), protocol=2)
    with pytest.raises(ValueError, match=r"it names posix\.mkdir, and only numpy arrays are read"):
        download.load(packed({**batches(tmp_path), "cifar-100-python/train": batch, "cifar-100-python/meta": meta}))
    assert not trace.exists()
    pickle.loads(meta)
    assert trace.is_dir(), "the pickle is armed"


def test_a_download_is_unpacked_nowhere_else(tmp_path: Path, download: Download) -> None:
    evil = {"../../evil": b"1", "cifar-100-python/../../evil": b"2", f"{tmp_path}/evil": b"3", "evil": b"4"}
    into = {"cifar-100-python": str(tmp_path)}
    assert len(download.load(packed({**batches(tmp_path), **evil}, into)).train_labels) == 250
    assert [path for path in tmp_path.rglob("*") if path.name in ("evil", "train") and "written" not in path.parts] == [
        download.place / "cifar-100-python" / "train"
    ]


@pytest.mark.parametrize("target", ["/etc/passwd", "test"])
def test_a_link_is_no_batch(tmp_path: Path, download: Download, target: str) -> None:
    contents = batches(tmp_path)
    del contents["cifar-100-python/train"]
    with pytest.raises(FileNotFoundError, match=r"cifar-100-python/train is not a plain file"):
        download.load(packed(contents, {"cifar-100-python/train": target}))


def _sparse(size: int) -> bytes:
    """An archive with a file of zeros that is stored as a hole."""
    entry = tarfile.TarInfo("cifar-100-python/train")
    entry.type, entry.size = tarfile.GNUTYPE_SPARSE, 0
    header = bytearray(entry.tobuf(tarfile.GNU_FORMAT))
    header[483:495] = b"%011o\0" % size
    header[148:156] = b" " * 8
    header[148:156] = b"%06o\0 " % sum(header)
    return gzip.compress(bytes(header) + bytes(1024))


def _long_header(size: int) -> bytes:
    """An archive with a header that is as long as this."""
    entry = tarfile.TarInfo("long")
    entry.type, entry.size = tarfile.XHDTYPE, size
    return gzip.compress(entry.tobuf() + bytes(size), 1)


@pytest.mark.parametrize(
    ("bomb", "rule"),
    [
        (packed({"cifar-100-python/train": bytes(50_000_000)}), "holds more than 2,000,000 bytes"),
        (packed({"another": bytes(50_000_000)}), "holds more than 2,000,000 bytes"),
        (_long_header(50_000_000), "holds more than 2,000,000 bytes"),
        (_sparse(50_000_000), "train is not a plain file"),
    ],
    ids=["a batch", "another file", "a header", "a sparse file"],
)
def test_an_archive_that_unpacks_to_too_much_is_refused(
    tmp_path: Path, bomb: bytes, rule: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert len(bomb) < 300_000
    monkeypatch.setattr(cifar, "_LARGEST", 2_000_000)
    (tmp_path / "cifar-100-python.tar.gz").write_bytes(bomb)
    tracemalloc.start()
    with pytest.raises(ValueError, match=rf"must be the whole archive, but: .*{rule}"):
        load(tmp_path, "cifar100")
    assert tracemalloc.get_traced_memory()[1] < 15_000_000
    tracemalloc.stop()


def test_a_download_without_end_is_refused(download: Download, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(cifar, "_LARGEST", 2_000_000)
    with pytest.raises(FileNotFoundError, match="holds more than 2,000,000 bytes, which is too much"):
        download.load(bytes(3_000_000))


def test_the_published_archives_are_within_the_bound() -> None:
    # Their files have 186,214,224 and 186,299,836 bytes, and their headers and paddings some more.
    assert cifar._LARGEST > 1.5 * 186_300_000


def test_an_archive_of_other_files_is_refused(tmp_path: Path) -> None:
    write_cifar(tmp_path, "cifar10", "python packed")
    (tmp_path / "cifar-10-python.tar.gz").rename(tmp_path / "cifar-100-python.tar.gz")
    with pytest.raises(ValueError, match=r"must be the whole archive, but: .*cifar-100-python/train"):
        load(tmp_path, "cifar100")


@pytest.mark.parametrize("name", NAMES)
def test_nothing_in_the_folder(tmp_path: Path, name: str) -> None:
    with pytest.raises(
        FileNotFoundError, match=r"one of cifar-.*, cifar-.*-python\.tar\.gz, cifar-.*, cifar-.*-binary\.tar\.gz"
    ) as fault:
        load(tmp_path / "nowhere", name)
    assert str(tmp_path / "nowhere") in str(fault.value)


def test_a_missing_batch_is_nothing_found(tmp_path: Path) -> None:
    write_cifar(tmp_path, "cifar10")
    (tmp_path / "cifar-10-batches-py" / "data_batch_5").unlink()
    with pytest.raises(FileNotFoundError, match="CIFAR-10 must lie in"):
        load(tmp_path, "cifar10")


def test_the_cache_is_looked_at_before_the_network(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    written = write_cifar(tmp_path / "ctkd-study" / "datasets" / "cifar-10", "cifar10")
    arrays = DATASETS.parse({"name": "cifar10", "validation": 10, "verify": False}).load()
    assert len(arrays.train_labels) == len(written.train_labels)
