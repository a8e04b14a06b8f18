"""The training loop against the bare student step: forward, backward and optimiser on one ready batch.

Both run in turn in this process, on one thread; a round takes a few seconds. CPU time is compared, so other work on the
machine disturbs little; medians are of the ratios of neighbours.
"""

import statistics
import time
from collections.abc import Callable

import numpy as np
import pytest
import torch
import torch.nn.functional as F

from trainables import numerics
from trainables.bank import Banked, OpenBank, Segment
from trainables.config import TrialConfig
from trainables.data import Arrays, Split
from trainables.numerics import to_format
from trainables.trainer import Materials, Trainer

pytestmark = [pytest.mark.bench, pytest.mark.timeout(600)]

BATCH, BATCHES, ROUNDS, CLASSES = 64, 8, 7, 100
LEAST = 0.85


def config(memory_format: str) -> TrialConfig:
    recipe = {"epochs": 100, "batch_size": BATCH}
    return TrialConfig.model_validate(
        {
            "seed": 0,
            "data": {"name": "digits", "validation": 1, "views": {"kind": "crop", "padding": 4}},
            "teacher": {"model": "resnet56", "recipe": recipe},
            "teacher_source": "bank32",
            "student": {"model": "resnet20"},
            "recipe": recipe,
            "distiller": {"name": "kd"},
            "temperature": {"kind": "global"},
            "numerics": {"memory_format": memory_format, "device": "cpu"},
        }
    )


def trainer_of(trial: TrialConfig) -> Trainer:
    """A trainer on made-up images of CIFAR's shape, with made-up outputs of a teacher for every view."""
    count = BATCH * BATCHES
    generator = np.random.default_rng(0)
    images = torch.from_numpy(generator.integers(0, 256, (count, 3, 32, 32), dtype=np.uint8))
    labels = torch.from_numpy(generator.integers(0, CLASSES, count))
    arrays = Arrays(images, labels, images[:BATCH], labels[:BATCH], CLASSES, (0.5,) * 3, (0.25,) * 3)
    everything = np.arange(count)
    views = trial.data.views.count
    logits = generator.standard_normal((count * views, CLASSES), dtype=np.float32)
    bank = OpenBank([Segment(np.arange(count * views), logits, None)], views)
    device = numerics.apply(trial.numerics, 0)
    assert trial.teacher is not None
    teacher = trial.teacher.network().build(CLASSES, 3, 32).eval().requires_grad_(False)
    materials = Materials(arrays, Split(everything[:0], everything, everything), teacher, Banked(bank, device))
    # Selecting by test needs no validation split.
    return Trainer(trial.model_copy(update={"protocol": "paper"}), materials, device)


def cpu_seconds(work: Callable[[], None]) -> float:
    began = time.process_time()
    work()
    return time.process_time() - began


@pytest.mark.parametrize("memory_format", ["channels_last", "contiguous"])
def test_loop_against_the_bare_step(memory_format: str) -> None:
    trial = config(memory_format)
    trainer, bare = trainer_of(trial), trainer_of(trial)
    bare.student.train()
    inputs = to_format(torch.randn(BATCH, 3, 32, 32), memory_format)
    labels = torch.randint(0, CLASSES, (BATCH,))

    def loop() -> None:
        trainer.epoch += 1
        trainer._train()

    def steps() -> None:
        for _ in range(BATCHES):
            loss = F.cross_entropy(bare.student(inputs), labels)
            bare.optimiser.zero_grad(set_to_none=True)
            loss.backward()  # type: ignore[no-untyped-call]
            bare.optimiser.step()

    for warm_up in (loop, steps):
        warm_up()
    ratios = []
    for _ in range(ROUNDS):
        seconds = cpu_seconds(steps)
        ratios.append(seconds / cpu_seconds(loop))
    median = statistics.median(ratios)
    print(
        f"\nloop / bare step, resnet20, 32x32, batch {BATCH}, 1 thread, {memory_format}: {median:.3f} of its images/s"
    )
    print(f"  ({ROUNDS} rounds of {BATCHES} steps, from {min(ratios):.3f} to {max(ratios):.3f})")
    assert median >= LEAST
