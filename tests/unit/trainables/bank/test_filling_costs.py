"""What filling a bank stores and costs, on a few random images and with the clock given."""

import logging
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch
import torch.fx
from torch import Tensor, nn
from torch.fx.experimental.optimization import fuse

from tests.support import tiny
from tests.support.banks import bank_at
from tests.support.by_hand import normalised
from trainables.bank import BankCost, Glance, Precision, filling
from trainables.bank.filling import close, fastest, fill
from trainables.data.digits import DigitsOptions
from trainables.data.views import Crop
from trainables.models import MODELS, Network

DATA = DigitsOptions(validation=1, views=Crop(padding=1))  # 18 views
KEYS = np.arange(0, 32 * 18, 48)  # twelve


def teacher() -> Network:
    network = MODELS.parse(tiny.STUDENT).build(7, 2, 8)
    with torch.no_grad():
        network(normalised(tiny.arrays().train_images))
    return network.eval().requires_grad_(False)


def plain(network: Network, keys: Any) -> tuple[Tensor, Tensor]:
    """Logits and pooled vectors of the teacher as it is, one pair at a time."""
    images = tiny.arrays().train_images[keys // 18]
    features = network.features(normalised(DATA.views.apply(images, torch.from_numpy(keys % 18))))
    return features.logits, features.pooled


def seconds(*times: float) -> SimpleNamespace:
    given: Iterator[float] = iter(times)
    return SimpleNamespace(perf_counter=lambda: next(given))


@pytest.mark.parametrize("pooled", [False, True])
def test_segments_and_their_costs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, pooled: bool) -> None:
    monkeypatch.setattr(filling, "_SEGMENT_ROWS", 5)
    monkeypatch.setattr(filling, "time", seconds(100.0, 101.0, 103.0, 107.0))
    asked: list[Any] = []

    def flops(*parts: Any) -> int:
        asked.append(parts)
        return 3_000_000_000_000

    monkeypatch.setattr(filling, "forward_flops", flops)
    monkeypatch.setattr(torch, "get_num_threads", lambda: 4)
    bank, network = bank_at(tmp_path, pooled=pooled, views=18), teacher()
    written: list[BankCost] = []
    real = type(bank).write

    def write(self: Any, keys: Any, rows: Any, cost: BankCost) -> BankCost:
        written.append(cost)
        return real(self, keys, rows, cost)

    monkeypatch.setattr(type(bank), "write", write)
    total = fill(bank, KEYS, network, DATA, tiny.arrays(), tiny.CPU)
    assert written == [BankCost(5, 1.0, 4.0, 15.0), BankCost(5, 2.0, 8.0, 15.0), BankCost(2, 4.0, 16.0, 6.0)]
    assert asked == [(network, 2, 8)]
    size = sum(file.stat().st_size for file in tmp_path.rglob("*.npy"))
    assert total == BankCost(12, 7.0, 28.0, 36.0, size)
    opened = bank.open()
    assert sorted(len(segment.keys) for segment in opened.segments) == [2, 5, 5]
    logits, vectors = opened.rows(KEYS)
    expected = plain(network, KEYS)
    assert np.allclose(logits, expected[0], atol=1e-5)
    assert (vectors is not None) == pooled
    assert vectors is None or np.allclose(vectors, expected[1], atol=1e-5)
    assert len(list(tmp_path.rglob("pooled.npy"))) == (3 if pooled else 0)
    assert fill(bank, KEYS, None, DATA, tiny.arrays(), tiny.CPU) == BankCost()  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("precision", "pooled", "limit", "sizes"),
    [
        ("float32", False, 6 * (8 + 28), [6, 6]),
        ("float32", True, 4 * (8 + 28 + 8), [4, 4, 4]),
        ("fixed16", True, 6 * (8 + 14 + 8 + 4 + 8), [6, 6]),
        ("float32", False, 1, [1] * 12),
    ],
)
def test_a_segment_takes_no_more_than_its_bytes(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, precision: Precision, pooled: bool, limit: int, sizes: list[int]
) -> None:
    monkeypatch.setattr(filling, "_SEGMENT_BYTES", limit)
    bank = bank_at(tmp_path, precision, pooled, 18)
    fill(bank, KEYS, teacher(), DATA, tiny.arrays(), tiny.CPU)
    assert [len(segment.keys) for segment in bank.open().segments] == sizes


