"""The handwritten digits that scikit-learn ships: 1,797 grey images of 8x8 pixels."""

from typing import Literal

import numpy as np
import torch

from trainables import streams
from trainables.data.base import Arrays, DataOptions, Sizes, stratified_order

_TRAIN = 1000
_TEST_SPLIT = 1797  # seed of the split into training and test: part of the data set, not of a study


class DigitsOptions(DataOptions):
    """1,000 training and 797 test images of 8x8, ten classes.

    scikit-learn defines no test set; this one is fixed and stratified.
    """

    name: Literal["digits"] = "digits"

    def load(self) -> Arrays:
        from sklearn.datasets import load_digits  # nothing else needs it, and it takes a second to import

        bunch = load_digits()
        # Pixels are counts 0..16; 15.9375 = 255 / 16 keeps them exact to within half a grey level.
        images = torch.from_numpy(np.rint(bunch.images * 255 / 16).astype(np.uint8)).unsqueeze(1)
        labels = torch.from_numpy(bunch.target.astype(np.int64))
        order = stratified_order(np.arange(len(labels)), bunch.target, streams.Purpose.SPLIT, _TEST_SPLIT)
        train, test = (torch.from_numpy(np.sort(part)) for part in (order[:_TRAIN], order[_TRAIN:]))
        return Arrays(
            train_images=images[train],
            train_labels=labels[train],
            test_images=images[test],
            test_labels=labels[test],
            classes=10,
            mean=(0.3070,),
            std=(0.3762,),
        )

    def sizes(self) -> Sizes:
        return Sizes(train=1000, test=797, classes=10, channels=1, size=8)
