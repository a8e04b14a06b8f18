"""Trials on made-up images of CIFAR's shape, to be timed."""

from typing import Any

import numpy as np
import torch

from trainables import numerics
from trainables.bank import OpenBank, Segment, Table
from trainables.config import TrialConfig
from trainables.data import Arrays, Split
from trainables.materials import Materials
from trainables.models import Network
from trainables.sources import Banked, Online
from trainables.trainer import Trainer

BATCH, CLASSES, SIZE = 64, 100, 32


def config(student: str, teacher: str, source: str = "bank16", **changes: Any) -> TrialConfig:
    """A trial with 162 views an example; select by test, as made-up images need no validation split."""
    recipe = {"epochs": 240, "batch_size": BATCH}
    return TrialConfig.model_validate(
        {
            "seed": 0,
            "protocol": "paper",
            "data": {"name": "digits", "validation": 0, "views": {"kind": "crop"}},
            "teacher": {"model": teacher, "recipe": recipe},
            "teacher_source": source,
            "student": {"model": student},
            "recipe": recipe,
            "distiller": {"name": "kd"},
            "temperature": {"kind": "fixed", "value": 4.0},
            "numerics": {"device": "cpu"},
            **changes,
        }
    )


def arrays(batches: int) -> Arrays:
    """This many batches of noise."""
    generator = np.random.default_rng(0)
    images = torch.from_numpy(generator.integers(0, 256, (BATCH * batches, 3, SIZE, SIZE), dtype=np.uint8))
    labels = torch.from_numpy(generator.integers(0, CLASSES, BATCH * batches))
    return Arrays(images, labels, images[:BATCH], labels[:BATCH], CLASSES, (0.5,) * 3, (0.25,) * 3)


def network(model: str) -> Network:
    """A frozen network for these images."""
    options = config(model, model).student
    return options.build(CLASSES, 3, SIZE).eval().requires_grad_(False)


def trainer_of(trial: TrialConfig, data: Arrays) -> Trainer:
    """A trainer; a bank holds made-up outputs for every view."""
    assert trial.teacher is not None
    everything = np.arange(len(data.train_labels))
    device = numerics.apply(trial.numerics, 0)
    teacher = network(str(getattr(trial.teacher, "model", "")))
    if trial.teacher_source == "online":
        source: Banked | Online = Online(teacher.to(memory_format=torch.channels_last), 3, SIZE)
    else:
        views = trial.data.views.count
        keys = np.arange(len(everything) * views)
        logits = np.random.default_rng(0).standard_normal((len(keys), CLASSES), dtype=np.float32)
        source = Banked(OpenBank([Segment(keys, Table.of(logits, "fixed16"), None)], views), device)
    return Trainer(trial, Materials(data, Split(everything[:0], everything, everything), teacher, source), device)


def epoch(trainer: Trainer) -> None:
    """Trains one epoch, without evaluation."""
    trainer.epoch += 1
    trainer._train()
