"""What the loop could do another way: each choice beside its rivals, in one run.

docs/performance.md says what was kept.
"""

import copy
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor

from tests.benchmarks.measuring import cpu_rounds, ratios, report
from tests.benchmarks.training import BATCH, SIZE, arrays, config, epoch, network, trainer_of
from tests.support import settings
from tests.support.trials import trainer_of as digits_trainer
from trainables import forward, trainer
from trainables.bank.filling import fastest
from trainables.config import Numerics
from trainables.forward import Forward
from trainables.models import MODELS, Features, Network
from trainables.numerics import to_format

pytestmark = [pytest.mark.bench, pytest.mark.timeout(600)]

STEPS = 4
UNIT = f"CPU time, {SIZE}x{SIZE}, batch {BATCH}, 1 thread"


@pytest.fixture(autouse=True)
def one_thread() -> None:
    torch.set_num_threads(1)
    torch.manual_seed(0)


def student(memory_format: str = "channels_last") -> Network:
    built = network("resnet20").train().requires_grad_()
    return built.to(memory_format=torch.channels_last) if memory_format == "channels_last" else built


def images(memory_format: str = "channels_last", count: int = BATCH) -> Tensor:
    return to_format(torch.randn(count, 3, SIZE, SIZE), memory_format)


def stepping(
    learner: Network,
    batch: Tensor,
    features: Callable[[Tensor], Features] | None = None,
    reads: bool = False,
    set_to_none: bool = True,
    steps: int = STEPS,
    **sgd: Any,
) -> Callable[[], None]:
    """A few steps of a student on one ready batch."""
    recipe: dict[str, Any] = {"lr": 0.05, "momentum": 0.9, "weight_decay": 5e-4, "fused": True}
    optimiser = torch.optim.SGD(learner.parameters(), **recipe | sgd)
    labels = torch.randint(0, 10, (len(batch),))
    forward_pass = features or learner.features

    def run() -> None:
        for _ in range(steps):
            loss = F.cross_entropy(forward_pass(batch).logits.float(), labels)
            optimiser.zero_grad(set_to_none=set_to_none)
            loss.backward()  # type: ignore[no-untyped-call]
            optimiser.step()
            if reads:
                loss.item()

    return run


def compared(title: str, unit: str, works: dict[str, Callable[[], object]], rounds: int = 9) -> dict[str, float]:
    """Reports the speed of each work over that of the first."""
    seconds = cpu_rounds(works, rounds)
    first, *rest = works
    return report(title, unit, {f"{name} over {first}": ratios(seconds[first], seconds[name]) for name in rest})


def test_steps_of_a_student() -> None:
    works: dict[str, Callable[[], object]] = {
        "as it is": stepping(student(), images()),
        "contiguous": stepping(student("contiguous"), images("contiguous")),
        **_other_steps(student, images()),
    }
    found = compared("a student's steps, another way", f"{UNIT}, resnet20", works)
    assert found["contiguous over as it is"] < 1


def test_steps_of_a_small_student() -> None:
    """Where a step takes a few milliseconds, what surrounds the arithmetic counts."""
    batch = to_format(torch.randn(32, 1, 8, 8), "channels_last")
    works = {"as it is": stepping(small(), batch, steps=60), **_other_steps(small, batch, steps=60)}
    compared("a small student's steps, another way", "CPU time, resnet8 4-4-8-16, 8x8, batch 32, 1 thread", works)


def small() -> Network:
    return MODELS.parse(settings.STUDENT).build(10, 1, 8).train().to(memory_format=torch.channels_last)


def _other_steps(build: Callable[[], Network], batch: Tensor, **more: Any) -> dict[str, Callable[[], object]]:
    return {
        "SGD by foreach": stepping(build(), batch, foreach=True, fused=False, **more),
        "SGD one by one": stepping(build(), batch, foreach=False, fused=False, **more),
        "gradients set to zero": stepping(build(), batch, set_to_none=False, **more),
        "the loss read at each step": stepping(build(), batch, reads=True, **more),
    }


def test_compiled_and_bfloat16(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(forward, "_without_bfloat16", lambda device: None)
    cpu, works = torch.device("cpu"), {"as it is": stepping(student(), images())}
    for name, numerics in (("compiled", Numerics(compile=True)), ("bfloat16", Numerics(dtype="bfloat16"))):
        learner = student()
        run = Forward.of(learner, numerics, cpu, [images()])
        assert not run.fallbacks
        works[name] = stepping(learner, images(), run.train)
    compared("a student's steps, compiled and in bfloat16", f"{UNIT}, resnet20", dict(works))


def test_looks_of_a_teacher() -> None:
    count = 1024
    plain = network("resnet56")
    last = copy.deepcopy(plain).to(memory_format=torch.channels_last)
    folded = fastest(plain, images(count=BATCH))

    def looks(size: int, look: Callable[[Tensor], object], memory_format: str, mode: Any) -> Callable[[], None]:
        batch = images(memory_format, size)

        def look_at_all() -> None:
            with mode():
                for _ in range(count // size):
                    look(batch)

        return look_at_all

    inference, no_grad = torch.inference_mode, torch.no_grad
    works: dict[str, Callable[[], object]] = {
        "plain, no_grad, 64": looks(64, plain, "contiguous", no_grad),
        "inference mode": looks(64, plain, "contiguous", inference),
        "channels last": looks(64, last, "channels_last", inference),
        "folded, 64 (as it is)": looks(64, folded, "channels_last", inference),
        "folded, 256": looks(256, folded, "channels_last", inference),
        "folded, 1024": looks(1024, folded, "channels_last", inference),
    }
    found = compared("a teacher's looks", f"CPU time, resnet56, {SIZE}x{SIZE}, {count} images, 1 thread", works)
    assert found["folded, 64 (as it is) over plain, no_grad, 64"] > 1


@pytest.mark.parametrize("size", [8, SIZE])
def test_gathers(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, size: int) -> None:
    """Images, labels and bank rows, of all steps that fit into memory at once, or step by step."""
    if size == SIZE:
        learner = trainer_of(config("resnet20", "resnet56"), arrays(STEPS))
    else:
        views = {"name": "digits", "validation": 200, "views": {"kind": "crop", "padding": 1}}
        learner = digits_trainer(settings.trial(tmp_path, data=views, teacher_source="bank16"))

    def gathering(chunk: int) -> Callable[[], None]:
        def run() -> None:
            monkeypatch.setattr(trainer, "_CHUNK_BYTES", chunk)
            epoch(learner)
            learner.epoch = 0

        return run

    works: dict[str, Callable[[], object]] = {
        "for many steps at once (as it is)": gathering(trainer._CHUNK_BYTES),
        "for each step": gathering(1),
    }
    unit = f"CPU time, {'resnet20, 32x32' if size == SIZE else 'resnet8 4-4-8-16, 8x8'}, 1 thread"
    compared("gathers of images, labels and bank rows", unit, works, rounds=15)
