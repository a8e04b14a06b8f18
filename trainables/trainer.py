"""Trains one student, epoch by epoch, without Ray, MLflow or files.

One epoch, and where the method acts::

    λ = curriculum(epoch); lr = schedule(epoch)            constant within the epoch
    order = stream(order, seed, epoch)                     the same for every arm of a seed
    views = stream(view, seed, epoch)                      read by example id
    for each batch:
        teacher outputs = source(example, view)            from the bank, or computed
        loss = distiller(student outputs, teacher outputs, labels, temperature, λ)
        loss.backward()                                    one pass: the student descends, reversal by -λ makes T ascend
        one SGD step for student, distiller and temperature
    evaluate on validation and test; validation selects the epoch
"""

import dataclasses
import math
import time
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from torch import Tensor

from trainables import streams
from trainables.arithmetic import Work, tflop
from trainables.calibration import expected_calibration_error
from trainables.config import TrialConfig
from trainables.data import normalise
from trainables.distillers import Batch, Pair
from trainables.epoch import Clock, EpochStats, EpochTotals
from trainables.epoch_selection import Selected, rank
from trainables.forward import Forward
from trainables.materials import Materials
from trainables.models import Features
from trainables.numerics import inference_batch, to_format
from trainables.record import Row
from trainables.temperatures import TrainingProgress

_CHUNK_BYTES = 32 * 2**20  # of images gathered and augmented at once: a compromise between speed and memory


class NotFinite(ArithmeticError):
    """A loss or another number of an epoch is NaN or infinite."""


@dataclasses.dataclass(frozen=True)
class _Evaluation:
    loss: float
    top1: float
    top5: float
    ece: float
    correct: NDArray[np.bool_]


