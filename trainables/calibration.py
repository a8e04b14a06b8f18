"""Expected calibration error: how far a network's confidence is from its accuracy."""

import torch
from torch import Tensor

BINS = 15


def expected_calibration_error(confidences: Tensor, hits: Tensor) -> Tensor:
    """Return the expected calibration error, a scalar from 0 to 1, float64, on the device of its inputs.

    Examples are sorted into 15 bins of equal width by the probability of their top label. The error is the mean over
    examples of the distance between accuracy and mean confidence of their bin (Guo et al., On Calibration of Modern
    Neural Networks, ICML 2017, section 3: ECE, with bins that are closed on the right).

    Args:
        confidences: the top label's probability, above 0 and at most 1, shape (N,).
        hits: whether the top label is right, shape (N,), bool.
    """
    exact = confidences.double()
    places = (exact * BINS).ceil() - 1
    # Sums by comparison: bincount and index_add would synchronise a GPU, or add in an order that varies.
    member = places[:, None] == torch.arange(BINS, device=exact.device)
    return ((hits.double() - exact)[:, None] * member).sum(0).abs().sum() / len(exact)
