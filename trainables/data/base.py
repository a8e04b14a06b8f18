"""The base class of data sets' options, splits, and the registry of data sets."""

# N examples, K channels, S height and width

import dataclasses
import functools
import hashlib
import heapq
from abc import abstractmethod
from typing import Annotated, ClassVar

import numpy as np
import torch
from numpy.typing import NDArray
from pydantic import Field
from torch import Tensor

from trainables import streams
from trainables.data.views import VIEWS, Plain, ViewOptions
from trainables.inputs import read_from_user
from trainables.options import Options
from trainables.registry import OneOf, Registry


@dataclasses.dataclass(frozen=True)
class Sizes:
    """What a study can be planned with before its data set is read."""

    train: int
    """Training examples, before any split."""
    test: int
    classes: int
    channels: int
    size: int
    """Height and width in pixels."""

    def noise(self) -> "Arrays":
        """Return a data set of these sizes with random pixels and labels; training on it takes as long."""
        rng = np.random.default_rng(0)
        shape = (self.channels, self.size, self.size)
        images = [rng.integers(0, 256, (count, *shape), dtype=np.uint8) for count in (self.train, self.test)]
        labels = [rng.integers(0, self.classes, count) for count in (self.train, self.test)]
        (train, test), (train_labels, test_labels) = map(torch.from_numpy, images), map(torch.from_numpy, labels)
        mean, std = (0.5,) * self.channels, (0.25,) * self.channels
        return Arrays(train, train_labels, test, test_labels, self.classes, mean, std)


@dataclasses.dataclass(frozen=True)
class Arrays:
    """A data set in memory."""

    train_images: Tensor
    """uint8, shape (N, K, S, S)."""
    train_labels: Tensor
    """int64, shape (N,)."""
    test_images: Tensor
    test_labels: Tensor
    classes: int
    mean: tuple[float, ...]
    """Per channel, of pixels scaled to 0..1."""
    std: tuple[float, ...]

    @property
    def channels(self) -> int:
        return self.train_images.shape[1]

    @property
    def size(self) -> int:
        """Height and width in pixels."""
        return self.train_images.shape[2]

    @property
    def sizes(self) -> Sizes:
        return Sizes(len(self.train_labels), len(self.test_labels), self.classes, self.channels, self.size)

    def to(self, device: torch.device) -> "Arrays":
        """Return a copy with images and labels on a device."""
        names = ("train_images", "train_labels", "test_images", "test_labels")
        return dataclasses.replace(self, **{name: getattr(self, name).to(device) for name in names})

    def fingerprint(self) -> str:
        """Return the hash of all pixels and labels, 16 hex digits; they must be on the CPU."""
        return self.sha256[:16]

    @functools.cached_property
    def sha256(self) -> str:
        """SHA-256 of all pixels and labels, 64 hex digits; they must be on the CPU."""
        digest = hashlib.sha256()
        for tensor in (self.train_images, self.train_labels, self.test_images, self.test_labels):
            digest.update(str(tuple(tensor.shape)).encode())
            digest.update(tensor.contiguous().numpy().data)
        digest.update(repr((self.mean, self.std)).encode())
        return digest.hexdigest()


class DataOptions(Options):
    """Options of one data set; loads it."""

    whereabouts: ClassVar[frozenset[str]] = frozenset({"folder", "verify"})
    """Options about the location and the check of files, not about their content: not part of a fingerprint."""

    validation: int = Field(
        ge=0,
        le=10_000_000,
        description="Training examples held out, stratified, from teacher and student; they select epochs, settings.",
    )
    train_examples: int | None = Field(
        None,
        ge=1,
        le=10_000_000,
        description="The student trains on this many of the remaining examples; default: all. Subsets are nested.",
    )
    split_seed: int = Field(
        0,
        ge=0,
        le=streams.MAX_SEED,
        description="Which validation split and which subsets; the same for all trials, unless `vary` says otherwise.",
    )
    views: Annotated[ViewOptions, OneOf(VIEWS)] = Field(
        default=Plain(), description="The augmented forms of an example."
    )

    @abstractmethod
    def load(self) -> Arrays:
        """Read the data set.

        Raises:
            FileNotFoundError: it was not found; the message says where it must lie, and how to get it.
            ValueError: a file is damaged or is another file.
        """

    def sizes(self) -> Sizes | None:
        """Return the sizes as far as they are known without reading the data set, else None.

        ``plan`` reads a data set that does not declare them.
        """
        return None

    def at_hand(self) -> bool:
        """Whether ``load`` finds the data set on this machine, without a download."""
        return True


def sizes_of(options: DataOptions) -> Sizes:
    """Return the sizes that a data set declares, else those of its arrays.

    Raises:
        FileNotFoundError, ValueError: see ``DataOptions.load``.
    """
    return options.sizes() or options.load().sizes


@dataclasses.dataclass(frozen=True)
class Split:
    """Ids of training examples, ascending within each part; the parts do not overlap."""

    validation: NDArray[np.int64]
    rest: NDArray[np.int64]
    """What the teacher trains on."""
    student: NDArray[np.int64]
    """What the student trains on, a subset of ``rest``."""


