"""The switches of a process that numbers depend on."""

import os
import random
from collections.abc import Iterator

import numpy as np
import pytest
import torch

from trainables import numerics
from trainables.config import Numerics


@pytest.fixture(autouse=True)
def _restored(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.delenv("CUBLAS_WORKSPACE_CONFIG", raising=False)
    yield
    numerics.apply(Numerics(), 0)
    os.environ.pop("CUBLAS_WORKSPACE_CONFIG", None)


def test_float32_means_float32() -> None:
    torch.backends.cuda.matmul.allow_tf32 = torch.backends.cudnn.allow_tf32 = True
    torch.set_default_dtype(torch.float64)
    numerics.apply(Numerics(), 0)
    assert not torch.backends.cuda.matmul.allow_tf32
    assert not torch.backends.cudnn.allow_tf32
    assert torch.get_default_dtype() == torch.float32


def test_determinism_is_switched_on_and_off_again() -> None:
    numerics.apply(Numerics(deterministic=True), 0)
    assert torch.are_deterministic_algorithms_enabled()
    assert not torch.backends.cudnn.benchmark
    assert os.environ["CUBLAS_WORKSPACE_CONFIG"] == ":4096:8"
    numerics.apply(Numerics(), 0)
    assert not torch.are_deterministic_algorithms_enabled()
    assert torch.backends.cudnn.benchmark


def test_a_workspace_that_the_user_chose_stays(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CUBLAS_WORKSPACE_CONFIG", ":16:8")
    numerics.apply(Numerics(deterministic=True), 0)
    assert os.environ["CUBLAS_WORKSPACE_CONFIG"] == ":16:8"


def test_threads_are_those_of_the_trial() -> None:
    numerics.apply(Numerics(threads=2), 0)
    assert torch.get_num_threads() == 2
    numerics.apply(Numerics(), 0)
    assert torch.get_num_threads() == 1


def test_global_generators_are_seeded_for_modules_of_others() -> None:
    def drawn(seed: int) -> tuple[float, float, float]:
        numerics.apply(Numerics(), seed)
        return random.random(), float(np.random.random()), float(torch.rand(()))

    assert drawn(3) == drawn(3)
    assert all(a != b for a, b in zip(drawn(3), drawn(4), strict=True))


def test_a_device_that_is_not_there_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    assert numerics.apply(Numerics(), 0) == torch.device("cpu")
    assert numerics.apply(Numerics(device="cpu"), 0) == torch.device("cpu")
    with pytest.raises(ValueError, match="device is 'cuda', but no CUDA device is visible"):
        numerics.apply(Numerics(device="cuda"), 0)


def test_auto_takes_a_gpu_and_cpu_does_not(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    for asked, device in (("auto", "cuda"), ("cuda", "cuda"), ("cpu", "cpu")):
        assert numerics.apply(Numerics.model_validate({"device": asked}), 0) == torch.device(device)


@pytest.mark.parametrize("channels", [1, 3])
def test_the_format_asked_for_is_the_one_that_images_have(channels: int) -> None:
    images = torch.arange(2 * channels * 4 * 4).view(2, channels, 4, 4).float()
    for _ in range(2):  # there and back
        last = numerics.to_format(images, "channels_last")
        assert last.stride() == (16 * channels, 1, 4 * channels, channels)
        first = numerics.to_format(last, "contiguous")
        assert first.stride() == (16 * channels, 16, 4, 1)
        assert torch.equal(first, images)
        assert torch.equal(last, images)
        images = first
    assert numerics.to_format(first, "contiguous") is first, "what is right already is not copied"


@pytest.mark.parametrize(("size", "images"), [(8, 512), (32, 64), (64, 16), (224, 16)])
def test_a_batch_without_gradient_is_as_large_as_a_cpus_cache_takes(size: int, images: int) -> None:
    assert numerics.inference_batch(size, torch.device("cpu")) == images
    assert numerics.inference_batch(size, torch.device("cuda")) == 1024
