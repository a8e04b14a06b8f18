"""Addressed randomness: each random number depends on its address alone, not on what was drawn before.

An address is (purpose, seed, epoch), and each has a stream of its own. So all arms of a seed have the same initial
student, batch order and views, and a resumed trial has no generator to restore.
"""

import contextlib
import enum
import hashlib
from collections.abc import Iterator

import numpy as np
import torch
from numpy.typing import NDArray

MAX_SEED = 2**31
"""The largest seed that a user may give."""


class Purpose(enum.StrEnum):
    """What a stream is for. The names are part of the address: renaming one changes results."""

    SPLIT = "split"
    SUBSET = "subset"
    ORDER = "order"
    VIEW = "view"
    STUDENT = "student"
    TEMPERATURE = "temperature"
    DISTILLER = "distiller"
    NEGATIVES = "negatives"
    NOISE = "noise"
    TIES = "ties"
    SEARCH = "search"


def _words(purpose: Purpose, seed: int, epoch: int) -> bytes:
    return hashlib.sha256(f"ctkd/{purpose.value}/{seed}/{epoch}".encode()).digest()


def generator(purpose: Purpose, seed: int, epoch: int = 0) -> np.random.Generator:
    """Return a Philox generator at the start of the stream with this address."""
    key = np.frombuffer(_words(purpose, seed, epoch)[:16], dtype=np.uint64)
    return np.random.Generator(np.random.Philox(key=key))


def split_order(purpose: Purpose, seed: int, count: int) -> NDArray[np.int64]:
    """Return the order in which a data set's examples are dealt out, a permutation of ``range(count)``.

    Args:
        purpose: ``SPLIT`` for the validation split, ``SUBSET`` for the training subset.
        seed: of the split, not of a trial.
        count: how many examples there are.
    """
    return generator(purpose, seed).permutation(count).astype(np.int64)


def batch_order(seed: int, epoch: int, count: int) -> NDArray[np.int64]:
    """Return the order of the training subset in one epoch, a permutation of ``range(count)``.

    Args:
        seed: of the trial.
        epoch: counted from 1.
        count: how many examples the subset has.
    """
    return generator(Purpose.ORDER, seed, epoch).permutation(count).astype(np.int64)


def views(seed: int, epoch: int, examples: int, choices: int) -> NDArray[np.int64]:
    """Return the view of every example in one epoch, by example id, shape (examples,), values below ``choices``.

    Views are drawn for the whole data set, so that the view of an example depends neither on the batch order nor on
    the training subset.
    """
    return generator(Purpose.VIEW, seed, epoch).integers(choices, size=examples)


@contextlib.contextmanager
def torch_scope(purpose: Purpose, seed: int, epoch: int = 0, device: torch.device | None = None) -> Iterator[None]:
    """Seed torch's global generators inside the block and restore them afterwards, for modules that draw from them.

    Args:
        purpose: what is drawn, e.g. initial weights, or the noise of dropout.
        seed: of the trial.
        epoch: of training; 0 before the first.
        device: a device whose generator is seeded and restored besides the CPU's.
    """
    cuda = [device] if device is not None and device.type == "cuda" else []
    with torch.random.fork_rng(devices=cuda):
        torch.manual_seed(int.from_bytes(_words(purpose, seed, epoch)[16:23], "little"))
        yield
