"""The smallest trials there are: random images of 8x8, an epoch in a few milliseconds, nothing read from disk."""

from typing import Any

import numpy as np
import torch
from torch import Tensor

from trainables.config import TrialConfig
from trainables.data import Arrays, Split
from trainables.materials import Materials
from trainables.models import Features
from trainables.sources import TeacherOutputs

STUDENT: dict[str, Any] = {"model": "resnet8", "widths": [2, 2, 2, 2]}
CLASSES, CHANNELS, SIZE, TESTED = 7, 2, 8, 11
CPU = torch.device("cpu")


class Told(TeacherOutputs):
    """Gives logits that depend on example and view alone, and notes what it was asked for."""

    tflop_per_image = 0.5

    def __init__(self) -> None:
        self.started: list[tuple[list[int], list[int]]] = []
        self.spans: list[tuple[int, int]] = []
        self.images: list[Tensor] = []
        self._logits = torch.empty(0)

    def start(self, ids: Tensor, views: Tensor) -> None:
        self.started.append((ids.tolist(), views.tolist()))
        self._logits = told(ids, views)

    def batch(self, begin: int, end: int, images: Tensor) -> Features:
        self.spans.append((begin, end))
        self.images.append(images)
        return Features(self._logits[begin:end], (), torch.empty(0))


def told(ids: Tensor, views: Tensor) -> Tensor:
    """The logits of ``Told``, shape (B, classes)."""
    return 3 * torch.sin((ids * 10 + views)[:, None] * torch.arange(1.0, CLASSES + 1))


def arrays(train: int = 32, classes: int = CLASSES) -> Arrays:
    rng = np.random.default_rng(1)
    shape = (CHANNELS, SIZE, SIZE)
    images, tested = (torch.from_numpy(rng.integers(0, 256, (n, *shape), dtype=np.uint8)) for n in (train, TESTED))
    labels, truth = (torch.from_numpy(rng.integers(classes, size=n)) for n in (train, TESTED))
    return Arrays(images, labels, tested, truth, classes, (0.4, 0.6), (0.25, 0.3))


def materials(source: TeacherOutputs | None = None, students: int = 20, validation: int = 8, **of: Any) -> Materials:
    """Every third example is held out, up to ``validation``; the student has the first of the others."""
    images = arrays(**of)
    ids = np.arange(len(images.train_labels))
    held_out = ids[::3][:validation]
    rest = np.setdiff1d(ids, held_out)
    return Materials(images, Split(held_out, rest, rest[:students]), None, source)


def trial(**changes: Any) -> TrialConfig:
    """A trial of three epochs of three batches (8, 8, 4), without a teacher."""
    config = {
        "seed": 3,
        "data": {"name": "digits", "validation": 8, "train_examples": 20, "views": {"kind": "crop", "padding": 1}},
        "student": STUDENT,
        "recipe": {"epochs": 3, "batch_size": 8, "lr": 0.1, "momentum": 0.8, "weight_decay": 0.01},
        "distiller": {"name": "none"},
        "run": {"study": "s", "uid": "u", "trial": "t", "arm": "a", "setting": "x", "attempt": 2, "teachers": "/t"},
        **changes,
    }
    return TrialConfig.model_validate(config)


def distilled(**changes: Any) -> TrialConfig:
    """The same with knowledge distillation at a fixed temperature."""
    teacher = {**STUDENT, "recipe": {"epochs": 1, "batch_size": 8}}
    method = {"distiller": {"name": "kd"}, "temperature": {"kind": "fixed", "value": 4.0}}
    return trial(**{"teacher": teacher, "teacher_source": "online", **method, **changes})
