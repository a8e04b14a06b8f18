"""Writes tiny data sets in the formats that the real ones have on disk."""

import contextlib
import dataclasses
import gzip
import http.server
import io
import pickle
import struct
import tarfile
import threading
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any, ClassVar, Literal

import numpy as np
from numpy.typing import NDArray

CifarForm = Literal["python", "binary", "python packed", "binary packed"]
CIFAR_FORMS: tuple[CifarForm, ...] = ("python", "binary", "python packed", "binary packed")

_FOLDERS = {
    ("cifar10", "python"): "cifar-10-batches-py",
    ("cifar10", "binary"): "cifar-10-batches-bin",
    ("cifar100", "python"): "cifar-100-python",
    ("cifar100", "binary"): "cifar-100-binary",
}


@dataclasses.dataclass(frozen=True)
class Written:
    """What the files hold: uint8 images of shape (N, K, S, S), and labels of shape (N,)."""

    train_images: NDArray[np.uint8]
    train_labels: NDArray[np.int64]
    test_images: NDArray[np.uint8]
    test_labels: NDArray[np.int64]


def random_data(shape: tuple[int, ...], classes: int, train: int, test: int) -> Written:
    """Random pixels; classes come in turn, unequally often where they do not divide the counts."""
    rng = np.random.default_rng(len(shape) * classes)
    images = rng.integers(0, 256, size=(train + test, *shape), dtype=np.uint8)
    labels = rng.permutation(train) % classes, rng.permutation(test) % classes
    return Written(images[:train], labels[0], images[train:], labels[1])


def idx(array: NDArray[np.uint8]) -> bytes:
    """An array in the idx format."""
    return struct.pack(f">4B{array.ndim}I", 0, 0, 8, array.ndim, *array.shape) + array.tobytes()


def write_fashion_mnist(folder: Path, packed: bool = True, train: int = 64, test: int = 30) -> Written:
    """The four files of Fashion-MNIST."""
    folder.mkdir(parents=True, exist_ok=True)
    data = random_data((1, 28, 28), 10, train, test)
    for part, images, labels in (
        ("train", data.train_images, data.train_labels),
        ("t10k", data.test_images, data.test_labels),
    ):
        for name, array in (
            (f"{part}-images-idx3-ubyte", images[:, 0]),
            (f"{part}-labels-idx1-ubyte", labels.astype(np.uint8)),
        ):
            if packed:
                (folder / f"{name}.gz").write_bytes(gzip.compress(idx(array)))
            else:
                (folder / name).write_bytes(idx(array))
    return data


def write_cifar(folder: Path, name: str, form: CifarForm = "python", train: int = 250, test: int = 110) -> Written:
    """The published archive of ``cifar10`` or ``cifar100`` in one of its forms, inside the folder."""
    classes = {"cifar10": 10, "cifar100": 100}[name]
    data = random_data((3, 32, 32), classes, train, test)
    kind = form.split()[0]
    batches = _batches(data, name)
    encode = cifar_pickle if kind == "python" else cifar_records
    contents = {f"{file}.bin" if kind == "binary" else file: encode(name, *batch) for file, batch in batches.items()}
    inside = _FOLDERS[name, kind]
    if form.endswith("packed"):
        folder.mkdir(parents=True, exist_ok=True)
        with tarfile.open(folder / f"{name.replace('cifar', 'cifar-')}-{kind}.tar.gz", "w:gz") as archive:
            for file, content in contents.items():
                entry = tarfile.TarInfo(f"{inside}/{file}")
                entry.size = len(content)
                archive.addfile(entry, io.BytesIO(content))
    else:
        (folder / inside).mkdir(parents=True)
        for file, content in contents.items():
            (folder / inside / file).write_bytes(content)
    return data


@contextlib.contextmanager
def served(contents: dict[str, bytes]) -> Iterator[str]:
    """The address of a web server on this machine that serves these contents by name."""

    class Handler(http.server.BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            content = contents.get(self.path.removeprefix("/"))
            self.send_response(404 if content is None else 200)
            self.end_headers()
            self.wfile.write(content or b"")

        def log_message(self, format: str, *args: Any) -> None:
            pass

    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{server.server_port}"
        server.shutdown()


def cifar_pickle(name: str, images: NDArray[np.uint8], labels: NDArray[np.int64]) -> bytes:
    """A batch as Python 2 pickled it, pixels as rows of 3,072."""
    batch: dict[str, Any] = {"data": images.reshape(len(images), -1), "batch_label": "a batch"}
    if name == "cifar10":
        batch["labels"] = labels.tolist()
    else:
        batch |= {"fine_labels": labels.tolist(), "coarse_labels": (labels // 5).tolist()}
    return python2_pickle(batch)


def cifar_records(name: str, images: NDArray[np.uint8], labels: NDArray[np.int64]) -> bytes:
    """A batch as records: (coarse label,) label, pixels."""
    columns: Sequence[NDArray[Any]] = [labels[:, None], images.reshape(len(images), -1)]
    if name == "cifar100":
        columns = [labels[:, None] // 5, *columns]
    return np.concatenate(columns, axis=1).astype(np.uint8).tobytes()


def _batches(data: Written, name: str) -> dict[str, tuple[NDArray[np.uint8], NDArray[np.int64]]]:
    if name == "cifar100":
        return {"train": (data.train_images, data.train_labels), "test": (data.test_images, data.test_labels)}
    parts = zip(np.array_split(data.train_images, 5), np.array_split(data.train_labels, 5), strict=True)
    return {
        **{f"data_batch_{index}": part for index, part in enumerate(parts, start=1)},
        "test_batch": (data.test_images, data.test_labels),
    }


class _Python2Pickler(pickle._Pickler):
    """Writes what Python 2 and the numpy of its time wrote: text and bytes alike as bytes, numpy's old module names."""

    dispatch: ClassVar[dict[type, Any]] = dict(pickle._Pickler.dispatch)
    write: Callable[[bytes], object]
    memoize: Callable[[object], None]

    def _save_bytes(self, value: str | bytes) -> None:
        content = value.encode("latin1") if isinstance(value, str) else value
        short, length = len(content) < 256, len(content)
        head = pickle.SHORT_BINSTRING + bytes([length]) if short else pickle.BINSTRING + struct.pack("<i", length)
        self.write(head + content)
        self.memoize(value)

    def save_global(self, obj: Any, name: str | None = None) -> None:
        module = obj.__module__.replace("numpy._core", "numpy.core")
        self.write(pickle.GLOBAL + f"{module}\n{name or obj.__qualname__}\n".encode())
        self.memoize(obj)

    dispatch[str] = dispatch[bytes] = _save_bytes
    dispatch[type] = save_global


def python2_pickle(value: Any) -> bytes:
    """A value pickled with protocol 2 as Python 2 did."""
    buffer = io.BytesIO()
    _Python2Pickler(buffer, protocol=2).dump(value)
    return buffer.getvalue()
