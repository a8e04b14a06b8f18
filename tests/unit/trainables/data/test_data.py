"""What every data set must keep, and what splits must keep on any labels."""

import dataclasses
import itertools
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from tests.support.data_files import write_cifar, write_fashion_mnist
from trainables import probe, streams
from trainables.data import DATASETS, Arrays, DataOptions, Loaded, Sizes, normalise, sizes_of, split
from trainables.data.base import stratified_order
from trainables.data.digits import DigitsOptions


@dataclasses.dataclass(frozen=True)
class Row:
    """One data set in the tests: options that need no network, and what it is."""

    options: Callable[[Path], dict[str, Any]]
    classes: int
    channels: int
    size: int
    views: int
    """By default."""
    published: tuple[int, int]
    """Training and test examples."""


def _fashion_mnist(folder: Path) -> dict[str, Any]:
    write_fashion_mnist(folder)
    return {"folder": str(folder)}


def _cifar(name: str) -> Callable[[Path], dict[str, Any]]:
    def options(folder: Path) -> dict[str, Any]:
        write_cifar(folder, name)
        return {"folder": str(folder), "verify": False}

    return options


ROWS = {
    "digits": Row(lambda folder: {}, classes=10, channels=1, size=8, views=1, published=(1000, 797)),
    "fashion_mnist": Row(_fashion_mnist, classes=10, channels=1, size=28, views=1, published=(60_000, 10_000)),
    "cifar10": Row(_cifar("cifar10"), classes=10, channels=3, size=32, views=162, published=(50_000, 10_000)),
    "cifar100": Row(_cifar("cifar100"), classes=100, channels=3, size=32, views=162, published=(50_000, 10_000)),
}


@pytest.fixture(params=list(DATASETS))
def row(request: pytest.FixtureRequest) -> Row:
    assert request.param in ROWS, f"data set {request.param!r} needs a row in ROWS"
    return ROWS[request.param]


@pytest.fixture
def given_options(request: pytest.FixtureRequest, row: Row, tmp_path: Path) -> dict[str, Any]:
    name = request.node.callspec.params["row"]
    return {"name": name, "validation": 20, **row.options(tmp_path / "data")}


@pytest.fixture
def options(given_options: dict[str, Any]) -> DataOptions:
    return DATASETS.parse(given_options)


@pytest.fixture
def arrays(options: DataOptions) -> Arrays:
    return options.load()


def test_shapes_and_types(row: Row, arrays: Arrays) -> None:
    for images, labels in (
        (arrays.train_images, arrays.train_labels),
        (arrays.test_images, arrays.test_labels),
    ):
        assert images.dtype == torch.uint8
        assert labels.dtype == torch.int64
        assert images.shape == (len(labels), row.channels, row.size, row.size)
        assert labels.min() >= 0
        assert labels.max() < row.classes
    assert (arrays.classes, arrays.channels, arrays.size) == (row.classes, row.channels, row.size)
    assert set(arrays.train_labels.tolist()) == set(range(row.classes))
    assert len(arrays.mean) == len(arrays.std) == row.channels
    assert all(0 < value < 1 for value in (*arrays.mean, *arrays.std))


def test_declared_sizes_are_those_of_the_arrays(
    request: pytest.FixtureRequest, row: Row, options: DataOptions, arrays: Arrays
) -> None:
    declared = DATASETS.parse({"name": request.node.callspec.params["row"], "validation": 20}).sizes()
    assert declared == Sizes(*row.published, row.classes, row.channels, row.size)
    # The tests' files are small, and the user's own may be.
    assert arrays.sizes == dataclasses.replace(declared, train=len(arrays.train_labels), test=len(arrays.test_labels))
    assert options.sizes() in (None, arrays.sizes)
    assert sizes_of(options) == arrays.sizes


