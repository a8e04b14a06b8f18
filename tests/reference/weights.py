"""The deterministic weights that the reference vectors were computed with (vectors/README.md)."""

import zlib

import numpy as np
import torch
from torch import Tensor, nn


def fill(module: nn.Module, keep: frozenset[str] = frozenset()) -> None:
    """Fills a module's whole state, key by key, from generators seeded by the keys; keys in ``keep`` are left alone."""
    state = {key: _value(key, tensor) for key, tensor in module.state_dict().items() if key not in keep}
    module.load_state_dict(state, strict=not keep)


def _value(key: str, tensor: Tensor) -> Tensor:
    shape = tuple(tensor.shape)
    if key.endswith("num_batches_tracked"):
        return torch.zeros_like(tensor)
    x = np.random.RandomState(zlib.crc32(key.encode()) & 0xFFFFFFFF).standard_normal(shape)
    if len(shape) == 4:
        x = x * np.sqrt(2 / (shape[1] * shape[2] * shape[3]))
    elif len(shape) == 2:
        x = x * np.sqrt(1 / shape[1])
    elif key.endswith("running_var"):
        x = np.abs(1 + 0.1 * x)
    elif key.endswith(".weight"):
        x = 1 + 0.1 * x
    else:
        x = 0.1 * x
    return torch.from_numpy(np.asarray(x, dtype=np.float32))
