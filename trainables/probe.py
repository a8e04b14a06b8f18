"""A few steps of a trial, run to measure their time or memory; nothing of them is kept."""

import contextlib
import dataclasses
import time
from collections.abc import Sequence

import numpy as np
import torch

from trainables import numerics
from trainables.bank import PRECISIONS, Glance, OpenBank, Segment, Table, keys_of
from trainables.config import TrialConfig
from trainables.data import Arrays, DataOptions, Split
from trainables.materials import Materials, placed
from trainables.models import Network
from trainables.shared_keys import alike
from trainables.sources import Banked, TeacherOutputs, online
from trainables.trainer import Trainer

STEPS = 4
"""Training steps in a timed round."""
_ROUNDS, _TESTED = 3, 256


@dataclasses.dataclass(frozen=True)
class PerImage:
    """The cost of one image: seconds, and TFLOP of training."""

    training: float
    teacher: float
    evaluation: float
    tflop: float


def stand_in(options: DataOptions) -> Arrays:
    """Return random data of the sizes that a data set declares; the data set itself where it declares none.

    Raises:
        FileNotFoundError, ValueError: see ``DataOptions.load``.
    """
    sizes = options.sizes()
    return sizes.noise() if sizes is not None else options.load()


def kind(config: TrialConfig) -> str:
    """Return a key that is equal for trials whose steps take equally long."""
    # The value of T changes no work.
    parts = ("student", "distiller", "temperature.kind", "recipe.batch_size", "numerics", "teacher_source")
    return alike(config, *parts, teacher=config.teacher and config.teacher.network())


def trainer(config: TrialConfig, arrays: Arrays, steps: int, tested: int) -> Trainer:
    """Return a trainer that does a trial's work on a part of its data, with an untrained teacher.

    Args:
        config: the trial.
        arrays: its data set, or a stand-in.
        steps: largest number of steps in an epoch.
        tested: largest number of test examples that are evaluated.
    """
    members = np.arange(min(steps * config.recipe.batch_size, len(arrays.train_labels)))
    cut = dataclasses.replace(arrays, test_images=arrays.test_images[:tested], test_labels=arrays.test_labels[:tested])
    device = numerics.apply(config.numerics, 0)
    network, source = None, None
    if config.uses_teacher:
        network = teacher(config, arrays, device)
        source = _source(config, arrays, network, len(members), device)
    # Selecting by test needs no validation split.
    config = config.model_copy(update={"protocol": "paper"})
    return Trainer(
        config, Materials(placed(cut, device), Split(members[:0], members, members), network, source), device
    )


def teacher(config: TrialConfig, arrays: Arrays, device: torch.device) -> Network:
    """Return a trial's teacher, untrained.

    Raises:
        TypeError: the trial has no teacher.
    """
    if config.teacher is None:
        raise TypeError("a trial that reads a teacher's outputs has one")
    network = config.teacher.network().build(arrays.classes, arrays.channels, arrays.size)
    return network.eval().requires_grad_(False).to(device)


def time_steps(config: TrialConfig, arrays: Arrays) -> Sequence[PerImage]:
    """Time some rounds of training steps and evaluation, after one that warms up."""
    steps = trainer(config, arrays, STEPS, _TESTED)
    steps.train_epoch()
    trained, tested = len(steps.materials.split.student), len(steps.materials.arrays.test_labels)
    rounds = []
    for _ in range(_ROUNDS):
        before, row = steps.tflop, steps.train_epoch()
        training, looking, evaluation = (row[f"{part}_seconds"] or 0.0 for part in ("epoch", "teacher", "eval"))
        work = (steps.tflop - before) / trained
        rounds.append(PerImage(training / trained, looking / trained, evaluation / tested, work))
    return rounds


def time_teacher(config: TrialConfig, arrays: Arrays) -> Sequence[float]:
    """Time some rounds of the teacher filling a bank: seconds per image."""
    device = numerics.apply(config.numerics, 0)
    look = Glance(teacher(config, arrays, device), config.data, arrays, device)
    ids = np.arange(look.size) % len(arrays.train_labels)
    keys = keys_of(ids, np.zeros_like(ids), config.data.views.count)
    rounds = []
    for _ in range(_ROUNDS):
        began = time.perf_counter()
        look(keys)
        rounds.append((time.perf_counter() - began) / len(keys))
    return rounds


def memory(config: TrialConfig) -> tuple[int, int]:
    """Return the GPU memory that a trial needs, CUDA's context included, and the GPU's whole memory, in bytes.

    Call it in a fresh process that has the GPU for itself: memory that others use is counted as needed.

    Raises:
        torch.OutOfMemoryError: the trial does not fit.
    """
    arrays = stand_in(config.data)
    device = numerics.apply(config.numerics, 0)
    steps = trainer(config, arrays, steps=2, tested=numerics.inference_batch(arrays.size, device))
    for _ in range(2):
        # A trial that diverges needs as much; when it is run or timed, the error names its arm.
        with contextlib.suppress(ArithmeticError):
            steps.train_epoch()
    free, total = torch.cuda.mem_get_info(device)
    context = total - free - torch.cuda.memory_reserved(device)
    return context + torch.cuda.max_memory_reserved(device), total


def _source(
    config: TrialConfig, arrays: Arrays, network: Network, members: int, device: torch.device
) -> TeacherOutputs:
    precision = PRECISIONS.get(str(config.teacher_source))
    if precision is None:
        return online(network, config, arrays)
    views = config.data.views.count
    ids, each = np.divmod(np.arange(members * views), views)
    logits, pooled = (Table.zeros(len(ids), width, precision) for width in (arrays.classes, network.head.in_features))
    return Banked(OpenBank([Segment(keys_of(ids, each, views), logits, pooled)], views), device)
