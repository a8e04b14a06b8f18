"""The reference vectors: numbers that the method's authors' code produces, as cases to iterate over.

They are taken from the folder named by ``CTKD_REFERENCE_DIR``, by default ``vectors/`` beside this file. Tests
iterate over whatever cases the files hold; a family without a case is an error, not a test that silently runs nothing.
"""

import json
import os
import re
from collections import defaultdict
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

VALUES, GRADIENTS, INSTANCE, TRAJECTORY = 1e-4, 1e-3, 1e-3, 5e-3
"""Tolerances, as max|a - b| / max|b| over an array."""

Case = dict[str, NDArray[Any]]


def folder() -> Path:
    return Path(os.environ.get("CTKD_REFERENCE_DIR") or Path(__file__).parent / "vectors")


def load_json(file: str) -> Any:
    return json.loads((folder() / file).read_text())


def arrays(file: str) -> dict[str, NDArray[Any]]:
    """The arrays of an ``.npz``, by their full names."""
    with np.load(folder() / file) as archive:
        return {name: archive[name] for name in archive.files}


def cases(file: str, family: str) -> list[tuple[str, Case]]:
    """The cases of a family: ``family`` is a regular expression that the whole case name must match.

    Raises:
        LookupError: the file holds no such case.
    """
    found: dict[str, Case] = defaultdict(dict)
    for name, array in arrays(file).items():
        case, _, field = name.partition("/")
        if re.fullmatch(family, case):
            found[case][field] = array
    if not found:
        raise LookupError(f"{folder() / file} has no case of family {family!r}")
    return sorted(found.items())


def difference(actual: Tensor | NDArray[Any] | float, expected: NDArray[Any] | float) -> float:
    """max|a - b| / max|b| over the arrays."""
    if isinstance(actual, Tensor):
        actual = actual.detach().double().numpy()
    a, b = np.asarray(actual, dtype=np.float64), np.asarray(expected, dtype=np.float64)
    return float(np.abs(a.reshape(b.shape) - b).max() / np.abs(b).max())


def tensor(case: Case, field: str, grad: bool = False) -> Tensor:
    return torch.from_numpy(np.array(case[field])).requires_grad_(grad)
