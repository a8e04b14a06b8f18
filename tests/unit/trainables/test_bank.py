"""The bank holds what will be drawn, what the plain teacher says, and survives what happens to files."""

import json
import logging
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import torch.fx
import torch.nn.functional as F
from hypothesis import example, given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays as arrays_of_numbers
from numpy.typing import NDArray
from torch import Tensor, nn

from tests.support.banks import banked
from tests.support.trials import trainer_of, without_clock
from trainables import preparation, streams
from trainables.bank import (
    BANKS,
    Bank,
    BankCost,
    OpenBank,
    Precision,
    Table,
    filling,
    keys_of,
    needed,
    paid,
    representatives,
    share_of,
)
from trainables.bank.filling import close, fastest, fill
from trainables.data import Arrays, normalise, split
from trainables.data.digits import DigitsOptions
from trainables.data.views import Crop
from trainables.materials import serves
from trainables.models import MODELS, Features, Network
from trainables.sources import Banked
from trainables.storage import Storage

CPU = torch.device("cpu")


def random_arrays(examples: int, size: int = 32, classes: int = 100) -> Arrays:
    """Noise in the shape of CIFAR-100."""
    images = torch.randint(0, 256, (examples, 3, size, size), dtype=torch.uint8, generator=torch.Generator())
    labels = torch.arange(examples) % classes
    return Arrays(images, labels, images[:1], labels[:1], classes, (0.5, 0.5, 0.5), (0.25, 0.25, 0.25))


def seasoned(model: str, arrays: Arrays) -> Network:
    """A network whose batch normalisations have seen images, frozen."""
    with torch.random.fork_rng():
        torch.manual_seed(1)
        network = MODELS.parse({"model": model}).build(arrays.classes, arrays.channels, arrays.size)
    with torch.no_grad():
        for some in torch.split(arrays.train_images[:128], 64):
            network(normalise(some, arrays.mean, arrays.std))
    return network.eval().requires_grad_(False)


def bank_at(folder: Path, precision: Precision = "float32", pooled: bool = False, views: int = 50) -> Bank:
    return Bank(Storage.at(str(folder / "bank")), views, precision, pooled)


def filled(folder: Path, model: str, precision: Precision, pooled: bool = False) -> tuple[Tensor, Tensor, Features]:
    """Logits and pooled vectors of a bank for some views of noise, and what the plain teacher says of them."""
    arrays = random_arrays(128)
    data = DigitsOptions(validation=1, views=Crop(padding=2))
    bank, network = bank_at(folder, precision, pooled), seasoned(model, arrays)
    ids = torch.arange(0, 128, 3)
    views = (ids * 7) % data.views.count
    fill(bank, np.sort(keys_of(ids.numpy(), views.numpy(), 50)), network, data, arrays, CPU)
    source = Banked(bank.open(), CPU)
    source.start(ids, views)
    images = normalise(data.views.apply(arrays.train_images[ids], views), arrays.mean, arrays.std)
    with torch.no_grad():
        plain = network.features(images)
    read = source.batch(0, len(ids), images)
    return read.logits, read.pooled, plain


# -- which pairs -------------------------------------------------------------------------------------------------------


@hypothesis_settings(deadline=None)
@given(
    epochs=st.dictionaries(st.integers(0, 5), st.integers(1, 6), max_size=3),
    views=st.sampled_from([1, 2, 9, 162]),
    members=st.sets(st.integers(0, 19), min_size=1),
)
def test_needed_are_the_pairs_that_the_streams_draw(epochs: dict[int, int], views: int, members: set[int]) -> None:
    ids = np.array(sorted(members))
    keys = needed(epochs, ids, 20, views)
    drawn = {
        (example, int(streams.views(seed, epoch, 20, views)[example]))
        for seed, count in epochs.items()
        for epoch in range(1, count + 1)
        for example in members
    }
    assert list(keys) == sorted(keys_of(np.array([e]), np.array([v]), views)[0] for e, v in drawn)


@pytest.mark.parametrize(("seeds", "epochs"), [(1, 30), (5, 240)])
def test_the_expected_share_of_views_is_near_the_drawn_one(seeds: int, epochs: int) -> None:
    plan = dict.fromkeys(range(seeds), epochs)
    drawn = len(needed(plan, np.arange(2000), 2000, 162)) / 2000
    assert share_of(plan, 162) == pytest.approx(drawn, rel=0.01)
    assert share_of(plan, 1) == 1


# -- what it says ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("model", ["resnet20", "resnet56"])
def test_a_bank_in_single_precision_agrees_with_the_plain_teacher(tmp_path: Path, model: str) -> None:
    logits, pooled, plain = filled(tmp_path, model, "float32", pooled=True)
    assert (logits - plain.logits).abs().max() <= 1e-5 * plain.logits.abs().max()
    assert (pooled - plain.pooled).abs().max() <= 1e-5 * plain.pooled.abs().max()
    assert plain.logits.std() > 0.1


