"""Whole training steps, as the trainer takes them, against the authors' trajectories."""

import re
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from tests.reference import cases
from tests.reference.weights import fill
from trainables.config import TrialConfig
from trainables.data import Arrays, Split
from trainables.distillers.crd import CRD
from trainables.distillers.vid import VID
from trainables.epoch import Clock, EpochTotals
from trainables.materials import Materials
from trainables.models import Features, Network
from trainables.sources import TeacherOutputs
from trainables.trainer import Trainer

SETTINGS: dict[str, dict[str, Any]] = cases.load_json("trajectories.json")


def _weights(case: dict[str, Any]) -> dict[str, Any]:
    return {"name": case["distill"], "ce_weight": float(case["gamma"]), "kd_weight": float(case["alpha"])}


DISTILLERS: dict[str, Callable[[dict[str, Any]], dict[str, Any]]] = {
    "kd": _weights,
    "dkd": lambda case: {
        "name": "dkd",
        "ce_weight": float(case["gamma"]),
        "weight": float(case["beta"]),
        "alpha": float(case["dkd_alpha"]),
        "beta": float(case["dkd_beta"]),
    },
    "vid": lambda case: {**_weights(case), "weight": float(case["beta"])},
    "crd": lambda case: {
        **_weights(case),
        "weight": float(case["beta"]),
        "negatives": case["crd"]["nce_k"],
        "contrast_temperature": case["crd"]["nce_t"],
        "momentum": case["crd"]["nce_m"],
        "dimensions": case["crd"]["feat_dim"],
    },
}


class _GivenNegatives(nn.Module):
    """Contrast positions from a table."""

    def __init__(self, table: Tensor) -> None:
        super().__init__()
        self.table = table

    def forward(self, positions: Tensor, labels: Tensor, epoch: int) -> Tensor:
        return self.table[positions]


def fill_distiller(trainer: Trainer, case: dict[str, Any], count: int) -> None:
    """Fills a distiller's modules under the names that they have in the authors' code."""
    distiller = trainer.distiller
    if isinstance(distiller, VID):
        for regressor in distiller.regressors:
            fill(regressor, keep=frozenset({"log_scale"}))
    if isinstance(distiller, CRD):
        for embedding in (distiller.embed_student, distiller.embed_teacher):
            fill(embedding)
        settings = case["crd"]
        bound = 1 / np.sqrt(settings["feat_dim"] / 3)
        for name, seed in zip(("student", "teacher"), settings["memory_seeds"], strict=True):
            memory = np.random.RandomState(seed).uniform(-bound, bound, (count, settings["feat_dim"]))
            distiller.get_buffer(f"memory_{name}").copy_(torch.from_numpy(memory.astype(np.float32)))
        drawn = np.random.RandomState(settings["contrast_index_seed"]).randint(0, count, (count, settings["nce_k"] + 1))
        distiller.negatives = _GivenNegatives(torch.from_numpy(drawn[:, 1:]))


class _Given(TeacherOutputs):
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
    fill_distiller(trainer, case, count)
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
@pytest.mark.parametrize("case_name", SETTINGS)
def test_trainer_follows_the_authors_trajectory(case_name: str, memory_format: str) -> None:
    case, expected = SETTINGS[case_name], dict(cases.cases("trajectories.npz", re.escape(case_name)))[case_name]
    torch.set_num_threads(1)
    trainer, images, labels = prepared(case, memory_format)
    size = case["batch_size"]
    for name in ("student", "teacher"):
        if f"memory_{name}" in expected:  # before the first step
            memory = trainer.distiller.get_buffer(f"memory_{name}")
            assert cases.difference(memory, expected[f"memory_{name}"]) < cases.VALUES
    assert trainer.materials.teacher is not None
    logits = trainer.materials.teacher(images[:size])
    assert cases.difference(logits, expected["teacher_logits_first_batch"]) < cases.VALUES
    trainer.student.train()
    losses, temperatures, coefficients = [], [], []
    for _ in range(case["epochs"]):
        trainer.epoch += 1
        progress = trainer.progress()
        totals = EpochTotals(Clock(trainer.device))
        for begin in range(0, len(images), size):
            span = slice(begin, begin + size)
            places = torch.arange(begin, begin + size)
            trainer.step(images[span], labels[span], places, (begin, begin + size), progress, totals)
            coefficients.append(-progress.strength)
        losses += [float(parts[0].detach()) for parts in totals.losses]
        temperatures += [float(value) for value in totals.temperatures]
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
    # Another layout rounds otherwise, and 18 steps amplify that: in logits more than in losses.
    bound = cases.TRAJECTORY if memory_format == "contiguous" else 4 * cases.TRAJECTORY
    assert cases.difference(final, expected["final_train_mode_logits"]) < bound


def test_every_family_has_a_case() -> None:
    assert {case["distill"] for case in SETTINGS.values()} >= {"kd"}
    unknown = {case["distill"] for case in SETTINGS.values()} - DISTILLERS.keys()
    assert not unknown, "a trajectory that is not checked"
