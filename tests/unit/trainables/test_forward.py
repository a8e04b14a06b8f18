"""The student in bfloat16 and compiled, and what happens where that can't be had."""

import copy
import os
import subprocess
import sys
from pathlib import Path

import pytest
import torch

from tests.support import settings
from tests.support.trials import finished, trainer_of
from trainables import forward
from trainables.config import Numerics
from trainables.forward import Forward
from trainables.models import MODELS, Network

CPU = torch.device("cpu")
IMAGES = torch.randn(8, 1, 8, 8, generator=torch.Generator().manual_seed(0))


def student() -> Network:
    return MODELS.parse(settings.STUDENT).build(10, 1, 8)


def with_units(monkeypatch: pytest.MonkeyPatch) -> None:
    """Pretends that the processor has units for bfloat16; torch computes it on any, only slower."""
    monkeypatch.setattr(forward, "_without_bfloat16", lambda device: None)


def test_bfloat16_is_the_layers_precision_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    with_units(monkeypatch)
    network = student().train()
    run = Forward.of(network, Numerics(dtype="bfloat16"), CPU, [IMAGES])
    exact = network.features(IMAGES).logits
    outputs = run.train(IMAGES)
    assert outputs.logits.dtype == torch.bfloat16
    assert 0 < (outputs.logits.float() - exact).abs().max() < 0.1
    assert run.logits(IMAGES).dtype == torch.float32
    assert all(parameter.dtype == torch.float32 for parameter in network.parameters())
    assert run.fallbacks == ()


@pytest.mark.parametrize("distiller", ["kd", "dkd", "pkt", "sp", "vid", "crd", "srrl"])
def test_every_distiller_trains_in_bfloat16(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, distiller: str) -> None:
    with_units(monkeypatch)
    config = settings.trial(
        tmp_path,
        distiller={"name": distiller},
        temperature={"kind": "global"},
        teacher_source="online",
        numerics={"dtype": "bfloat16", "device": "cpu"},
    )
    trainer = trainer_of(config)
    rows = [trainer.train_epoch() for _ in range(2)]
    assert all(parameter.dtype == torch.float32 for parameter in trainer.student.parameters())
    assert rows[1]["train_loss"] is not None


def test_a_processor_without_units_takes_float32_and_the_record_says_so(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(forward, "_BFLOAT16_UNITS", set())
    plain = finished(settings.trial(tmp_path, arm="alone"), tmp_path / "plain")
    asked = finished(settings.trial(tmp_path, arm="alone", numerics={"dtype": "bfloat16"}), tmp_path / "asked")
    assert plain.manifest.remarks == ()
    assert asked.manifest.remarks == (
        "numerics.dtype: float32 instead of bfloat16, as this processor has no units for it",
    )
    assert asked.manifest.summary.test_loss == plain.manifest.summary.test_loss


@pytest.mark.slow
@pytest.mark.thorough
def test_a_compiled_student_is_the_same_function_and_starts_the_same() -> None:
    plain = student().train()
    network = copy.deepcopy(plain)
    run = Forward.of(network, Numerics(compile=True), CPU, [IMAGES, IMAGES[:3]])
    assert run.fallbacks == ()
    assert all(
        torch.equal(a, b) for a, b in zip(plain.state_dict().values(), network.state_dict().values(), strict=True)
    )
    assert all(parameter.grad is None for parameter in network.parameters())
    ours, theirs = run.train(IMAGES), plain.features(IMAGES)
    torch.testing.assert_close(ours.logits, theirs.logits, atol=1e-5, rtol=1e-5)
    torch.testing.assert_close(ours.pooled, theirs.pooled, atol=1e-5, rtol=1e-5)
    assert len(ours.maps) == len(theirs.maps)
    ours.logits.sum().backward()  # type: ignore[no-untyped-call]
    theirs.logits.sum().backward()  # type: ignore[no-untyped-call]
    for a, b in zip(network.parameters(), plain.parameters(), strict=True):
        torch.testing.assert_close(a.grad, b.grad, atol=1e-3, rtol=1e-3)


_WITHOUT_COMPILER = """
from tests.unit.trainables.test_forward import *
network = student()
before = [tensor.clone() for tensor in network.state_dict().values()]
run = Forward.of(network, Numerics(compile=True), CPU, [IMAGES])
assert all(map(torch.equal, before, network.state_dict().values()))
assert torch.equal(run.train(IMAGES).logits, network.features(IMAGES).logits)
print(run.fallbacks)
"""


@pytest.mark.slow
@pytest.mark.thorough
def test_without_a_compiler_the_student_runs_as_it_is_written(tmp_path: Path) -> None:
    environment = {**os.environ, "CXX": "no-such-compiler", "TORCHINDUCTOR_CACHE_DIR": str(tmp_path)}
    command = [sys.executable, "-c", _WITHOUT_COMPILER]
    process = subprocess.run(command, env=environment, capture_output=True, text=True, check=True)
    assert "numerics.compile: not compiled, as" in process.stdout
