"""A few steps of a trial for what they take, time or memory; nothing of them is kept."""

import dataclasses

import numpy as np
import torch

from trainables import numerics
from trainables.alike import alike
from trainables.bank import PRECISIONS, OpenBank, Segment, Table, keys_of
from trainables.config import TrialConfig
from trainables.data import Arrays, Split
from trainables.materials import Materials, placed
from trainables.models import Network
from trainables.sources import Banked, TeacherOutputs, online
from trainables.trainer import Trainer


def kind(config: TrialConfig) -> str:
    """The same for trials whose steps take the same."""
    # T's value changes no work.
    parts = ("student", "distiller", "temperature.kind", "recipe.batch_size", "numerics", "teacher_source")
    return alike(config, *parts, teacher=config.teacher and config.teacher.network())


def trainer(config: TrialConfig, arrays: Arrays, steps: int, tested: int) -> Trainer:
    """A trainer that does a trial's work on a part of its data, with an untrained teacher.

    Args:
        config: the trial.
        arrays: its data set.
        steps: of an epoch, at most.
        tested: examples of the test set that are evaluated, at most.
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
    """A trial's teacher, untrained.

    Raises:
        TypeError: it has none.
    """
    if config.teacher is None:
        raise TypeError("a trial that reads a teacher's outputs has one")
    network = config.teacher.network().build(arrays.classes, arrays.channels, arrays.size)
    return network.eval().requires_grad_(False).to(device)


def memory(config: TrialConfig) -> tuple[int, int]:
    """Bytes of a GPU that a trial needs in a process of its own, CUDA's context included, and that the GPU has.

    To be called in a fresh process with the GPU for itself: what others use counts as needed.

    Raises:
        torch.OutOfMemoryError: the trial does not fit.
    """
    arrays = config.data.load()
    device = numerics.apply(config.numerics, 0)
    steps = trainer(config, arrays, steps=2, tested=numerics.inference_batch(arrays.size, device))
    for _ in range(2):
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
