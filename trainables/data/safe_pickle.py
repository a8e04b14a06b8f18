"""Reads pickles of arrays from untrusted files without running code that they may contain."""

import io
import pickle
from typing import Any, ClassVar

import numpy as np


class _ArraysOnly(pickle.Unpickler):
    """Builds containers, numbers, text and numpy arrays, and refuses everything else."""

    # numpy's constructor of unpickled arrays, under the module names of old and new versions.
    _reconstruct: ClassVar[Any] = np.empty(0).__reduce__()[0]
    _known: ClassVar[dict[tuple[str, str], Any]] = {
        ("numpy.core.multiarray", "_reconstruct"): _reconstruct,
        ("numpy._core.multiarray", "_reconstruct"): _reconstruct,
        ("numpy", "ndarray"): np.ndarray,
        ("numpy", "dtype"): np.dtype,
    }

    def find_class(self, module: str, name: str, /) -> Any:
        try:
            return self._known[module, name]
        except KeyError:
            raise pickle.UnpicklingError(f"it names {module}.{name}, and only numpy arrays are read") from None


def unpickle_arrays(name: str, content: bytes) -> Any:
    """Return the content of a pickle of plain values and numpy arrays; byte strings of Python 2 become text.

    Args:
        name: the name of the file in messages.
        content: the pickle.

    Raises:
        ValueError: it names anything else, or is damaged. Nothing that it names was called.
    """
    try:
        return _ArraysOnly(io.BytesIO(content), encoding="latin1").load()
    except Exception as fault:  # a damaged pickle can raise any exception
        raise ValueError(f"{name} must be a pickle of numpy arrays, but: {fault or type(fault).__name__}") from None
