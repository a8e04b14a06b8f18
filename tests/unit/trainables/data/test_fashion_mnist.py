"""Fashion-MNIST's files: read as written, and refused with path and rule where they are not what they should be."""

import contextlib
import gzip
import hashlib
import re
import socket
import struct
import threading
import tracemalloc
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torchvision.datasets

from tests.support.data_files import idx, served, write_fashion_mnist
from trainables.data import DATASETS, Arrays, fashion_mnist
from trainables.data.fashion_mnist import read_idx
from trainables.data.files import download, fetch, read

DEBIAN = Path("/usr/share/datasets/fashion-mnist")
IMAGES, LABELS = "train-images-idx3-ubyte", "train-labels-idx1-ubyte"


def load(folder: Path) -> Arrays:
    return DATASETS.parse({"name": "fashion_mnist", "validation": 10, "folder": str(folder)}).load()


@pytest.mark.parametrize("packed", [True, False])
def test_reads_what_was_written(tmp_path: Path, packed: bool) -> None:
    written = write_fashion_mnist(tmp_path, packed)
    arrays = load(tmp_path)
    np.testing.assert_array_equal(arrays.train_images.numpy(), written.train_images)
    np.testing.assert_array_equal(arrays.train_labels.numpy(), written.train_labels)
    np.testing.assert_array_equal(arrays.test_images.numpy(), written.test_images)
    np.testing.assert_array_equal(arrays.test_labels.numpy(), written.test_labels)


def test_packed_and_plain_are_the_same_data(tmp_path: Path) -> None:
    write_fashion_mnist(tmp_path / "packed", packed=True)
    write_fashion_mnist(tmp_path / "plain", packed=False)
    assert load(tmp_path / "packed").fingerprint() == load(tmp_path / "plain").fingerprint()