class Trainer:
    """One trial's training.

    Args:
        config: the trial.
        materials: data and teacher.
        device: where to train, as ``numerics.apply`` returned it.
    """

    def __init__(self, config: TrialConfig, materials: Materials, device: torch.device) -> None:
        self.config, self.materials, self.device = config, materials, device
        arrays, seed = materials.arrays, config.seed
        with streams.torch_scope(streams.Purpose.STUDENT, seed):
            self.student = config.student.build(arrays.classes, arrays.channels, arrays.size)
        pair = Pair(
            student=self.student,
            teacher=materials.teacher,
            classes=arrays.classes,
            channels=arrays.channels,
            size=arrays.size,
            labels=arrays.train_labels.cpu()[torch.from_numpy(materials.split.student)],
            seed=seed,
        )
        with streams.torch_scope(streams.Purpose.DISTILLER, seed):
            self.distiller = config.distiller.build(pair).to(device)
        self.temperature = None
        if config.temperature is not None:
            with streams.torch_scope(streams.Purpose.TEMPERATURE, seed):
                self.temperature = config.temperature.build(arrays.classes).to(device)
        self.student.to(device)
        if config.numerics.memory_format == "channels_last":
            self.student.to(memory_format=torch.channels_last)
        modules = [self.student, self.distiller, *([self.temperature] if self.temperature is not None else [])]
        recipe = config.recipe
        self.optimiser = torch.optim.SGD(
            [parameter for module in modules for parameter in module.parameters() if parameter.requires_grad],
            lr=recipe.lr,
            momentum=recipe.momentum,
            weight_decay=recipe.weight_decay,
            fused=True,
        )
        self.epoch = 0
        """Epochs done."""
        self.selected: Selected | None = None
        self.tflop = self.eval_tflop = self.teacher_tflop = 0.0
        self._tflop_per_image = tflop(Work.of(config, arrays, len(materials.split.student)))
        self._forward = Forward.of(self.student, config.numerics, device, self._examples())

    @property
    def fallbacks(self) -> tuple[str, ...]:
        """Options that this machine lacks, each with the reason."""
        return self._forward.fallbacks

    def train_epoch(self) -> Row:
        """Train and evaluate one epoch and return its row.

        Raises:
            NotFinite: a loss or a temperature is not finite. The trainer cannot be used any more.
        """
        self.epoch += 1
        began = time.perf_counter()
        # A network with dropout draws from torch's global generators.
        with streams.torch_scope(streams.Purpose.NOISE, self.config.seed, self.epoch, self.device):
            stats = self._train()
        trained = time.perf_counter()
        validation, test = self._evaluate_all()
        finished = time.perf_counter()
        seconds = trained - began - stats.teacher_seconds
        examples, arrays = len(self.materials.split.student), self.materials.arrays
        self.tflop += self._tflop_per_image.training * examples
        self.teacher_tflop += self.materials.source.tflop_per_image * examples if self.materials.source else 0.0
        evaluated = len(self.materials.split.validation) + len(arrays.test_labels)
        self.eval_tflop += self._tflop_per_image.evaluation * evaluated
        row: Row = {
            "epoch": self.epoch,
            "time_ms": time.time_ns() // 1_000_000,
            **stats.row,
            **_numbers("val", validation),
            **_numbers("test", test),
            "lambda": self.progress().strength if self.config.curriculum else None,
            "lr": self.config.recipe.lr_at(self.epoch),
            "epoch_seconds": seconds,
            "eval_seconds": finished - trained,
            "teacher_seconds": stats.teacher_seconds,
            "device_seconds": seconds * self.device_share,
            "images_per_second": examples / seconds,
            "tflop": self.tflop,
            "eval_tflop": self.eval_tflop,
            "teacher_tflop": self.teacher_tflop,
        }
        for name, value in row.items():
            if value is not None and not math.isfinite(value):
                raise NotFinite(f"{name} is {value} in epoch {self.epoch}")
        self._select(row, test)
        return row

    @property
    def device_share(self) -> float:
        """Device-seconds in a second: the number of CPU cores, or the share of a GPU, that the trial was given."""
        if self.device.type == "cpu":
            return self.config.run.cores or float(self.config.numerics.threads)
        return self.config.run.device_share or 1.0

    def state(self) -> dict[str, Any]:
        """Return the state that training resumes from: tensors, not copied, and plain values."""
        return {
            "epoch": self.epoch,
            "student": self.student.state_dict(),
            "distiller": self.distiller.state_dict(),
            "temperature": self.temperature.state_dict() if self.temperature is not None else {},
            "optimiser": self.optimiser.state_dict(),
            "tflop": [self.tflop, self.eval_tflop, self.teacher_tflop],
        }

    def restore(self, state: dict[str, Any], selected: Selected | None) -> None:
        """Resume from a state that ``state`` returned, on this or another device.

        Args:
            state: is not copied.
            selected: the epoch selected so far.
        """
        self.epoch = state["epoch"]
        self.student.load_state_dict(state["student"])
        self.distiller.load_state_dict(state["distiller"])
        if self.temperature is not None:
            self.temperature.load_state_dict(state["temperature"])
        self.optimiser.load_state_dict(state["optimiser"])
        self.tflop, self.eval_tflop, self.teacher_tflop = state["tflop"]
        self.selected = selected

    # -- one epoch ---------------------------------------------------------------------------------------------------

    def _train(self) -> EpochStats:
        config, materials, arrays = self.config, self.materials, self.materials.arrays
        recipe, progress = config.recipe, self.progress()
        for group in self.optimiser.param_groups:
            group["lr"] = recipe.lr_at(self.epoch)
        self.student.train()
        self.distiller.train()
        members = materials.split.student
        positions = torch.from_numpy(streams.batch_order(config.seed, self.epoch, len(members)))
        ids = torch.from_numpy(members)[positions]
        drawn = streams.views(config.seed, self.epoch, len(arrays.train_labels), config.data.views.count)
        views = torch.from_numpy(drawn)[ids]
        totals = EpochTotals(Clock(self.device))
        chunk = max(_CHUNK_BYTES // arrays.train_images[0].nbytes // recipe.batch_size, 1) * recipe.batch_size
        for first in range(0, len(ids), chunk):
            part = slice(first, first + chunk)
            with totals.teacher:
                if materials.source is not None:
                    materials.source.start(ids[part], views[part])
            # Gather and augment a chunk at once, as uint8, on the device of the data, then slice it: a gather per batch
            # costs up to 9 % on small images.
            chosen, seen_as = (each[part].to(arrays.train_images.device) for each in (ids, views))
            images = self._moved(config.data.views.apply(arrays.train_images[chosen], seen_as))
            labels, places = self._moved(arrays.train_labels[chosen]), self._moved(positions[part])
            for begin in range(0, len(images), recipe.batch_size):
                end = min(begin + recipe.batch_size, len(images))
                inputs = self.inputs(images[begin:end])
                self.step(inputs, labels[begin:end], places[begin:end], (begin, end), progress, totals)
        return totals.stats(len(ids))

    def step(
        self,
        images: Tensor,
        labels: Tensor,
        places: Tensor,
        span: tuple[int, int],
        progress: TrainingProgress,
        totals: EpochTotals,
    ) -> None:
        """Train on one batch.

        Args:
            images: normalised, shape (B, channels, S, S).
            labels: shape (B,), int64.
            places: of the examples in the training subset, shape (B,), int64.
            span: where the batch begins and ends among the examples announced to the source of teacher outputs.
            progress: the epoch and λ.
            totals: what the batch is added to.
        """
        teacher: Features | None = None
        if self.materials.source is not None:
            with totals.teacher:
                teacher = self.materials.source.batch(*span, images)
        outputs = self._forward.train(images)
        losses = self.distiller.losses(outputs, Batch(labels, places, teacher, progress), self.temperature)
        self.optimiser.zero_grad()
        losses.total.backward()  # type: ignore[no-untyped-call]
        self.optimiser.step()
        # Kept on the device and read once an epoch: reading here would stall a GPU at every step.
        totals.sizes.append(len(labels))
        totals.losses.append((losses.total, losses.ce, losses.kd, losses.other))
        totals.correct.append((outputs.logits.detach().argmax(1) == labels).sum())
        if self.temperature is not None and self.temperature.seen is not None:
            totals.temperatures.append(self.temperature.seen)

    def progress(self) -> TrainingProgress:
        """Return the epoch in progress and its λ."""
        strength = self.config.curriculum.strength(self.epoch) if self.config.curriculum else 0.0
        return TrainingProgress(self.epoch, self.config.recipe.epochs, strength)

    def inputs(self, images: Tensor) -> Tensor:
        """Return uint8 images as the student takes them: normalised float32, in the trial's memory format."""
        arrays = self.materials.arrays
        return to_format(normalise(images, arrays.mean, arrays.std), self.config.numerics.memory_format)

    def _moved(self, tensor: Tensor) -> Tensor:
        """Return a tensor on the trial's device, without waiting for the copy."""
        return tensor.to(self.device, non_blocking=True)

    def _examples(self) -> list[Tensor]:
        """Return a batch of black images for each batch size of an epoch."""
        arrays, batch, count = self.materials.arrays, self.config.recipe.batch_size, len(self.materials.split.student)
        sizes = sorted({min(batch, count), count % batch or min(batch, count)})
        black = [torch.zeros(size, arrays.channels, arrays.size, arrays.size, device=self.device) for size in sizes]
        return [to_format(images, self.config.numerics.memory_format) for images in black]

    # -- evaluation --------------------------------------------------------------------------------------------------

    def _evaluate_all(self) -> tuple[_Evaluation | None, _Evaluation]:
        arrays, held_out = self.materials.arrays, torch.from_numpy(self.materials.split.validation)
        validation = None
        if len(held_out):
            validation = self._evaluate(arrays.train_images[held_out], arrays.train_labels[held_out])
        return validation, self._evaluate(arrays.test_images, arrays.test_labels)

    def _evaluate(self, images: Tensor, labels: Tensor) -> _Evaluation:
        self.student.eval()
        losses, first, among_five, confidences = [], [], [], []
        size = inference_batch(self.materials.arrays.size, self.device)
        with torch.inference_mode():
            for some, truth in zip(*(torch.split(tensor, size) for tensor in (images, labels)), strict=True):
                logits = self._forward.logits(self.inputs(self._moved(some)))
                truth = self._moved(truth)
                losses.append(F.cross_entropy(logits, truth, reduction="sum"))
                confidences.append(logits.softmax(dim=1).amax(dim=1))
                best = logits.topk(min(5, logits.shape[1])).indices
                hits = best == truth[:, None]
                first.append(hits[:, 0])
                among_five.append(hits.any(dim=1))
            hits = torch.cat(first)
            means = (
                torch.stack(losses).double().sum() / len(labels),
                100 * torch.cat(among_five).double().mean(),
                100 * expected_calibration_error(torch.cat(confidences), hits),
            )
            loss, top5, ece = torch.stack(means).tolist()  # read at once: each read waits for a GPU
            correct = hits.cpu().numpy()
            return _Evaluation(loss, 100 * float(correct.mean()), top5, ece, correct)

    def _select(self, row: Row, test: _Evaluation) -> None:
        protocol, seed = self.config.protocol, self.config.seed
        if self.selected is None or rank(row, protocol, seed) > rank(self.selected.row, protocol, seed):
            weights = {key: value.detach().cpu().clone() for key, value in self.student.state_dict().items()}
            self.selected = Selected(row, weights, test.correct)


def _numbers(part: str, result: _Evaluation | None) -> Row:
    names = ("loss", "top1", "top5", "ece")
    return {f"{part}_{name}": getattr(result, name) if result is not None else None for name in names}