@pytest.mark.parametrize("temperature", [1.0, 4.0, 20.0])
def test_16_bits_change_gradients_by_less_than_a_ten_thousandth(tmp_path: Path, temperature: float) -> None:
    arrays, data = random_arrays(64), DigitsOptions(validation=1)
    teacher_network, student = seasoned("resnet20", arrays), seasoned("resnet8", arrays).train()
    images = normalise(arrays.train_images, arrays.mean, arrays.std)
    with torch.no_grad():  # as sure of itself as a trained teacher
        teacher_network.head.weight.mul_(4 / teacher_network(images).std())
    bank = bank_at(tmp_path, "fixed16", views=1)
    fill(bank, np.arange(64), teacher_network, data, arrays, CPU)
    rounded = torch.from_numpy(bank.open().rows(np.arange(64))[0])

    def gradient(logits: Tensor) -> Tensor:
        parameters = list(student.requires_grad_().parameters())
        p, log_q = F.softmax(logits / temperature, 1), F.log_softmax(student(images) / temperature, 1)
        parts = torch.autograd.grad(F.kl_div(log_q, p, reduction="batchmean"), parameters)
        return torch.cat([part.flatten() for part in parts])

    exact = gradient(teacher_network(images))
    error = (gradient(rounded) - exact).norm() / exact.norm()
    assert 0 < error < 1e-4


def test_a_row_does_not_depend_on_what_else_is_computed(tmp_path: Path) -> None:
    arrays, data = random_arrays(40, size=16), DigitsOptions(validation=1, views=Crop(padding=2))
    network = seasoned("resnet8", arrays)
    keys = np.arange(0, 40 * 50, 5)
    whole, pieces = bank_at(tmp_path / "whole"), bank_at(tmp_path / "pieces")
    fill(whole, keys, network, data, arrays, CPU)
    for part in (keys[300:], keys[:1], keys[1:3], keys[2:6], keys[5:301]):
        fill(pieces, part, network, data, arrays, CPU)
    assert sum(len(segment.keys) for segment in pieces.open().segments) == len(keys), "nothing is computed twice"
    shuffled = np.random.default_rng(0).permutation(keys)
    assert np.array_equal(whole.open().rows(shuffled)[0], pieces.open().rows(shuffled)[0])


def test_outputs_that_are_not_finite_are_refused(tmp_path: Path) -> None:
    for value in (np.nan, np.inf):
        with pytest.raises(ValueError, match="the teacher's outputs must be finite"):
            bank_at(tmp_path).write(np.array([0]), (np.array([[0.0, value]], np.float32), None), BankCost())


@hypothesis_settings(deadline=None)
@given(arrays_of_numbers(np.float32, (3, 5), elements=st.floats(-1e6, 1e6, width=32)))
@example(np.array([[1e-45, 0.0], [1e-40, 0.0], [0.0, 0.0]], np.float32))
def test_16_bits_are_off_by_half_a_step_of_their_row_at_most(numbers: NDArray[np.float32]) -> None:
    span = numbers.max(axis=1, keepdims=True).astype(np.float64) - numbers.min(axis=1, keepdims=True)
    # Below the smallest normal number single precision keeps no relative precision, nor can steps of such rows.
    rounding = 2e-7 * np.abs(numbers).max() + np.finfo(np.float32).tiny
    off = np.abs(Table.of(numbers, "fixed16").read(np.arange(3)).astype(np.float64) - numbers)
    assert (off <= 0.501 * span / 65_535 + rounding).all()
    assert np.array_equal(Table.of(numbers, "float32").read(np.array([2, 0])), numbers[[2, 0]])


# -- folding -----------------------------------------------------------------------------------------------------------


class _Branching(nn.Module):
    """Can't be traced: its path depends on numbers."""

    def forward(self, x: Tensor) -> Tensor:
        return x if x.sum() > 0 else -x


class _Doubting(nn.BatchNorm2d):
    """Not the batch normalisation that it says it is."""

    def forward(self, x: Tensor) -> Tensor:
        return 2 * super().forward(x)


