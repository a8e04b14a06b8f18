"""CIFAR-10 and CIFAR-100: colour images of 32x32 (Krizhevsky, 2009), from the files of the published archives.

Each is published as two archives: one for Python, a folder of pickles, and a binary one, a folder of records. Either is
read, as the published ``.tar.gz`` or unpacked.
"""

# N examples

import dataclasses
import gzip
import io
import tarfile
from collections.abc import Callable
from pathlib import Path
from typing import Annotated, Any, ClassVar, Literal

import numpy as np
import torch
from numpy.typing import NDArray
from pydantic import Field
from torch import Tensor

from trainables.data import files
from trainables.data.base import Arrays, DataOptions, Sizes
from trainables.data.safe_pickle import unpickle_arrays
from trainables.data.views import VIEWS, Crop, ViewOptions
from trainables.options import LocalPath
from trainables.registry import OneOf

_SHAPE = (3, 32, 32)
_PIXELS = 3 * 32 * 32
_TRAIN, _TEST = 50_000, 10_000

_SERVER = "https://www.cs.toronto.edu/~kriz"
_LARGEST = 2 * (_TRAIN + _TEST) * _PIXELS
"""Bytes that a packed archive may hold: twice the published images."""

#: Decodes one file, given its name (for messages) and content, into images, shape (N, 3072), and labels, shape (N,).
Decode = Callable[[str, bytes], tuple[NDArray[np.uint8], NDArray[np.int64]]]


@dataclasses.dataclass(frozen=True)
class Archive:
    """One published form of a data set."""

    file: str
    """Name of the ``.tar.gz``."""
    md5: str
    folder: str
    """Name of the folder that it unpacks to."""
    train: dict[str, str | None]
    """Files and their MD5; None where nobody publishes one."""
    test: dict[str, str | None]
    decode: Decode

    def within(self, place: Path) -> Path | None:
        """Return the unpacked folder or the packed file in a folder, or the folder itself if it is the unpacked one."""
        for folder in (place / self.folder, place):
            if all((folder / name).is_file() for name in (*self.train, *self.test)):
                return folder
        return place / self.file if (place / self.file).is_file() else None

    def contents(self, found: Path, verify: bool) -> dict[str, bytes]:
        """Return the contents of all files, by name, from the path that ``within`` returned.

        Raises:
            ValueError: a file does not have the published checksum, or the packed file is damaged.
        """
        members = {**self.train, **self.test}
        if found.is_dir():
            return {name: files.read(found / name, md5 if verify else None) for name, md5 in members.items()}
        return self.unpack(str(found), files.read(found, self.md5 if verify else None))

    def unpack(self, name: str, packed: bytes) -> dict[str, bytes]:
        """Return the contents of all files of the packed file, by name; nothing else of it is unpacked.

        Args:
            name: of the packed file, for messages.
            packed: its content.

        Raises:
            ValueError: it is damaged, lacks a file, or holds more than ``_LARGEST`` bytes.
        """
        wanted = {f"{self.folder}/{member}": member for member in (*self.train, *self.test)}
        contents: dict[str, bytes] = {}
        try:
            with gzip.GzipFile(fileobj=io.BytesIO(packed)) as unpacked:
                bounded: Any = files.Bounded(unpacked, _LARGEST)
                with tarfile.open(fileobj=bounded, mode="r|") as archive:
                    for entry in archive:
                        if entry.name in wanted:
                            contents[wanted[entry.name]] = _content(archive, entry)
                while bounded.read(2**16):  # to the end, where the checksum is
                    pass
            if missing := [path for path, member in wanted.items() if member not in contents]:
                raise KeyError(f"{missing[0]} is not in it")
        except Exception as fault:  # a damaged archive can raise any exception
            raise ValueError(f"{name} must be the whole archive, but: {fault or type(fault).__name__}") from None
        return contents


def _content(archive: tarfile.TarFile, entry: tarfile.TarInfo) -> bytes:
    file = archive.extractfile(entry) if entry.isreg() and not entry.issparse() else None
    if file is None:  # a link, or a sparse file, which may claim any length
        raise ValueError(f"{entry.name} is not a plain file")
    return file.read()


