"""Which epoch of a trial is selected."""

import dataclasses

import numpy as np
from numpy.typing import NDArray
from torch import Tensor

from trainables import streams
from trainables.record import Row


@dataclasses.dataclass(frozen=True)
class Selected:
    """The best epoch so far."""

    row: Row
    weights: dict[str, Tensor]
    """The student's state after it, on the CPU."""
    correct: NDArray[np.bool_]
    """Which test examples are right, shape (test examples,)."""


def rank(row: Row, protocol: str, seed: int) -> tuple[float, float, float]:
    """Return what an epoch is ranked by; the highest is selected.

    The higher accuracy wins; where two are equal, the lower loss; where these are equal, too, a draw at the epoch's
    address, never the order of epochs. Accuracy and loss are those of validation; the paper's protocol has no
    validation set, and takes those of the test set, as the literature reports.

    Args:
        row: the epoch's row.
        protocol: the trial's, ``validation`` or ``paper``.
        seed: the trial's.

    Raises:
        TypeError: the row lacks these numbers.
    """
    part = "val" if protocol == "validation" else "test"
    accuracy, loss, epoch = row[f"{part}_top1"], row[f"{part}_loss"], row["epoch"]
    if accuracy is None or loss is None or epoch is None:
        raise TypeError(
            f"the row of epoch {epoch} must have {part}_top1 and {part}_loss, but got {accuracy} and {loss}"
        )
    return accuracy, -loss, float(streams.generator(streams.Purpose.TIES, seed, int(epoch)).random())