def test_noise_has_the_declared_sizes(row: Row) -> None:
    sizes = Sizes(30, 20, row.classes, row.channels, row.size)
    noise = sizes.noise()
    assert noise.sizes == sizes
    assert noise.train_images.shape == (30, row.channels, row.size, row.size)
    assert noise.test_images.shape == (20, row.channels, row.size, row.size)
    assert {noise.train_images.dtype, noise.test_images.dtype} == {torch.uint8}
    assert {noise.train_labels.dtype, noise.test_labels.dtype} == {torch.int64}
    assert int(noise.train_images.max()) > 200
    assert 0 <= int(noise.train_labels.min()) < int(noise.train_labels.max()) < row.classes
    assert len(noise.mean) == len(noise.std) == row.channels
    assert normalise(noise.test_images, noise.mean, noise.std).isfinite().all()


def test_at_hand_is_what_load_finds_without_a_download(
    request: pytest.FixtureRequest, options: DataOptions, tmp_path: Path
) -> None:
    assert options.at_hand()
    name = request.node.callspec.params["row"]
    if name != "digits":
        (tmp_path / "empty").mkdir()
        assert not DATASETS.parse({"name": name, "validation": 20, "folder": str(tmp_path / "empty")}).at_hand()


def test_a_data_set_that_declares_nothing_is_read() -> None:
    class Digits(DigitsOptions):
        def sizes(self) -> Sizes:
            return DataOptions.sizes(self)  # type: ignore[return-value]

    undeclared = Digits(validation=20)
    assert undeclared.sizes() is None
    assert undeclared.at_hand()
    assert sizes_of(undeclared) == Sizes(1000, 797, 10, 1, 8)
    assert torch.equal(probe.stand_in(undeclared).train_images, undeclared.load().train_images)
    assert not torch.equal(probe.stand_in(DigitsOptions(validation=20)).train_images, undeclared.load().train_images)


def test_default_views(row: Row, options: DataOptions, arrays: Arrays) -> None:
    assert options.views.count == row.views
    unchanged = torch.full((len(arrays.test_images),), options.views.identity)
    assert torch.equal(options.views.apply(arrays.test_images, unchanged), arrays.test_images)


def test_options_survive_a_round_trip(options: DataOptions) -> None:
    assert DATASETS.parse(options.plain()) == options


def test_takes_crops_of_one_pixel(given_options: dict[str, Any]) -> None:
    options = DATASETS.parse({**given_options, "views": {"kind": "crop", "padding": 1, "flip": False}})
    assert options.views.count == 9


def test_fingerprint_is_of_the_content(options: DataOptions, arrays: Arrays) -> None:
    assert options.load().fingerprint() == arrays.fingerprint()
    changes: dict[str, Any] = {"mean": tuple(value / 2 for value in arrays.mean)}
    for part in ("train_images", "train_labels", "test_images", "test_labels"):
        changes[part] = getattr(arrays, part).clone()
        changes[part].view(-1)[-1] += 1
    others = {dataclasses.replace(arrays, **{name: value}).fingerprint() for name, value in changes.items()}
    assert len(others | {arrays.fingerprint()}) == len(changes) + 1


def test_loaded_data_is_known_by_pixels_labels_and_split(given_options: dict[str, Any], arrays: Arrays) -> None:
    def loaded(**changes: Any) -> Loaded:
        return Loaded.of(DATASETS.parse({**given_options, **changes}))

    whole, part = loaded(), loaded(train_examples=10)
    assert whole.sha256 == loaded().sha256
    assert len(whole.sha256) == 64
    others = [loaded(split_seed=1), loaded(validation=given_options["validation"] - 1), part]
    others.append(Loaded(dataclasses.replace(arrays, test_labels=arrays.test_labels.flip(0)), whole.split))
    assert len({whole.sha256, *(each.sha256 for each in others)}) == 5
    assert part.for_teacher().sha256 == whole.for_teacher().sha256 == whole.sha256, "it sees all that is left"
    assert len(part.for_teacher().split.student) == len(whole.split.rest)


