"""Sets the process-wide switches that results depend on; every trial sets them before it starts."""

import os
import random

import numpy as np
import torch

from trainables import streams
from trainables.config import Numerics


def apply(numerics: Numerics, seed: int) -> torch.device:
    """Set threads, precision, determinism and global seeds, and return the device to train on.

    This project does not draw from the global generators; they are seeded for modules of other packages that do.

    Raises:
        ValueError: CUDA is asked for, but there is no CUDA device.
    """
    if numerics.device == "cuda" and not torch.cuda.is_available():
        raise ValueError("numerics.device is 'cuda', but no CUDA device is visible to this process")
    torch.set_num_threads(numerics.threads)
    torch.set_default_dtype(torch.float32)
    # TF32 would round float32 to 10 bits of mantissa on a GPU.
    torch.backends.cuda.matmul.allow_tf32 = False
    torch.backends.cudnn.allow_tf32 = False
    torch.backends.cudnn.benchmark = not numerics.deterministic
    if numerics.deterministic:
        os.environ.setdefault("CUBLAS_WORKSPACE_CONFIG", ":4096:8")
    torch.use_deterministic_algorithms(numerics.deterministic)
    word = int(streams.generator(streams.Purpose.STUDENT, seed, -1).integers(2**32))
    random.seed(word)
    np.random.seed(word)
    torch.manual_seed(word)
    wants_cuda = numerics.device == "cuda" or (numerics.device == "auto" and torch.cuda.is_available())
    return torch.device("cuda" if wants_cuda else "cpu")


def to_format(images: torch.Tensor, memory_format: str) -> torch.Tensor:
    """Return images whose strides are those of the given layout, copied only if necessary.

    ``Tensor.contiguous`` does not do: images with one channel count as contiguous in both layouts and keep their
    strides, and torch then picks the kernels of the other layout.
    """
    wanted = torch.channels_last if memory_format == "channels_last" else torch.contiguous_format
    target = torch.empty_like(images, memory_format=wanted)
    return images if images.stride() == target.stride() else target.copy_(images)


def inference_batch(size: int, device: torch.device) -> int:
    """Return the batch size for square images where no gradient is needed.

    On a CPU, a batch of 65,536 pixels fits in the cache: it is 1.3 to 1.5 times faster than four times as many pixels,
    and as fast as any smaller batch (docs/performance.md).

    Args:
        size: height and width of the images.
        device: where the network is.
    """
    return 1024 if device.type == "cuda" else min(max(65_536 // size**2, 16), 512)
