"""scikit-learn's handwritten digits: 1,797 grey images of 8x8, which the package ships."""

from typing import Literal

import numpy as np
import torch
from sklearn.datasets import load_digits

from trainables.data.base import Arrays, DataOptions

_TRAIN = 1000


class DigitsOptions(DataOptions):
    """1,000 training and 797 test images of 8x8, ten classes; the last 797 are the test set."""

    name: Literal["digits"] = "digits"

    def load(self) -> Arrays:
        bunch = load_digits()
        # Pixels are counts 0..16; 15.9375 = 255 / 16 keeps them exact to within half a grey level.
        images = torch.from_numpy(np.rint(bunch.images * 255 / 16).astype(np.uint8)).unsqueeze(1)
        labels = torch.from_numpy(bunch.target.astype(np.int64))
        return Arrays(
            train_images=images[:_TRAIN],
            train_labels=labels[:_TRAIN],
            test_images=images[_TRAIN:],
            test_labels=labels[_TRAIN:],
            classes=10,
            mean=(0.3070,),
            std=(0.3762,),
        )
