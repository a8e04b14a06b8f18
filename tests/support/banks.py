"""Trials and studies of digits that are seen in several views, so that a bank pays; and small banks."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import torch

from tests.support import settings
from trainables.bank import BANKS, Bank, BankCost, Precision
from trainables.config import TrialConfig
from trainables.data import Arrays, normalise
from trainables.models import MODELS, Network
from trainables.storage import Storage

CROP = {"name": "digits", "validation": 100, "train_examples": 40, "views": {"kind": "crop", "padding": 2}}

BASE: dict[str, Any] = {
    "name": "banked",
    "data": CROP,
    "teacher": settings.TEACHER,
    "student": settings.STUDENT,
    "recipe": settings.RECIPE,
    "distiller": {"name": "kd"},
    "seeds": 2,
    "margin": 1.0,
    "arms": {
        "two": {"temperature": {"kind": "fixed", "value": 2}},
        "pkt": {"temperature": {"kind": "fixed", "value": 4}, "distiller": {"name": "pkt"}},
        "alone": {"distiller": {"name": "none"}},
    },
}


def banked(folder: Path, seed: int = 0, epochs: int = 3, **changes: Any) -> TrialConfig:
    recipe = {**settings.RECIPE, "epochs": epochs}
    return settings.trial(folder, seed, **{"data": CROP, "teacher_source": "bank32", "recipe": recipe, **changes})


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


def rows(keys: Any) -> tuple[Any, Any]:
    """Outputs that tell which key they belong to."""
    return np.stack([keys, -keys], axis=1).astype(np.float64), np.stack([2 * keys], axis=1).astype(np.float64)


def written(folder: Path, *parts: list[int], pooled: bool = False) -> Bank:
    bank = bank_at(folder, pooled=pooled)
    for part in parts:
        logits, vectors = rows(np.array(part))
        bank.write(np.array(part), (logits, vectors if pooled else None), BankCost(len(part), 1.0, 2.0, 3.0))
    return bank


def segments(folder: Path) -> list[dict[str, Any]]:
    return [json.loads(file.read_text()) for file in sorted((folder / BANKS).rglob("segment.json"))]


def flip_a_bit(file: Path) -> None:
    content = bytearray(file.read_bytes())
    content[-1] ^= 1
    file.write_bytes(content)
