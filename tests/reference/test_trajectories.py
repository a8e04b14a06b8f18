"""Whole training steps, as the trainer takes them, against the authors' trajectories."""

from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from tests.reference import cases
from tests.reference.weights import fill
from trainables.bank import TeacherSource
from trainables.config import TrialConfig
from trainables.data import Arrays, Split
from trainables.models import Features, Network
from trainables.trainer import Clock, Materials, Trainer, _Seen

SETTINGS: dict[str, dict[str, Any]] = cases.load_json("trajectories.json")
DISTILLERS = {"kd": lambda case: {"name": "kd", "ce_weight": case["gamma"], "kd_weight": case["alpha"]}}


class _Given(TeacherSource):
    """The teacher looks at the images themselves."""

    def __init__(self, teacher: Network) -> None:
        self.teacher = teacher

    def start(self, ids: Tensor, views: Tensor) -> None:
        raise AssertionError("these images are given, not drawn")

    def batch(self, begin: int, end: int, images: Tensor) -> Features:
        with torch.no_grad():
            return self.teacher.features(images)


def config_of(case: dict[str, Any], memory_format: str) -> TrialConfig:
    learned = case["learnable_temperature"]
    temperature = (
        {"kind": "global", "tau_init": float(case["t_start"]), "tau_range": float(case["t_end"])}
        if learned
        else {"kind": "fixed", "value": case["kd_T"]}
    )
    # The authors store -λ: their "max" is where it starts, their "min" where it ends.
    curriculum = {
        "kind": "cosine",
        "start": -float(case["lambda_max"]),
        "end": -case["lambda_min"],
        "epochs": case["lambda_loops"],
    }
    recipe = {
        **{key: case[key] for key in ("epochs", "batch_size", "lr", "momentum", "weight_decay")},
        "schedule": {"kind": "constant"},
    }
    return TrialConfig.model_validate(
        {
            "seed": 0,
            "data": {"name": "digits", "validation": 1},
            "teacher": {"model": case["teacher"], "recipe": recipe},
            "teacher_source": "online",
            "student": {"model": case["student"]},
            "recipe": recipe,
            "distiller": DISTILLERS[case["distill"]](case),
            "temperature": temperature,
            **({"curriculum": curriculum} if learned else {}),
            "numerics": {"memory_format": memory_format},
        }
    )


def prepared(case: dict[str, Any], memory_format: str) -> tuple[Trainer, Tensor, Tensor]:
    """A trainer with the deterministic weights, and the images and labels of one epoch."""
    count = case["batch_size"] * case["batches_per_epoch"]
    images = np.random.RandomState(case["data_seed"]).standard_normal((count, 3, 32, 32)).astype(np.float32)
    labels = torch.from_numpy(np.random.RandomState(case["data_seed"] + 1).randint(0, case["num_classes"], count))
    inputs = torch.from_numpy(images)
    config = config_of(case, memory_format)
    assert config.teacher is not None
    teacher = config.teacher.network().build(case["num_classes"], 3, 32)
    fill(teacher)
    _set_statistics(teacher, inputs[:64])
    teacher.requires_grad_(False)
    blank = torch.zeros(count, 3, 32, 32, dtype=torch.uint8)
    arrays = Arrays(blank, labels, blank, labels, case["num_classes"], (0.0,) * 3, (1.0,) * 3)
    everything = np.arange(count)
    materials = Materials(arrays, Split(everything[:0], everything, everything), teacher, _Given(teacher))
    trainer = Trainer(config, materials, torch.device("cpu"))
    fill(trainer.student)
    return trainer, inputs, labels


def _set_statistics(network: nn.Module, images: Tensor) -> None:
    norms = [module for module in network.modules() if isinstance(module, nn.BatchNorm2d)]
    for norm in norms:
        norm.reset_running_stats()
        norm.momentum = None  # cumulative average
    network.train()
    with torch.no_grad():
        network(images)
    for norm in norms:
        norm.momentum = 0.1
    network.eval()


@pytest.mark.parametrize("memory_format", ["contiguous", "channels_last"])
@pytest.mark.parametrize("name", [name for name, case in SETTINGS.items() if case["distill"] in DISTILLERS])
def test_trainer_follows_the_authors_trajectory(name: str, memory_format: str) -> None:
    case, expected = SETTINGS[name], dict(cases.cases("trajectories.npz", name))[name]
    torch.set_num_threads(1)
    trainer, images, labels = prepared(case, memory_format)
    size = case["batch_size"]
    assert trainer.materials.teacher is not None
    logits = trainer.materials.teacher(images[:size])
    assert cases.difference(logits, expected["teacher_logits_first_batch"]) < cases.VALUES
    trainer.student.train()
    losses, temperatures, coefficients = [], [], []
    for _ in range(case["epochs"]):
        trainer.epoch += 1
        progress = trainer._progress()
        seen = _Seen(Clock(trainer.device))
        for begin in range(0, len(images), size):
            span = slice(begin, begin + size)
            places = torch.arange(begin, begin + size)
            trainer._step(images[span], labels[span], places, (begin, begin + size), progress, seen)
            coefficients.append(-progress.strength)
        losses += [float(parts[0].detach()) for parts in seen.losses]
        temperatures += [float(value) for value in seen.temperatures]
    assert cases.difference(np.array(losses), expected["loss"]) < cases.TRAJECTORY
    assert cases.difference(np.array(temperatures), expected["temperature"]) < cases.TRAJECTORY
    if case["learnable_temperature"]:
        assert cases.difference(np.array(coefficients), expected["grl_coefficient"]) < 1e-9
        # T barely moves in 18 steps: what it moves by must be right, too.
        moved, wanted = (
            np.array(temperatures)[1:] - temperatures[0],
            expected["temperature"][1:] - expected["temperature"][0],
        )
        assert np.abs(moved - wanted).max() < 0.05 * np.abs(wanted).max()
    with torch.no_grad():
        final = trainer.student(images[:size])
    assert cases.difference(final, expected["final_train_mode_logits"]) < cases.TRAJECTORY


def test_every_family_has_a_case() -> None:
    assert {case["distill"] for case in SETTINGS.values()} >= {"kd"}
