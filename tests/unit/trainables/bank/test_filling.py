"""A bank holds what the plain teacher says."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import torch.fx
import torch.nn.functional as F
from torch import Tensor, nn

from tests.support.banks import bank_at, banked, random_arrays, seasoned, segments
from tests.support.trials import trainer_of
from trainables import preparation
from trainables.bank import (
    BANKS,
    Precision,
    filling,
    keys_of,
)
from trainables.bank.filling import close, fastest, fill
from trainables.data import normalise
from trainables.data.digits import DigitsOptions
from trainables.data.views import Crop
from trainables.models import Features
from trainables.sources import Banked

CPU = torch.device("cpu")


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
