"""Fills a bank: runs the teacher, in its fastest form, on the pairs that the bank lacks."""

# B batch, C classes, D width of the pooled vector

import copy
import logging
import time
from collections.abc import Callable

import numpy as np
import torch
from torch import Tensor, nn
from torch.fx.experimental.optimization import fuse

from trainables.bank.bank import Bank
from trainables.bank.keys import Keys
from trainables.bank.segments import BankCost, Rows, row_bytes
from trainables.data import Arrays, DataOptions, normalise
from trainables.flops import forward_flops
from trainables.models import Network
from trainables.numerics import inference_batch, to_format

log = logging.getLogger(__name__)

TOLERANCE = 1e-5
"""Largest difference between folded and plain outputs, over the largest output."""

_SEGMENT_ROWS, _SEGMENT_BYTES = 32_768, 32 * 2**20  # limits what a crash loses, and what is held in memory

#: Logits, shape (B, C), and pooled vectors, shape (B, D), of images.
Outputs = Callable[[Tensor], tuple[Tensor, Tensor]]


def fill(
    bank: Bank,
    keys: Keys,
    teacher: Network,
    data: DataOptions,
    arrays: Arrays,
    device: torch.device,
    on_batch: Callable[[], None] = lambda: None,
) -> BankCost:
    """Compute the outputs that a bank lacks, and store them segment by segment.

    Args:
        bank: the bank to extend.
        keys: of the pairs that it shall hold, ascending.
        teacher: frozen, in evaluation mode, on the device.
        data: the options of the data set, which define the views.
        arrays: the data set.
        device: where to compute.
        on_batch: called after every batch.

    Returns:
        The cost of this call.

    Raises:
        ValueError: an output is not finite.
    """
    missing = bank.open().missing(keys)
    total = BankCost()
    if not len(missing):
        return total
    began = time.perf_counter()
    glance = Glance(teacher, data, arrays, device)
    widths = (teacher.head.out_features, *((teacher.head.in_features,) if bank.pooled else ()))
    length = min(_SEGMENT_ROWS, max(_SEGMENT_BYTES // row_bytes(bank.precision, *widths), 1))
    per_image = forward_flops(teacher, arrays.channels, arrays.size) / 1e12
    cores = torch.get_num_threads() if device.type == "cpu" else 1
    for first in range(0, len(missing), length):
        part = missing[first : first + length]
        logits, pooled = glance(part, on_batch)
        now = time.perf_counter()
        cost = BankCost(len(part), now - began, (now - began) * cores, len(part) * per_image)
        began = now
        total = total + bank.write(part, (logits, pooled if bank.pooled else None), cost)
    return total


class Glance:
    """Runs the teacher on pairs of example and view.

    All batches have the same size (the last is filled up with repeated pairs), because the rounding of a batch depends
    on its size: so the outputs for a pair do not depend on the other pairs of the call.

    Args:
        teacher: frozen, in evaluation mode, on the device.
        data: the options of the data set, which define the views.
        arrays: the data set.
        device: where to compute.
    """

    def __init__(self, teacher: Network, data: DataOptions, arrays: Arrays, device: torch.device) -> None:
        self.data, self.arrays, self.device = data, arrays, device
        self.size = inference_batch(arrays.size, device)
        """Images in a batch."""
        self.outputs = fastest(teacher, self._images(np.arange(min(self.size, len(arrays.train_labels)))))

    def __call__(self, keys: Keys, on_batch: Callable[[], None] = lambda: None) -> Rows:
        parts = []
        with torch.inference_mode():
            for first in range(0, len(keys), self.size):
                some = keys[first : first + self.size]
                outputs = self.outputs(self._images(np.resize(some, self.size)))
                parts.append([output[: len(some)].float() for output in outputs])
                on_batch()
            logits, pooled = (torch.cat(each).cpu().numpy() for each in zip(*parts, strict=True))
        return logits, pooled

    def _images(self, keys: Keys) -> Tensor:
        ids, views = (torch.from_numpy(part).to(self.arrays.train_images.device) for part in divmod(keys, self.views))
        images = self.data.views.apply(self.arrays.train_images[ids], views).to(self.device, non_blocking=True)
        return to_format(normalise(images, self.arrays.mean, self.arrays.std), "channels_last")

    @property
    def views(self) -> int:
        return self.data.views.count


def fastest(network: Network, images: Tensor) -> Outputs:
    """Return a function for the outputs of a frozen network that runs as fast as possible.

    It folds each batch normalisation into the convolution before it, in channels_last. If the network cannot be traced,
    or if folding changes the outputs for the given images by more than ``TOLERANCE``, nothing is folded.

    Args:
        network: in evaluation mode; not modified.
        images: a typical batch, on the network's device.
    """
    plain = _Outputs(copy.deepcopy(network)).eval()
    with torch.no_grad():
        expected = plain(images)
        try:
            folded: nn.Module = fuse(plain).to(memory_format=torch.channels_last)
            outputs = folded(images)
        except Exception as fault:  # tracing runs the network's own code, which can raise any exception
            log.info("%s is not folded: %s", type(network).__name__, fault)
            outputs = ()
    if len(outputs) == len(expected) and all(close(a, b) for a, b in zip(outputs, expected, strict=True)):
        return folded
    return plain.to(memory_format=torch.channels_last)


def close(outputs: Tensor, expected: Tensor) -> bool:
    """Whether outputs differ from the expected ones by at most ``TOLERANCE`` times the largest of these."""
    return bool((outputs - expected).abs().max() <= TOLERANCE * expected.abs().max())


class _Outputs(nn.Module):
    def __init__(self, network: Network) -> None:
        super().__init__()
        self.network = network

    def forward(self, images: Tensor) -> tuple[Tensor, Tensor]:
        features = self.network.features(images)
        return features.logits, features.pooled