@pytest.mark.parametrize("change", [None, _Branching(), "shared"])
def test_whatever_the_network_its_fastest_form_says_the_same(change: Any) -> None:
    arrays = random_arrays(64)
    network: Any = seasoned("resnet8", arrays)
    if change == "shared":  # one convolution before two normalisations can't hold both
        network.layer1[0].conv2 = network.layer1[0].conv1
        network.layer1[0].bn2.running_var.mul_(3)
    elif change is not None:
        network.layer2[0].downsample = nn.Sequential(*network.layer2[0].downsample, change)
    images = normalise(arrays.train_images, arrays.mean, arrays.std)
    before = {key: value.clone() for key, value in network.state_dict().items()}
    with torch.no_grad():
        outputs, plain = fastest(network, images)(images), network.features(images)
    assert close(outputs[0], plain.logits)
    assert close(outputs[1], plain.pooled)
    assert all(torch.equal(value, before[key]) for key, value in network.state_dict().items())
    folded = isinstance(fastest(network, images), torch.fx.GraphModule)
    assert folded == (change is None)


# -- files -------------------------------------------------------------------------------------------------------------


def rows(keys: Any) -> tuple[Any, Any]:
    """Outputs that tell which key they belong to."""
    return np.stack([keys, -keys], axis=1).astype(np.float64), np.stack([2 * keys], axis=1).astype(np.float64)


def written(folder: Path, *parts: list[int], pooled: bool = False) -> Bank:
    bank = bank_at(folder, pooled=pooled)
    for part in parts:
        logits, vectors = rows(np.array(part))
        bank.write(np.array(part), (logits, vectors if pooled else None), BankCost(len(part), 1.0, 2.0, 3.0))
    return bank


def segment_of(folder: Path, key: int) -> Path:
    """The folder of the segment that begins with a key."""
    (found,) = (file.parent for file in folder.rglob("keys.npy") if np.load(file)[0] == key)
    return found


def test_rows_come_in_the_order_of_the_keys_from_whatever_segment(tmp_path: Path) -> None:
    opened = written(tmp_path, [1, 4, 9], [2, 3, 20], [5], pooled=True).open()
    keys = np.array([20, 1, 5, 4, 2, 1])
    logits, pooled = opened.rows(keys)
    assert pooled is not None
    for ours, theirs in zip((logits, pooled), rows(keys), strict=True):
        assert np.array_equal(ours, theirs)
    assert list(opened.missing(np.array([0, 1, 2, 6, 20, 21]))) == [0, 6, 21]
    cost = paid(bank_at(tmp_path).folder)
    assert (cost.pairs, cost.seconds, cost.device_seconds, cost.tflop) == (7, 3.0, 6.0, 9.0)
    assert cost.bytes == sum(file.stat().st_size for file in tmp_path.rglob("*.npy"))
    with pytest.raises(KeyError, match=r"lacks 2, e\.g\. example 0, view 7"):
        opened.rows(np.array([1, 8, 7]))
    with pytest.raises(KeyError, match="lacks 1"):
        OpenBank([], 50).rows(np.array([3]))


def flip_a_bit(file: Path) -> None:
    content = bytearray(file.read_bytes())
    content[-1] ^= 1
    file.write_bytes(content)


@pytest.mark.parametrize(
    "damage",
    [
        lambda folder: flip_a_bit(folder / "logits.npy"),
        lambda folder: flip_a_bit(folder / "keys.npy"),
        lambda folder: (folder / "logits.npy").write_bytes((folder / "logits.npy").read_bytes()[:-4]),
        lambda folder: (folder / "keys.npy").unlink(),
        lambda folder: (folder / "segment.json").write_text("{"),
        lambda folder: (folder / "segment.json").unlink(),
    ],
    ids=["logits", "keys", "cut short", "file gone", "manifest", "crash before the manifest"],
)
def test_a_damaged_segment_is_passed_over_and_made_again(
    tmp_path: Path, damage: Callable[[Path], object], caplog: pytest.LogCaptureFixture
) -> None:
    bank = written(tmp_path, [1, 4], [2, 3])
    damage(segment_of(tmp_path, 2))
    with caplog.at_level(logging.WARNING):
        assert list(bank.open().missing(np.arange(1, 5))) == [2, 3]
    crashed = not list(tmp_path.rglob("segment.json"))[1:]
    assert bool(caplog.records) != crashed, "what a crash leaves is nothing to warn of"
    written(tmp_path, [2, 3])
    assert np.array_equal(bank.open().rows(np.arange(1, 5))[0], rows(np.arange(1, 5))[0])


def test_precisions_and_widths_do_not_mix(tmp_path: Path) -> None:
    written(tmp_path, [1, 2])
    assert list(bank_at(tmp_path, "fixed16").open().missing(np.array([1]))) == [1]
    assert list(bank_at(tmp_path, pooled=True).open().missing(np.array([1]))) == [1]
    written(tmp_path, [1, 2], pooled=True)
    assert not len(bank_at(tmp_path, pooled=True).open().missing(np.array([1, 2])))
    assert bank_at(tmp_path).open().rows(np.array([2]))[1] is None


