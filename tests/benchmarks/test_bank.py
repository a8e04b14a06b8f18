"""What a bank saves, and what 16 bits a number cost."""

import functools
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from tests.benchmarks.measuring import cpu_rounds, report
from tests.benchmarks.training import BATCH, arrays, config, epoch, network, trainer_of
from tests.support import settings
from trainables import numerics, preparation, streams
from trainables.bank import Glance, Table, keys_of, share_of
from trainables.distillers import Batch
from trainables.materials import load_materials
from trainables.models import Features
from trainables.temperatures import TrainingProgress
from trainables.trainer import Trainer

pytestmark = [pytest.mark.bench, pytest.mark.timeout(600)]

BATCHES, EPOCHS, SEEDS, BANKED = 4, 240, 3, 10


@pytest.mark.parametrize("guide", ["resnet56", "resnet110"])
def test_a_study_with_a_bank_against_online_teachers(guide: str) -> None:
    """Eight fixed temperatures, two curricula and the student alone, three seeds of 240 epochs.

    Composed of measured parts, as the whole would take days: a trial's time an image with a bank and online, the
    student's alone, and a look of the teacher for the bank.
    """
    data = arrays(BATCHES)
    kinds: dict[str, dict[str, Any]] = {"fixed": {"value": 4.0}, "global": {}, "instance": {}}
    trainers = {
        f"{source} {kind}": trainer_of(config("resnet20", guide, source, temperature={"kind": kind, **rest}), data)
        for kind, rest in kinds.items()
        for source in ("bank16", "online")
    }
    alone = trainer_of(config("resnet20", guide, distiller={"name": "none"}, temperature=None), data)
    options = config("resnet20", guide).data
    glance = Glance(network(guide), options, data, torch.device("cpu"))
    views = options.views.count
    ids = np.arange(BATCH * BATCHES)
    keys = np.sort(keys_of(ids, streams.views(0, 1, len(ids), views), views))
    works: dict[str, Callable[[], object]] = {
        name: functools.partial(epoch, trainer) for name, trainer in trainers.items()
    }
    seconds = cpu_rounds(works | {"alone": lambda: epoch(alone), "look": lambda: glance(keys)})

    looks = share_of(dict.fromkeys(range(SEEDS), EPOCHS), views)
    reads = SEEDS * EPOCHS

    def study(source: str, number: int) -> float:
        """Seconds of the trials for each batch of examples."""
        arms = {"fixed": 8, "global": 1, "instance": 1}
        trials = sum(count * seconds[f"{source} {kind}"][number] for kind, count in arms.items())
        return reads * (trials + seconds["alone"][number])

    rounds = range(len(seconds["look"]))
    gains, limits = [], []
    for number in rounds:
        teacher_seconds = seconds["online fixed"][number] - seconds["bank16 fixed"][number]
        gains.append(study("online", number) / (study("bank16", number) + looks * seconds["look"][number]))
        limits.append(1 + BANKED / (BANKED + 1) * teacher_seconds / seconds["alone"][number])
    found = report(
        f"study with a bank / with online teachers, {guide} -> resnet20",
        "CPU time, composed of measured parts, 1 thread",
        {
            "speed-up of the trials, bank's cost included": gains,
            "limit: 1 + teacher / student, the student alone counted": limits,
            "share of the limit": [gain / limit for gain, limit in zip(gains, limits, strict=True)],
            "looks for the bank / reads": looks / (reads * BANKED),
            "a look for the bank / an online look": [
                seconds["look"][number] / (seconds["online fixed"][number] - seconds["bank16 fixed"][number])
                for number in rounds
            ],
        },
    )
    assert found["share of the limit"] > 0.8


@pytest.mark.parametrize("temperature", [1.0, 4.0, 16.0])
def test_the_error_of_16_bits_in_the_gradient(tmp_path: Path, temperature: float) -> None:
    """Of the student's weights, in batches of 64, while it learns digits from a trained teacher."""
    trial = settings.trial(
        tmp_path,
        teacher={"model": "resnet20", "recipe": {**settings.RECIPE, "epochs": 8}},
        temperature={"kind": "fixed", "value": temperature},
        recipe={**settings.RECIPE, "epochs": 24},
        data={"name": "digits", "validation": 100, "train_examples": 256},
    )
    preparation.ensure(trial)
    device = numerics.apply(trial.numerics, 0)
    trainer = Trainer(trial, load_materials(trial, device), device)
    ids = torch.from_numpy(trainer.materials.split.student)
    source = trainer.materials.source
    assert source is not None
    errors: dict[str, float | list[float]] = {}
    for done in (0, 8, 24):
        while trainer.epoch < done:
            trainer.train_epoch()
        found = []
        for some in torch.split(ids, BATCH):
            source.start(some, torch.zeros_like(some))
            exact = source.batch(0, len(some), some).logits
            fixed = torch.from_numpy(Table.of(exact.numpy(), "fixed16").read(np.arange(len(some))))
            true, ours, half = (_gradient(trainer, some, logits) for logits in (exact, fixed, exact.half().float()))
            found.append([float((rounded - true).norm() / true.norm()) for rounded in (ours, half)])
        for precision, column in zip(("bank16", "float16"), zip(*found, strict=True), strict=True):
            errors[f"{precision}, T = {temperature:g}, after {done} of 24 epochs"] = list(column)
    unit = "norm of the difference / norm, all of the student's weights, batches for rounds"
    medians = report("error of gradients from 16 bits a number", unit, errors)
    assert max(value for name, value in medians.items() if name.startswith("bank16")) < 1e-3


def _gradient(trainer: Trainer, ids: torch.Tensor, logits: torch.Tensor) -> torch.Tensor:
    trainer.student.train()
    data = trainer.materials.arrays
    outputs = trainer.student.features(trainer.inputs(data.train_images[ids]))
    guide = Features(logits, (), logits.new_empty(0))
    batch = Batch(data.train_labels[ids], torch.arange(len(ids)), guide, TrainingProgress(1, 24))
    losses = trainer.distiller.losses(outputs, batch, trainer.temperature)
    parts = torch.autograd.grad(losses.total, list(trainer.student.parameters()))
    return torch.cat([part.flatten() for part in parts])