def test_the_cache_is_looked_at_before_the_network(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("trainables.data.fashion_mnist._DEBIAN", tmp_path / "none")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    written = write_fashion_mnist(tmp_path / "ctkd-study" / "datasets" / "fashion-mnist" / "FashionMNIST" / "raw")
    arrays = DATASETS.parse({"name": "fashion_mnist", "validation": 10}).load()
    assert len(arrays.train_labels) == len(written.train_labels)


if DEBIAN.is_dir():  # .ci/run sees to it

    def test_the_real_files() -> None:
        arrays = load(DEBIAN)
        assert arrays.sizes == DATASETS.parse({"name": "fashion_mnist", "validation": 10}).sizes()
        assert arrays.train_images.shape == (60_000, 1, 28, 28)
        assert arrays.test_labels.bincount().tolist() == [1000] * 10
        pixels = arrays.train_images[::10].float() / 255
        assert abs(float(pixels.mean()) - arrays.mean[0]) < 5e-3
        assert abs(float(pixels.std()) - arrays.std[0]) < 5e-3


def _shorten(content: bytes) -> bytes:
    return content[:-1]


def _image(content: bytes) -> bytes:
    """Of another size."""
    return idx(np.zeros((64, 27, 28), dtype=np.uint8))


@pytest.mark.parametrize(
    ("file", "damage", "rule"),
    [
        (IMAGES, _shorten, "must hold 64 x 28 x 28 = 50176 bytes after its head, but holds 50175"),
        (
            IMAGES,
            lambda content: content + b"\0",
            "must hold 64 x 28 x 28 = 50176 bytes after its head, but holds 50177",
        ),
        (IMAGES, lambda content: b"", "must begin with idx's magic number 00000803"),
        (IMAGES, lambda content: content[:9], "must name 3 sizes, but ends after 9 bytes"),
        (
            IMAGES,
            lambda content: b"\x89PNG" + content[4:],
            "must begin with idx's magic number 00000803, but begins with",
        ),
        (IMAGES, lambda content: content[:4] + b"\xff" * 12 + content[16:], "= 79228162458924105385300197375 bytes"),
        (IMAGES, _image, "must be 28x28, but are 27x28"),
        (LABELS, lambda content: idx(np.zeros((8, 8), dtype=np.uint8)), "must begin with idx's magic number 00000801"),
        (LABELS, lambda content: content[:-1] + b"\x0a", "must be from 0 to 9, but one is 10"),
        (LABELS, lambda content: idx(np.zeros(63, dtype=np.uint8)), "a label for each of the 64 images, but holds 63"),
    ],
)
def test_damaged_files_are_refused(tmp_path: Path, file: str, damage: Callable[[bytes], bytes], rule: str) -> None:
    write_fashion_mnist(tmp_path, packed=False)
    (tmp_path / file).write_bytes(damage((tmp_path / file).read_bytes()))
    with pytest.raises(ValueError, match=re.escape(rule)) as fault:
        load(tmp_path)
    assert str(tmp_path / file) in str(fault.value)


def test_no_images_are_refused(tmp_path: Path) -> None:
    write_fashion_mnist(tmp_path, train=0)
    with pytest.raises(ValueError, match="must hold images, but holds none"):
        load(tmp_path)


@pytest.mark.parametrize("damage", [_shorten, lambda content: b"no gzip", lambda content: content[:40] + b"\xff" * 40])
def test_damaged_packing_is_refused(tmp_path: Path, damage: Callable[[bytes], bytes]) -> None:
    path = tmp_path / "array.gz"
    path.write_bytes(damage(gzip.compress(idx(np.arange(200, dtype=np.uint8)))))
    with pytest.raises(ValueError, match=r"array\.gz must be a whole gzip file, but: "):
        read_idx(path, 1)


def test_a_file_that_unpacks_to_too_much_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write_fashion_mnist(tmp_path)
    bomb = gzip.compress(struct.pack(">4B3I", 0, 0, 8, 3, 60_000, 28, 28) + bytes(60_000 * 784))
    (tmp_path / f"{IMAGES}.gz").write_bytes(bomb)
    monkeypatch.setattr(fashion_mnist, "_LARGEST", 1_000_000)
    tracemalloc.start()
    with pytest.raises(ValueError, match=r"\.gz must be a whole gzip file, but: it holds more than 1,000,000 bytes"):
        load(tmp_path)
    assert tracemalloc.get_traced_memory()[1] < 10_000_000
    tracemalloc.stop()


def test_the_published_files_are_within_the_bound() -> None:
    assert fashion_mnist._LARGEST > 1.5 * (16 + 60_000 * 784)


def test_the_published_files_are_torchvisions() -> None:
    published = torchvision.datasets.FashionMNIST
    assert list(fashion_mnist._PUBLISHED.items()) == published.resources
    assert [f"{fashion_mnist._SERVER}/"] == published.mirrors


def test_a_download(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    written = write_fashion_mnist(tmp_path / "written")
    contents = {path.name: path.read_bytes() for path in (tmp_path / "written").iterdir()}
    digests = {name: hashlib.md5(each, usedforsecurity=False).hexdigest() for name, each in contents.items()}
    monkeypatch.setattr(fashion_mnist, "_DEBIAN", tmp_path / "none")
    monkeypatch.setattr(fashion_mnist, "_PUBLISHED", digests)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    options = DATASETS.parse({"name": "fashion_mnist", "validation": 10})
    damaged = {**contents, f"{LABELS}.gz": b"damaged"}
    for served_contents, reason in ((damaged, "must have the published MD5 checksum"), ({}, "HTTP Error 404")):
        with served(served_contents) as address:
            monkeypatch.setattr(fashion_mnist, "_SERVER", address)
            with pytest.raises(FileNotFoundError, match=rf"downloaded: .*{reason}.* install Debian's package"):
                options.load()
        assert not options.at_hand()
    with served(contents) as address:
        monkeypatch.setattr(fashion_mnist, "_SERVER", address)
        np.testing.assert_array_equal(options.load().train_labels.numpy(), written.train_labels)
    assert options.at_hand()


def test_a_server_that_speaks_another_protocol() -> None:
    with contextlib.closing(socket.create_server(("127.0.0.1", 0))) as server:

        def answer() -> None:
            with server.accept()[0] as connection:
                connection.recv(4096)
                connection.sendall(b"220 hello\r\n")

        threading.Thread(target=answer, daemon=True).start()
        with pytest.raises(OSError, match="does not answer as a web server"):
            fetch(f"http://127.0.0.1:{server.getsockname()[1]}/x", "0" * 32, 100)


@pytest.mark.parametrize("gone", ["t10k-labels-idx1-ubyte.gz", "train-images-idx3-ubyte.gz"])
def test_a_missing_file_is_named_with_its_folder(tmp_path: Path, gone: str) -> None:
    write_fashion_mnist(tmp_path)
    (tmp_path / gone).unlink()
    with pytest.raises(FileNotFoundError, match=r"as four idx files such as train-images-idx3-ubyte\.gz") as fault:
        load(tmp_path)
    assert str(tmp_path) in str(fault.value)


def test_checksum() -> None:
    path = Path(__file__)
    md5 = hashlib.md5(path.read_bytes(), usedforsecurity=False).hexdigest()
    assert read(path, md5) == path.read_bytes()
    with pytest.raises(ValueError, match=f"must have the published MD5 checksum {'0' * 32}, but has {md5}"):
        read(path, "0" * 32)


def test_download_is_all_or_nothing(tmp_path: Path) -> None:
    into = tmp_path / "cache" / "set"

    def breaks_off(folder: Path) -> None:
        folder.mkdir()
        (folder / "half").write_text("hal")
        raise OSError("no route\nto host")

    with pytest.raises(FileNotFoundError, match=r"Clothes is not in .* and cannot be downloaded: no route to host"):
        download("Clothes", into, breaks_off)
    assert not into.exists()
    assert [path.name for path in into.parent.iterdir() if path.is_dir()] == []

    def arrives(folder: Path) -> None:
        folder.mkdir()
        (folder / "whole").write_text("whole")

    download("Clothes", into, arrives)
    assert (into / "whole").read_text() == "whole"
    download("Clothes", into, breaks_off)  # is there already: not tried
