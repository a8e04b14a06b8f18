"""Plain values in nested blocks: paths, leaves, and how people read them."""

from typing import Any

import pytest

from ctkd_study.spec import leaves, text
from ctkd_study.spec.values import get, project


def test_leaves_are_all_but_mappings_with_their_paths() -> None:
    block = {"a": {"b": 1, "c": {"d": None}}, "e": [1, {"f": 2}], "g": {}}
    assert list(leaves(block)) == [(("a", "b"), 1), (("a", "c", "d"), None), (("e",), [1, {"f": 2}])]
    assert list(leaves(3)) == [((), 3)]


@pytest.mark.parametrize(
    ("value", "read"),
    [
        ("4", "4"),
        ("a b", "a b"),
        (4, "4"),
        (4.0, "4"),
        (0.5, "0.5"),
        (1e-9, "1e-09"),
        (None, "null"),
        (True, "true"),
        ([1.0, "x"], '[1,"x"]'),
        ({"b": 2, "a": 1.0}, '{"a":1,"b":2}'),
        ("λ", "λ"),
    ],
)
def test_text_is_what_people_read(value: Any, read: str) -> None:
    assert text(value) == read


def test_values_are_read_at_paths() -> None:
    block: dict[str, Any] = {"a": [1, {"b": 2}]}
    assert get(block, ()) is block
    assert get(block, ("a", 1, "b")) == 2


def test_a_projection_has_the_keys_of_the_overlay_and_the_values_of_the_other() -> None:
    assert project({"a": {"b": 4.0}, "c": "1"}, {"a": {"b": 4, "x": 0}, "c": 1, "d": 2}) == {"a": {"b": 4}, "c": 1}
    assert project(None, {"a": 1}) == {"a": 1}