def split(labels: Tensor, options: DataOptions) -> Split:
    """Return the stratified split that the options ask for.

    Each class is represented in proportion, to within one example, in validation and in every training subset; larger
    subsets contain the smaller ones.

    Raises:
        ValueError: the data set has too few examples.
    """
    available = len(labels)
    wanted = student_examples(options, available)
    ids = np.arange(available)
    held_out = stratified_order(ids, labels.numpy(), streams.Purpose.SPLIT, options.split_seed)[: options.validation]
    rest = np.setdiff1d(ids, held_out)
    order = stratified_order(rest, labels.numpy()[rest], streams.Purpose.SUBSET, options.split_seed)
    return Split(np.sort(held_out), rest, np.sort(order[:wanted]))


@dataclasses.dataclass(frozen=True)
class Loaded:
    """A data set in memory, on the CPU, with its split."""

    arrays: Arrays
    split: Split

    @classmethod
    def of(cls, options: DataOptions) -> "Loaded":
        """Read a data set and split it; see ``DataOptions.load`` and ``split`` for the errors.

        Raises:
            MissingInput: it was not found, and not for want of a network.
        """
        with read_from_user():
            arrays = options.load()
        return cls(arrays, split(arrays.train_labels, options))

    @functools.cached_property
    def sha256(self) -> str:
        """SHA-256 of pixels, labels and the ids of each part of the split, 64 hex digits."""
        digest = hashlib.sha256(self.arrays.sha256.encode())
        for part in (self.split.validation, self.split.rest, self.split.student):
            digest.update(f"{len(part)}:".encode())
            digest.update(np.ascontiguousarray(part).data)
        return digest.hexdigest()

    def for_teacher(self) -> "Loaded":
        """Return the same data as the teacher sees it: it trains on all that validation leaves."""
        return Loaded(self.arrays, dataclasses.replace(self.split, student=self.split.rest))


class KeptData:
    """Reads data sets; keeps the one it read last, for other splits of it."""

    def __init__(self) -> None:
        self._options: DataOptions | None = None
        self._arrays: Arrays | None = None

    def __call__(self, options: DataOptions) -> Loaded:
        """Return a data set with its split; see ``Loaded.of`` for the errors."""
        whole = options.model_copy(update={"split_seed": 0})
        if self._arrays is None or self._options != whole:
            self._options, self._arrays = whole, options.load()
        return Loaded(self._arrays, split(self._arrays.train_labels, options))


def student_examples(options: DataOptions, available: int) -> int:
    """Return how many of the available training examples the student trains on.

    Raises:
        ValueError: there are not enough examples.
    """
    rest = available - options.validation
    if rest <= 0:
        raise ValueError(f"validation must leave training examples, but got {options.validation} of {available}")
    wanted = options.train_examples or rest
    if wanted > rest:
        most = f"{rest} ({available} - validation {options.validation})"
        raise ValueError(f"train_examples must be at most {most}, but got {wanted}")
    return wanted


def stratified_order(
    ids: NDArray[np.int64], labels: NDArray[np.int64], purpose: streams.Purpose, seed: int
) -> NDArray[np.int64]:
    """Return the ids in an order of which every prefix holds each class in proportion, to within one example.

    Source: the quota method of apportionment (Balinski and Young, 1975). Among the classes whose quota allows one more
    example, the one with the earliest deadline is next. The order within a class, and ties, are random.
    """
    total = len(ids)
    shuffled = streams.split_order(purpose, seed, total)
    labels = labels[shuffled]
    release, deadline = np.empty(total, dtype=np.int64), np.empty(total)
    for label in np.unique(labels):
        members = np.flatnonzero(labels == label)
        rank = np.arange(len(members))
        release[members], deadline[members] = rank * total // len(members), (rank + 1) * total / len(members)
    arrivals = np.argsort(release, kind="stable")
    begins = np.searchsorted(release[arrivals], np.arange(total + 1))
    urgency = deadline.tolist()
    waiting: list[tuple[float, int]] = []
    order = []
    for length in range(total):
        for place in arrivals[begins[length] : begins[length + 1]].tolist():
            heapq.heappush(waiting, (urgency[place], place))
        order.append(heapq.heappop(waiting)[1])
    return ids[shuffled[order]]


def normalise(images: Tensor, mean: tuple[float, ...], std: tuple[float, ...]) -> Tensor:
    """Return (pixel / 255 - mean) / std per channel, float32, from uint8 images, shape (N, K, S, S)."""
    scale, shift = _affine(mean, std, images.device)
    return images.float() * scale + shift


@functools.lru_cache(maxsize=64)
def _affine(mean: tuple[float, ...], std: tuple[float, ...], device: torch.device) -> tuple[Tensor, Tensor]:
    # Cached: making a GPU tensor from a list at every step would stall the GPU.
    with torch.inference_mode(False):
        scale = torch.tensor([1 / (255 * s) for s in std], device=device)
        shift = torch.tensor([-m / s for m, s in zip(mean, std, strict=True)], device=device)
    return scale.view(1, -1, 1, 1), shift.view(1, -1, 1, 1)


DATASETS = Registry("trainables.data", DataOptions, "name", "ctkd_study.datasets")