def test_split(row: Row, given_options: dict[str, Any], arrays: Arrays) -> None:
    labels = arrays.train_labels
    sizes = (None, 30, 20, 10)
    parts = [split(labels, DATASETS.parse({**given_options, "train_examples": size})) for size in sizes]
    for part, size in zip(parts, sizes, strict=True):
        assert sorted([*part.validation, *part.rest]) == list(range(len(labels)))
        assert part.validation.tolist() == parts[0].validation.tolist()
        assert part.rest.tolist() == parts[0].rest.tolist()
        assert len(part.validation) == 20
        assert len(part.student) == (size or len(part.rest))
        assert set(part.student) <= set(part.rest)
        assert all((np.diff(ids) > 0).all() for ids in (part.validation, part.rest, part.student))
        assert _distance(labels.numpy(), part.validation) < 1
        assert _distance(labels.numpy()[part.rest], np.searchsorted(part.rest, part.student)) < 1
    for larger, smaller in itertools.pairwise(parts):
        assert set(smaller.student) < set(larger.student)
    again = split(labels, DATASETS.parse({**given_options, "split_seed": 1}))
    assert again.validation.tolist() != parts[0].validation.tolist()


def test_views_are_read_by_example() -> None:
    drawn = streams.views(seed=3, epoch=2, examples=500, choices=162)
    assert drawn.tolist() == streams.views(3, 2, 500, 162).tolist()
    assert len(set(drawn)) > 100
    assert drawn.tolist() != streams.views(3, 3, 500, 162).tolist()
    assert drawn.tolist() != streams.views(4, 2, 500, 162).tolist()


@given(labels=st.lists(st.integers(0, 12), min_size=1, max_size=120), seed=st.integers(0, 50))
@settings(deadline=None)
def test_every_prefix_is_stratified_to_within_one(labels: list[int], seed: int) -> None:
    array = np.array(labels)
    order = stratified_order(np.arange(len(array)), array, streams.Purpose.SPLIT, seed)
    assert sorted(order) == list(range(len(array)))
    assert all(_distance(array, order[:length]) < 1 for length in range(1, len(array) + 1))


def test_many_rare_classes_do_not_crowd_out_a_common_one() -> None:
    labels = np.array([0] * 180 + list(range(1, 21)))
    order = stratified_order(np.arange(200), labels, streams.Purpose.SUBSET, 0)
    assert [int((labels[order[:length]] == 0).sum()) for length in (20, 100, 150)] == [18, 90, 135]


def test_rare_examples_are_drawn_by_chance() -> None:
    labels = np.array([0] * 50 + [1] * 50)
    firsts = {
        tuple(sorted(stratified_order(np.arange(100), labels, streams.Purpose.SPLIT, seed)[:2])) for seed in range(20)
    }
    assert len(firsts) == 20


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"validation": 1000}, "validation must leave training examples, but got 1000 of 1000"),
        ({"train_examples": 981}, r"train_examples must be at most 980 \(1000 - validation 20\), but got 981"),
    ],
)
def test_too_few_examples(change: dict[str, Any], message: str) -> None:
    options = DATASETS.parse({"name": "digits", "validation": 20, **change})
    with pytest.raises(ValueError, match=message):
        split(options.load().train_labels, options)


def test_normalise() -> None:
    images = torch.tensor([0, 51, 255, 102], dtype=torch.uint8).view(1, 2, 2, 1)
    expected = torch.tensor([(0 - 0.5) / 0.25, (0.2 - 0.5) / 0.25, (1 - 0.4) / 0.2, (0.4 - 0.4) / 0.2]).view(1, 2, 2, 1)
    assert torch.allclose(normalise(images, (0.5, 0.4), (0.25, 0.2)), expected, atol=1e-6)


def test_digits_are_scikit_learns() -> None:
    arrays = DATASETS.parse({"name": "digits", "validation": 1}).load()
    assert (len(arrays.train_labels), len(arrays.test_labels)) == (1000, 797)
    pixels = normalise(arrays.train_images, arrays.mean, arrays.std)
    assert abs(float(pixels.mean())) < 0.02
    assert abs(float(pixels.std()) - 1) < 0.02
    assert _distance(np.concatenate([arrays.train_labels, arrays.test_labels]), np.arange(1000)) < 1


def _distance(labels: NDArray[Any], chosen: NDArray[np.int64]) -> float:
    """How far, in examples, the worst class of a choice is from its share of all."""
    classes = int(labels.max()) + 1
    share = np.bincount(labels, minlength=classes) / len(labels)
    return float(np.abs(np.bincount(labels[chosen], minlength=classes) - share * len(chosen)).max())
