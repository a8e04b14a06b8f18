"""The process-wide switches that numbers depend on; a Trainable sets them at every reset."""

import os
import random

import numpy as np
import torch

from trainables import streams
from trainables.config import Numerics


def apply(numerics: Numerics, seed: int) -> torch.device:
    """Sets threads, precision and determinism flags and the global seeds, and returns the device to train on.

    Nothing in this project draws from the global generators in passing; they are seeded for what others' modules may
    do.

    Raises:
        ValueError: CUDA is asked for and there is none.
    """
    if numerics.device == "cuda" and not torch.cuda.is_available():
        raise ValueError("numerics.device is 'cuda', but no CUDA device is visible to this process")
    torch.set_num_threads(numerics.threads)
    torch.set_default_dtype(torch.float32)
    # float32 means float32 on a GPU, too: TF32 rounds to 10 bits.
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
    """The images in the given layout, in truth.

    With one channel, ``.contiguous()`` keeps whatever strides there are, and a network "in NCHW" silently runs
    channels_last; so the strides are compared, not asked for.
    """
    wanted = torch.channels_last if memory_format == "channels_last" else torch.contiguous_format
    target = torch.empty_like(images, memory_format=wanted)
    return images if images.stride() == target.stride() else target.copy_(images)


def inference_batch(size: int, device: torch.device) -> int:
    """How many square images to look at together where no gradient is wanted.

    On a CPU, as many as its cache takes: 65,536 pixels are 1.3 to 1.5 times faster than four times as many, and as
    fast as any smaller number (docs/performance.md).

    Args:
        size: height and width of the images.
        device: where the network is.
    """
    return 1024 if device.type == "cuda" else min(max(65_536 // size**2, 16), 512)
