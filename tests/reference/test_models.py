"""The authors' networks: same state-dict keys, shapes and outputs, so that published checkpoints load unchanged."""

from typing import Any

import numpy as np
import pytest
import torch

from tests.reference import cases
from tests.reference.weights import fill
from trainables.models import MODELS

EXPECTED: dict[str, Any] = cases.load_json("models.json")
LOGITS = cases.arrays("models.npz")


def test_there_are_networks_to_compare() -> None:
    assert EXPECTED
    assert set(EXPECTED) == set(LOGITS)


@pytest.mark.parametrize("name", EXPECTED)
def test_a_network_is_its_authors(name: str) -> None:
    expected, logits = EXPECTED[name], LOGITS[name]
    channels = next(shape[1] for shape in expected["state_dict"].values() if len(shape) == 4)
    images = np.random.RandomState(7).standard_normal((len(logits), channels, 32, 32)).astype(np.float32)
    network = MODELS.parse({"model": name}).build(classes=logits.shape[1], channels=channels, size=32)

    state = network.state_dict()
    assert list(state) == list(expected["state_dict"])
    assert {key: list(tensor.shape) for key, tensor in state.items()} == expected["state_dict"]
    assert sum(parameter.numel() for parameter in network.parameters()) == expected["parameters"]

    fill(network)
    with torch.no_grad():
        features = network.train().features(torch.from_numpy(images))
    assert cases.difference(features.logits, logits) < cases.VALUES
    outputs = [*features.maps, features.pooled]
    assert [list(output.shape) for output in outputs] == expected["features"]
    means = np.array([output.abs().mean().item() for output in outputs])
    np.testing.assert_allclose(means, expected["feature_mean_abs"], rtol=cases.VALUES)