class _CifarOptions(DataOptions):
    folder: LocalPath | None = Field(
        None,
        description="Folder of the published archive, Python's or the binary one, packed or not; default: a download.",
    )
    verify: bool = Field(
        True,
        description="Compare files with the published checksums and counts (of the unpacked binary version only "
        "counts are known). Off is for files of your own.",
    )
    views: Annotated[ViewOptions, OneOf(VIEWS)] = Field(
        default=Crop(), description="The augmented forms of an example; default: pad by 4, crop, flip."
    )

    title: ClassVar[str]
    classes: ClassVar[int]
    mean: ClassVar[tuple[float, ...]]
    std: ClassVar[tuple[float, ...]]
    archives: ClassVar[tuple[Archive, ...]]

    def _fetch(self, folder: Path) -> None:
        """Download Python's archive into this folder, unpacked."""
        archive = self.archives[0]
        packed = files.fetch(f"{_SERVER}/{archive.file}", archive.md5, _LARGEST)
        (folder / archive.folder).mkdir(parents=True)
        for name, content in archive.unpack(archive.file, packed).items():
            (folder / archive.folder / name).write_bytes(content)

    def load(self) -> Arrays:
        found, archive = self._find()
        contents = archive.contents(found, self.verify)
        train, test = (
            [archive.decode(f"{found}/{name}", contents[name]) for name in members]
            for members in (archive.train, archive.test)
        )
        counts = tuple(sum(len(labels) for _, labels in part) for part in (train, test))
        if self.verify and counts != (_TRAIN, _TEST):
            raise ValueError(
                f"{self.title} must have {_TRAIN} training and {_TEST} test images, but {found} holds {counts[0]} and "
                f"{counts[1]} (for files of your own, set verify: false)"
            )
        return Arrays(*_tensors(train), *_tensors(test), classes=self.classes, mean=self.mean, std=self.std)

    def sizes(self) -> Sizes | None:
        # Of unverified files of the user's, no count is known.
        known = self.verify or self.folder is None
        return Sizes(_TRAIN, _TEST, self.classes, *_SHAPE[:2]) if known else None

    def at_hand(self) -> bool:
        return self._search(self._place) is not None

    @property
    def _place(self) -> Path:
        return Path(self.folder) if self.folder is not None else files.cache_folder() / self.title.lower()

    def _find(self) -> tuple[Path, Archive]:
        place = self._place
        if self.folder is None and self._search(place) is None:
            files.download(self.title, place, self._fetch)
        if found := self._search(place):
            return found
        names = ", ".join(name for archive in self.archives for name in (f"{archive.folder}/", archive.file))
        raise FileNotFoundError(
            f"{self.title} must lie in {place} as one of {names}, but does not. Put one there, or, "
            "where there is a network, name no folder"
        )

    def _search(self, place: Path) -> tuple[Path, Archive] | None:
        found = ((archive.within(place), archive) for archive in self.archives)
        return next(((path, archive) for path, archive in found if path is not None), None)


def _tensors(parts: list[tuple[NDArray[np.uint8], NDArray[np.int64]]]) -> tuple[Tensor, Tensor]:
    images, labels = (np.concatenate(arrays) for arrays in zip(*parts, strict=True))
    return torch.from_numpy(images.reshape(-1, *_SHAPE)), torch.from_numpy(labels)


def _from_pickle(labels_key: str, classes: int) -> Decode:
    def decode(name: str, content: bytes) -> tuple[NDArray[np.uint8], NDArray[np.int64]]:
        batch: Any = unpickle_arrays(name, content)
        if not isinstance(batch, dict) or not {"data", labels_key} <= batch.keys():
            raise ValueError(f"{name} must hold a dict with 'data' and {labels_key!r}")
        images, labels = batch["data"], batch[labels_key]
        if not isinstance(images, np.ndarray) or images.dtype != np.uint8 or images.shape[1:] != (_PIXELS,):
            form = f"{images.dtype} {images.shape}" if isinstance(images, np.ndarray) else type(images).__name__
            raise ValueError(f"'data' in {name} must be bytes of shape (N, {_PIXELS}), but is {form}")
        if isinstance(labels, np.ndarray):
            labels = labels.tolist()
        if not isinstance(labels, list) or not all(isinstance(label, int) for label in labels):
            raise ValueError(f"{labels_key!r} in {name} must be a list of integers")
        if len(labels) != len(images):
            raise ValueError(f"{labels_key!r} in {name} must be {len(images)} labels, but is {len(labels)}")
        return images, _checked(name, labels, classes)

    return decode


