"""Learning rates by epoch, as literal tables."""

from typing import Any

import pytest

from trainables.recipe import SCHEDULES, Recipe

#: Options, and the learning rate of each epoch of a recipe of as many epochs, from 0.5 on.
TABLES: dict[str, list[tuple[dict[str, Any], list[float]]]] = {
    "constant": [({}, [0.5, 0.5, 0.5])],
    "cosine": [
        ({}, [0.5, 0.426777, 0.25, 0.073223]),
        ({}, [0.5]),
    ],
    "step": [
        ({"milestones": [2, 3]}, [0.5, 0.5, 0.05, 0.005]),
        ({"milestones": [1], "gamma": 0.5}, [0.5, 0.25, 0.25]),
    ],
}


def test_every_schedule_has_its_table() -> None:
    assert set(SCHEDULES) == set(TABLES)


@pytest.mark.parametrize("kind", TABLES)
def test_learning_rate_by_epoch(kind: str) -> None:
    for options, expected in TABLES[kind]:
        recipe = Recipe.model_validate({"epochs": len(expected), "lr": 0.5, "schedule": {"kind": kind, **options}})
        actual = [recipe.lr_at(epoch) for epoch in range(1, len(expected) + 1)]
        assert actual == pytest.approx(expected, abs=1e-6), options