def test_on_a_gpu_a_second_is_one_device_second(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[Any] = []

    def glance(*parts: Any) -> Any:
        asked.append(parts)
        return lambda keys, on_batch: (np.zeros((len(keys), 7), np.float32), np.zeros((len(keys), 2), np.float32))

    monkeypatch.setattr(filling, "Glance", glance)
    monkeypatch.setattr(filling, "time", seconds(1.0, 4.0))
    monkeypatch.setattr(torch, "get_num_threads", lambda: 4)
    network, arrays, gpu = teacher(), tiny.arrays(), torch.device("cuda")
    cost = fill(bank_at(tmp_path, views=18), KEYS, network, DATA, arrays, gpu)
    assert (cost.pairs, cost.seconds, cost.device_seconds) == (12, 3.0, 3.0)
    assert asked == [(network, DATA, arrays, gpu)]


def test_a_glance_runs_batches_of_one_size(monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[Any] = []
    seen: list[Tensor] = []
    network = teacher()

    def batch(size: int, device: torch.device) -> int:
        asked.append((size, device))
        return 5

    def noted(given: Network, images: Tensor) -> Any:
        assert given is network
        seen.append(images)

        def outputs(some: Tensor) -> tuple[Tensor, Tensor]:
            assert torch.is_inference_mode_enabled()
            seen.append(some)
            features = network.features(some)
            return features.logits.half(), features.pooled.half()

        return outputs

    monkeypatch.setattr(filling, "inference_batch", batch)
    monkeypatch.setattr(filling, "fastest", noted)
    glance = Glance(network, DATA, tiny.arrays(), tiny.CPU)
    assert (glance.size, glance.views, asked) == (5, 18, [(8, tiny.CPU)])
    told: list[int] = []
    logits, pooled = glance(KEYS, lambda: told.append(len(seen)))
    assert told == [2, 3, 4], "after every batch; the first was seen to choose the fastest form"
    assert pooled is not None
    assert [str(each.dtype) for each in (logits, pooled)] == ["float32", "float32"]
    assert [len(images) for images in seen] == [5, 5, 5, 5]
    assert all(images.is_contiguous(memory_format=torch.channels_last) for images in seen)
    first = normalised(DATA.views.apply(tiny.arrays().train_images[:1].expand(5, -1, -1, -1), torch.arange(5)))
    assert torch.allclose(seen[0], first, atol=1e-6), "the first views of the first example"
    assert torch.equal(seen[3][:2], seen[3][2:4]), "filled up with repeated pairs"
    expected = plain(network, KEYS)
    assert np.allclose(logits, expected[0], atol=2e-3)
    assert np.allclose(pooled, expected[1], atol=2e-3)


def test_a_small_data_set_is_tried_out_whole(monkeypatch: pytest.MonkeyPatch) -> None:
    tried: list[int] = []
    monkeypatch.setattr(filling, "fastest", lambda network, images: tried.append(len(images)))
    Glance(teacher(), DATA, tiny.arrays(), tiny.CPU)
    assert tried == [32], "a batch would have 512"


class _Untraceable(nn.Module):
    def forward(self, x: Tensor) -> Tensor:
        return x if x.sum() > 0 else -x


def test_the_fastest_form_is_folded_and_leaves_the_network_alone(caplog: pytest.LogCaptureFixture) -> None:
    network, images = teacher(), normalised(tiny.arrays().train_images)
    before = {name: (value.clone(), value.stride()) for name, value in network.state_dict().items()}
    expected = network.features(images)
    with caplog.at_level(logging.INFO):
        folded: Any = fastest(network, images)
    assert not caplog.records
    assert isinstance(folded, torch.fx.GraphModule)
    called = [str(node.target) for node in folded.graph.nodes if node.op == "call_module"]
    assert "network.layer1.0.conv2" in called
    assert not [name for name in called if name.endswith(("bn1", "bn2"))]
    assert in_channels_last(folded)
    for ours, theirs in zip(folded(images), (expected.logits, expected.pooled), strict=True):
        assert close(ours, theirs)
    for name, value in network.state_dict().items():
        assert torch.equal(value, before[name][0])
        assert value.stride() == before[name][1]


def test_a_network_that_cannot_be_traced_stays_as_it_is(caplog: pytest.LogCaptureFixture) -> None:
    network: Any = teacher()
    network.layer2[0].downsample = nn.Sequential(*network.layer2[0].downsample, _Untraceable())
    images = normalised(tiny.arrays().train_images)
    expected = network.features(images)
    strides = [parameter.stride() for parameter in network.parameters()]
    with caplog.at_level(logging.INFO):
        form: Any = fastest(network, images)
    assert [parameter.stride() for parameter in network.parameters()] == strides, "it is a copy that changes its layout"
    (entry,) = caplog.records
    assert entry.getMessage().startswith(f"{type(network).__name__} is not folded: ")
    assert "symbolically traced variables" in entry.getMessage()
    assert in_channels_last(form)
    assert not form.training
    logits, pooled = form(images)
    assert close(logits, expected.logits)
    assert close(pooled, expected.pooled)


def test_a_network_that_folding_changes_stays_as_it_is(monkeypatch: pytest.MonkeyPatch) -> None:
    network, images = teacher(), normalised(tiny.arrays().train_images)

    def off(module: nn.Module) -> Any:
        folded: Any = fuse(module)
        folded.network.head.weight.mul_(1.001)
        return folded

    monkeypatch.setattr(filling, "fuse", off)
    form: Any = fastest(network, images)
    assert not isinstance(form, torch.fx.GraphModule)
    assert close(form(images)[0], network.features(images).logits)


def in_channels_last(module: nn.Module) -> bool:
    weights = [value for value in module.parameters() if value.ndim == 4 and value.shape[2] > 1]
    return bool(weights) and all(each.is_contiguous(memory_format=torch.channels_last) for each in weights)


def test_close_is_a_hundred_thousandth_of_the_largest() -> None:
    expected = torch.tensor([-4.0, 0.0])
    assert [close(torch.tensor([-4.0, off]), expected) for off in (0.0, 3.9e-5, -3.9e-5, 4.1e-5, -4.1e-5)] == [
        *(True, True, True),
        *(False, False),
    ]
    assert close(torch.zeros(2), torch.zeros(2))
