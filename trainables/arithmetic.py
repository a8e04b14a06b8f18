"""Counts the arithmetic of a trial: what one image costs in training and in evaluation."""

import dataclasses
import functools
from typing import NamedTuple

import torch

from trainables.config import TrialConfig
from trainables.data import Arrays
from trainables.distillers import Batch, Pair
from trainables.flops import flop_counter, forward_flops
from trainables.shared_keys import alike
from trainables.temperatures import TrainingProgress


class Tflop(NamedTuple):
    """TFLOP per image."""

    training: float
    """Student, distiller's modules and temperature, forward and backward; not the teacher."""
    evaluation: float


@dataclasses.dataclass(frozen=True)
class Work:
    """A trial's work; equal to another trial's where an image costs the same."""

    kind: str
    config: TrialConfig = dataclasses.field(compare=False)
    classes: int = dataclasses.field(compare=False)
    channels: int = dataclasses.field(compare=False)
    size: int = dataclasses.field(compare=False)
    """Height and width of the images."""
    examples: int = dataclasses.field(compare=False)
    """How many the trial trains on; a distiller may compare each image with all of them (``crd``)."""

    @classmethod
    def of(cls, config: TrialConfig, arrays: Arrays, examples: int) -> "Work":
        """The work of a trial that trains on so many examples of a data set."""
        # The numbers of a temperature that is not learned change no work.
        learned = config.temperature is not None and config.temperature.learned
        shape = (arrays.classes, arrays.channels, arrays.size, examples)
        kind = alike(
            config,
            "student",
            "distiller",
            "temperature" if learned else "temperature.kind",
            network=config.teacher.network() if config.teacher is not None else None,
            shape=shape,
        )
        return cls(kind, config, *shape)


@functools.cache
def tflop(work: Work) -> Tflop:
    """Count the arithmetic of a trial's work, once in a process: a count takes a third of a second.

    It is counted on networks without numbers (device "meta"), so nothing is computed, and nothing is drawn.
    """
    config, batch = work.config, 2
    labels = torch.arange(work.examples) % work.classes
    with torch.random.fork_rng(devices=()):
        student = config.student.build(work.classes, work.channels, work.size)
        teacher = None
        if config.uses_teacher and config.teacher is not None:
            teacher = config.teacher.network().build(work.classes, work.channels, work.size).eval()
        pair = Pair(student, teacher, work.classes, work.channels, work.size, labels, seed=0)
        distiller = config.distiller.build(pair).to("meta")
        temperature = config.temperature.build(work.classes).to("meta") if config.temperature is not None else None
    evaluation = forward_flops(student, work.channels, work.size)
    student.to("meta").train()
    images = torch.empty(batch, work.channels, work.size, work.size, device="meta")
    some = torch.zeros(batch, dtype=torch.int64, device="meta")
    with torch.no_grad():
        outputs = teacher.to("meta").features(images) if teacher is not None else None
    counter = flop_counter()
    with counter:
        losses = distiller.losses(
            student.features(images), Batch(some, some, outputs, TrainingProgress(1, 1)), temperature
        )
        losses.total.backward()  # type: ignore[no-untyped-call]
    return Tflop(counter.get_total_flops() / batch / 1e12, evaluation / 1e12)