def test_a_bank_on_object_storage_is_fetched_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    class Remote(Storage):
        @property
        def is_local(self) -> bool:
            return False

    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    written(tmp_path, [1, 4], [2, 3])
    local = Storage.at(str(tmp_path / "bank"))
    bank = Bank(Remote(local.filesystem, local.root), 50, "float32", False)
    expected = rows(np.arange(1, 5))[0]
    assert np.array_equal(bank.open().rows(np.arange(1, 5))[0], expected)
    copies = list((tmp_path / "cache").rglob("*.npy"))
    assert len(copies) == 4
    before = [copy.stat().st_mtime_ns for copy in copies]
    assert np.array_equal(bank.open().rows(np.arange(1, 5))[0], expected)
    assert [copy.stat().st_mtime_ns for copy in copies] == before
    flip_a_bit(next(copy for copy in copies if copy.name == "logits.npy"))
    assert len(bank.open().missing(np.arange(1, 5))) == 2, "a damaged copy is as bad as a damaged segment"


# -- for trials --------------------------------------------------------------------------------------------------------


def segments(folder: Path) -> list[dict[str, Any]]:
    return [json.loads(file.read_text()) for file in sorted((folder / BANKS).rglob("segment.json"))]


def test_a_study_s_bank_holds_the_union_once_in_however_many_parts(tmp_path: Path) -> None:
    configs = [banked(tmp_path, seed, epochs) for seed in (0, 1) for epochs in (2, 5)]
    configs.append(banked(tmp_path, teacher_source="online"))
    chosen = representatives(configs)
    assert [(c.teacher_source, c.seed, c.recipe.epochs) for c in chosen] == [
        ("bank32", 0, 5),
        ("bank32", 1, 5),
        ("online", 0, 3),
    ]
    preparation.ensure_trained(configs[0])
    for shard in (2, 0, 1):
        preparation.ensure_banked(chosen, shard, 3)
    arrays = configs[0].data.load()
    members = split(arrays.train_labels, configs[0].data).student
    wanted = needed({0: 5, 1: 5}, members, len(arrays.train_labels), 50)
    made = segments(tmp_path)
    assert sum(meta["cost"]["pairs"] for meta in made) == len(wanted)
    assert len(made) == 3
    for config in configs:
        preparation.ensure(config)
    assert segments(tmp_path) == made, "nothing is left to do"
    preparation.ensure(banked(tmp_path, 2, 5))
    seed_more = needed({0: 5, 1: 5, 2: 5}, members, len(arrays.train_labels), 50)
    assert sum(meta["cost"]["pairs"] for meta in segments(tmp_path)) == len(seed_more)


def test_materials_serve_a_trial_whose_pairs_they_hold(tmp_path: Path) -> None:
    first = banked(tmp_path, 0, 2)
    materials = trainer_of(first).materials
    assert serves(materials, first)
    assert serves(materials, banked(tmp_path, 0, 1))
    assert not serves(materials, banked(tmp_path, 0, 3))
    assert not serves(materials, banked(tmp_path, 1, 2))
    assert serves(trainer_of(banked(tmp_path, teacher_source="online")).materials, banked(tmp_path, 1))


@pytest.mark.parametrize("distiller", [{"name": "kd"}, {"name": "pkt"}])
@pytest.mark.parametrize(("source", "tolerance"), [("bank32", 1e-5), ("bank16", 1e-4)])
def test_an_epoch_with_the_bank_goes_as_with_the_online_teacher(
    tmp_path: Path, distiller: dict[str, Any], source: str, tolerance: float
) -> None:
    by_source = {
        name: trainer_of(banked(tmp_path, teacher_source=name, distiller=distiller)).train_epoch()
        for name in (source, "online")
    }
    ours, theirs = (without_clock(by_source[name]) for name in (source, "online"))
    for name in ("train_loss", "kd_loss", "ce_loss", "val_loss", "test_loss"):
        assert ours[name] == pytest.approx(theirs[name], rel=tolerance)
    assert ours["teacher_tflop"] == 0
    assert theirs["teacher_tflop"] != 0


def test_a_segment_is_no_larger_than_what_a_crash_may_lose(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(filling, "_SEGMENT_ROWS", 32)
    config = banked(tmp_path)
    preparation.ensure(config)
    sizes = [meta["cost"]["pairs"] for meta in segments(tmp_path)]
    assert max(sizes) == 32
    (victim, *_) = (tmp_path / BANKS).rglob("segment.json")
    victim.unlink()
    preparation.ensure(config)
    assert sorted(meta["cost"]["pairs"] for meta in segments(tmp_path)) == sorted(sizes)
    trainer_of(config).train_epoch()