def _from_records(label_bytes: int, classes: int) -> Decode:
    """Decode records of one or more labels, of which the last is used, and 3,072 bytes of pixels."""
    record = label_bytes + _PIXELS

    def decode(name: str, content: bytes) -> tuple[NDArray[np.uint8], NDArray[np.int64]]:
        if len(content) % record:
            raise ValueError(f"{name} must be whole records of {record} bytes, but has {len(content)} bytes")
        records = np.frombuffer(content, dtype=np.uint8).reshape(-1, record)
        return records[:, label_bytes:], _checked(name, records[:, label_bytes - 1].tolist(), classes)

    return decode


def _checked(name: str, labels: list[int], classes: int) -> NDArray[np.int64]:
    if not labels:
        raise ValueError(f"{name} must hold images, but holds none")
    files.require_labels(name, min(labels), max(labels), classes)
    return np.array(labels, dtype=np.int64)


class Cifar10Options(_CifarOptions):
    """50,000 training and 10,000 test images, 32x32, colour, ten classes."""

    name: Literal["cifar10"] = "cifar10"

    title: ClassVar[str] = "CIFAR-10"
    classes: ClassVar[int] = 10
    mean: ClassVar[tuple[float, ...]] = (0.4914, 0.4822, 0.4465)
    std: ClassVar[tuple[float, ...]] = (0.2470, 0.2435, 0.2616)
    archives: ClassVar[tuple[Archive, ...]] = (
        Archive(
            file="cifar-10-python.tar.gz",
            md5="c58f30108f718f92721af3b95e74349a",
            folder="cifar-10-batches-py",
            train={
                "data_batch_1": "c99cafc152244af753f735de768cd75f",
                "data_batch_2": "d4bba439e000b95fd0a9bffe97cbabec",
                "data_batch_3": "54ebc095f3ab1f0389bbae665268c751",
                "data_batch_4": "634d18415352ddfa80567beed471001a",
                "data_batch_5": "482c414d41f54cd18b22e5b47cb7c3cb",
            },
            test={"test_batch": "40351d587109b95175f43aff81a1287e"},
            decode=_from_pickle("labels", 10),
        ),
        Archive(
            file="cifar-10-binary.tar.gz",
            md5="c32a1d4ab5d03f1284b67883e8d87530",
            folder="cifar-10-batches-bin",
            train=dict.fromkeys(f"data_batch_{index}.bin" for index in range(1, 6)),
            test={"test_batch.bin": None},
            decode=_from_records(1, 10),
        ),
    )


class Cifar100Options(_CifarOptions):
    """50,000 training and 10,000 test images, 32x32, colour, a hundred classes (the fine labels)."""

    name: Literal["cifar100"] = "cifar100"

    title: ClassVar[str] = "CIFAR-100"
    classes: ClassVar[int] = 100
    mean: ClassVar[tuple[float, ...]] = (0.5071, 0.4867, 0.4408)
    std: ClassVar[tuple[float, ...]] = (0.2675, 0.2565, 0.2761)
    archives: ClassVar[tuple[Archive, ...]] = (
        Archive(
            file="cifar-100-python.tar.gz",
            md5="eb9058c3a382ffc7106e4002c42a8d85",
            folder="cifar-100-python",
            train={"train": "16019d7e3df5f24257cddd939b257f8d"},
            test={"test": "f0ef6b0ae62326f3e7ffdfab6717acfc"},
            decode=_from_pickle("fine_labels", 100),
        ),
        Archive(
            file="cifar-100-binary.tar.gz",
            md5="03b5dce01913d631647c71ecec9e9cb8",
            folder="cifar-100-binary",
            train={"train.bin": None},
            test={"test.bin": None},
            decode=_from_records(2, 100),
        ),
    )
