"""λ by epoch, as literal tables."""

from typing import Any

import pydantic
import pytest

from trainables.curriculum import CURRICULA

TABLES: dict[str, list[tuple[dict[str, Any], list[float]]]] = {
    "constant": [
        ({}, [1.0, 1.0, 1.0]),
        ({"value": 0.3}, [0.3, 0.3, 0.3]),
        ({"value": 2.0, "delay": 2}, [0.0, 0.0, 2.0, 2.0]),
    ],
    "linear": [
        ({"epochs": 4}, [0.25, 0.5, 0.75, 1.0, 1.0, 1.0]),
        ({"start": 1.0, "end": 0.0, "epochs": 4}, [0.75, 0.5, 0.25, 0.0, 0.0]),
        ({"start": 0.5, "end": 2.5, "epochs": 2, "delay": 3}, [0.5, 0.5, 0.5, 1.5, 2.5, 2.5]),
    ],
    "cosine": [
        ({"epochs": 4}, [0.146447, 0.5, 0.853553, 1.0, 1.0]),
        ({"start": 2.0, "end": 0.0, "epochs": 4}, [1.707107, 1.0, 0.292893, 0.0, 0.0]),
        ({"epochs": 2, "delay": 2}, [0.0, 0.0, 0.5, 1.0, 1.0]),
    ],
    "exponential": [
        ({"epochs": 4, "rate": 5.0}, [0.718336, 0.924142, 0.983107, 1.0, 1.0]),
        ({"epochs": 4, "rate": -5.0}, [0.016893, 0.075858, 0.281664, 1.0, 1.0]),
        ({"epochs": 4, "rate": 0.0}, [0.25, 0.5, 0.75, 1.0, 1.0]),
        ({"start": 1.0, "end": 0.0, "epochs": 4, "delay": 1}, [1.0, 0.281664, 0.075858, 0.016893, 0.0, 0.0]),
    ],
    "step": [
        ({"epochs": 8, "steps": 2}, [0.0, 0.0, 0.0, 0.5, 0.5, 0.5, 0.5, 1.0, 1.0]),
        ({"epochs": 2, "steps": 4}, [0.5, 1.0, 1.0]),
        ({"start": 1.0, "end": 0.0, "epochs": 2, "steps": 1, "delay": 1}, [1.0, 1.0, 0.0, 0.0]),
    ],
    "cyclic": [
        ({"epochs": 4}, [0.5, 1.0, 0.5, 0.0, 0.5, 1.0, 0.5, 0.0]),
        ({"start": 2.0, "end": 1.0, "epochs": 2, "delay": 1}, [2.0, 1.0, 2.0, 1.0]),
    ],
    "piecewise": [
        ({"points": [[2, 0.0], [4, 1.0], [5, 0.2]]}, [0.0, 0.0, 0.5, 1.0, 0.2, 0.2]),
        ({"points": [[3, 0.5]]}, [0.5, 0.5, 0.5, 0.5]),
        ({"points": [[1, 1.0], [2, 1.0], [3, 0.0]]}, [1.0, 1.0, 0.0, 0.0]),
    ],
}


def test_every_curriculum_has_its_table() -> None:
    assert set(CURRICULA) == set(TABLES)


@pytest.mark.parametrize("kind", TABLES)
def test_lambda_by_epoch(kind: str) -> None:
    for options, expected in TABLES[kind]:
        curriculum = CURRICULA.parse({"kind": kind, **options})
        actual = [curriculum.strength(epoch) for epoch in range(1, len(expected) + 1)]
        assert actual == pytest.approx(expected, abs=1e-6), options


@pytest.mark.parametrize("kind", TABLES)
def test_lambda_is_never_negative(kind: str) -> None:
    for options, _ in TABLES[kind]:
        curriculum = CURRICULA.parse({"kind": kind, **options})
        assert all(curriculum.strength(epoch) >= 0 for epoch in range(1, 200))


@pytest.mark.parametrize("kind", TABLES)
def test_options_survive_a_round_trip_through_plain_values(kind: str) -> None:
    for options, _ in TABLES[kind]:
        curriculum = CURRICULA.parse({"kind": kind, **options})
        assert CURRICULA.parse(curriculum.plain()) == curriculum


@pytest.mark.parametrize("kind", sorted(set(TABLES) - {"constant", "piecewise", "cyclic"}))
def test_the_end_is_reached_exactly_and_kept(kind: str) -> None:
    for end in (0.1, 1.0, 7.0):
        curriculum = CURRICULA.parse({"kind": kind, "start": 0.3, "end": end, "epochs": 7, "delay": 2})
        assert curriculum.strength(2) == 0.3
        assert curriculum.strength(9) == pytest.approx(end, rel=1e-15)
        assert curriculum.strength(1000) == curriculum.strength(9)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"kind": "linear", "end": -1.0}, "greater than or equal to 0"),
        ({"kind": "cosine", "epochs": 0}, "greater than or equal to 1"),
        ({"kind": "constant", "delay": -1}, "greater than or equal to 0"),
        ({"kind": "piecewise", "points": []}, "at least 1 item"),
        ({"kind": "piecewise", "points": [[5, 1.0], [5, 0.0]]}, r"must rise, but got \[5, 5\]"),
        ({"kind": "piecewise", "points": [[0, 1.0]]}, "greater than or equal to 1"),
        ({"kind": "piecewise", "points": [[1, -1.0]]}, "greater than or equal to 0"),
        ({"kind": "piecewise", "points": [["1", 1.0]]}, "valid integer"),
    ],
)
def test_a_value_out_of_range_is_refused(options: dict[str, Any], message: str) -> None:
    with pytest.raises(pydantic.ValidationError, match=message):
        CURRICULA.parse(options)
