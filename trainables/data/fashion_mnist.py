"""Fashion-MNIST: grey images of clothes, 28x28, ten classes (Xiao et al., 2017, arXiv 1708.07747), as idx files."""

import struct
from pathlib import Path
from typing import Literal

import numpy as np
import torch
from numpy.typing import NDArray
from pydantic import Field
from torch import Tensor

from trainables.data import files
from trainables.data.base import Arrays, DataOptions, Sizes
from trainables.inputs import DownloadFailed
from trainables.options import LocalPath

_DEBIAN = Path("/usr/share/datasets/fashion-mnist")  # package dataset-fashion-mnist
_TRAIN, _TEST = "train", "t10k"
_CLASSES, _SIZE = 10, 28
_UINT8 = 8  # idx's code of the element type

_SERVER = "http://fashion-mnist.s3-website.eu-central-1.amazonaws.com"
_PUBLISHED = {
    "train-images-idx3-ubyte.gz": "8d4fb7e6c68d591d4c3dfef9ec88bf0d",
    "train-labels-idx1-ubyte.gz": "25c81989df183df01b3e8a0aad5dffbe",
    "t10k-images-idx3-ubyte.gz": "bef4ecab320f06d8554ea6380940ec79",
    "t10k-labels-idx1-ubyte.gz": "bb300cfdad3c16e7a12a480ee83cd310",
}
_LARGEST = 2 * 60_000 * _SIZE * _SIZE
"""Bytes that a packed file may hold: twice the published images."""


class FashionMnistOptions(DataOptions):
    """60,000 training and 10,000 test images of clothes, 28x28, grey, ten classes."""

    name: Literal["fashion_mnist"] = "fashion_mnist"
    folder: LocalPath | None = Field(
        None,
        description="Folder with the four idx files, packed (.gz) or not; default: Debian's package, else a download.",
    )

    def load(self) -> Arrays:
        folder = _find(self.folder)
        train_images, train_labels = _read_part(folder, _TRAIN)
        test_images, test_labels = _read_part(folder, _TEST)
        return Arrays(
            train_images=train_images,
            train_labels=train_labels,
            test_images=test_images,
            test_labels=test_labels,
            classes=_CLASSES,
            mean=(0.2860,),
            std=(0.3530,),
        )

    def sizes(self) -> Sizes | None:
        # A folder of the user's may hold fewer images.
        return Sizes(60_000, 10_000, _CLASSES, channels=1, size=_SIZE) if self.folder is None else None

    def at_hand(self) -> bool:
        return any(_complete(folder) for folder in _places(self.folder))


def _places(given: str | None) -> tuple[Path, ...]:
    """Folders in which the files are looked for, the one to download into last."""
    if given is not None:
        return (Path(given),)
    return _DEBIAN, files.cache_folder() / "fashion-mnist" / "FashionMNIST" / "raw"  # as torchvision names it


def _find(given: str | None) -> Path:
    places = _places(given)
    for folder in places:
        if _complete(folder):
            return folder
    if given is not None:
        raise FileNotFoundError(
            f"Fashion-MNIST must lie in {given} as four idx files such as train-images-idx3-ubyte.gz, but does "
            "not. Put them there, or name no folder"
        )
    try:
        files.download("Fashion-MNIST", places[-1].parents[1], _fetch)
    except DownloadFailed as fault:
        raise DownloadFailed(f"{fault}, or install Debian's package dataset-fashion-mnist") from None
    return places[-1]


def _fetch(folder: Path) -> None:
    raw = folder / "FashionMNIST" / "raw"
    raw.mkdir(parents=True)
    for name, md5 in _PUBLISHED.items():
        (raw / name).write_bytes(files.fetch(f"{_SERVER}/{name}", md5, _LARGEST))


def _complete(folder: Path) -> bool:
    return all(_path(folder, part, kind) is not None for part in (_TRAIN, _TEST) for kind in ("images", "labels"))


def _path(folder: Path, part: str, kind: str) -> Path | None:
    plain = folder / f"{part}-{kind}-idx{3 if kind == 'images' else 1}-ubyte"
    return next((path for path in (plain, plain.with_name(f"{plain.name}.gz")) if path.is_file()), None)


def _read_part(folder: Path, part: str) -> tuple[Tensor, Tensor]:
    images_path, labels_path = _path(folder, part, "images"), _path(folder, part, "labels")
    if images_path is None or labels_path is None:
        raise FileNotFoundError(f"the {part} files of Fashion-MNIST are no longer in {folder}")
    images, labels = read_idx(images_path, 3), read_idx(labels_path, 1)
    if images.shape[1:] != (_SIZE, _SIZE):
        raise ValueError(
            f"images in {images_path} must be {_SIZE}x{_SIZE}, but are {images.shape[1]}x{images.shape[2]}"
        )
    if len(images) != len(labels):
        raise ValueError(
            f"{labels_path} must hold a label for each of the {len(images)} images, but holds {len(labels)}"
        )
    if len(images) == 0:
        raise ValueError(f"{images_path} must hold images, but holds none")
    files.require_labels(str(labels_path), int(labels.min()), int(labels.max()), _CLASSES)
    return torch.from_numpy(images).unsqueeze(1), torch.from_numpy(labels.astype(np.int64))


def read_idx(path: Path, dimensions: int) -> NDArray[np.uint8]:
    """Read an array of bytes in the idx format: two zeros, element type, dimensions, big-endian sizes, elements.

    Args:
        path: the file, packed if its name ends in ``.gz``.
        dimensions: the number that the array must have.

    Raises:
        FileNotFoundError: the file does not exist.
        ValueError: it has another format, or the wrong length.
    """
    content = files.unpack(path, _LARGEST) if path.suffix == ".gz" else files.read(path)
    magic, expected = content[:4], bytes((0, 0, _UINT8, dimensions))
    if magic != expected:
        raise ValueError(f"{path} must begin with idx's magic number {expected.hex()}, but begins with {magic.hex()!r}")
    start = 4 + 4 * dimensions
    if len(content) < start:
        raise ValueError(f"{path} must name {dimensions} sizes, but ends after {len(content)} bytes")
    shape = struct.unpack(f">{dimensions}I", content[4:start])
    elements = int(np.prod(shape, dtype=object))
    if len(content) - start != elements:
        sizes = " x ".join(map(str, shape))
        raise ValueError(
            f"{path} must hold {sizes} = {elements} bytes after its head, but holds {len(content) - start}"
        )
    # Copied, because torch needs writable memory.
    return np.frombuffer(content, dtype=np.uint8, offset=start).reshape(shape).copy()
