"""The expected calibration error by hand, against a plain loop, and where it must be 0."""

import pytest
import torch

from trainables.calibration import expected_calibration_error


def by_loop(confidences: list[float], hits: list[bool]) -> float:
    """Return the error as Guo et al. define it: bin by bin, weighted by the examples in it."""
    error = 0.0
    for place in range(15):
        members = [n for n, value in enumerate(confidences) if place / 15 < value <= (place + 1) / 15]
        if members:
            accuracy = sum(hits[n] for n in members) / len(members)
            confidence = sum(confidences[n] for n in members) / len(members)
            error += len(members) / len(confidences) * abs(accuracy - confidence)
    return error


@pytest.mark.parametrize(
    ("confidences", "hits", "error"),
    [
        ([0.8, 0.9], [True, True], 0.15),
        ([0.9, 0.9], [True, False], 0.4),
        ([0.9, 0.9, 0.5], [True, False, True], 1.3 / 3),
        ([1.0, 1.0], [True, True], 0.0),
        ([1.0, 1.0], [False, False], 1.0),
        ([0.14, 0.15, 0.81, 0.84], [True, False, True, True], ((0.86 - 0.15) + 0.35) / 4),
    ],
    ids=["too modest", "too sure", "bins do not cancel", "right", "wrong", "one bin cancels within"],
)
def test_by_hand(confidences: list[float], hits: list[bool], error: float) -> None:
    found = expected_calibration_error(torch.tensor(confidences, dtype=torch.float64), torch.tensor(hits))
    assert float(found) == pytest.approx(error)
    assert by_loop(confidences, hits) == pytest.approx(error)


def test_as_a_loop_over_bins() -> None:
    generator = torch.Generator().manual_seed(0)
    confidences = torch.rand(2000, generator=generator) * 0.999 + 0.001
    hits = torch.rand(2000, generator=generator) < confidences**2
    found = expected_calibration_error(confidences, hits)
    assert found.dtype == torch.float64
    assert float(found) == pytest.approx(by_loop(confidences.tolist(), hits.tolist()), abs=1e-12)
    assert 0.1 < float(found) < 0.25, "x - x² has mean 1/6"


def test_confidence_that_tells_the_truth_has_next_to_no_error() -> None:
    generator = torch.Generator().manual_seed(1)
    confidences = torch.rand(200_000, generator=generator) * 0.999 + 0.001
    hits = torch.rand(200_000, generator=generator) < confidences
    assert float(expected_calibration_error(confidences, hits)) < 0.005
