"""Grids within an arm's block: where they stand, and the block with one value in the place of each."""

import copy
import dataclasses
from collections.abc import Iterator
from typing import Any

from ctkd_study.errors import KeyPath
from ctkd_study.spec.problems import GRID_ELSEWHERE, Problem, show
from trainables.hashing import canonical


@dataclasses.dataclass(frozen=True)
class Grid:
    """A grid that stands in an arm's block."""

    path: KeyPath
    values: list[Any]
    numbers: list[int]
    """The place of each value in the list as written. Empty for a grid that is at fault as a whole: its
    only value is None then, of which nothing more is to be said."""


def find_grids(block: Any, at: KeyPath) -> tuple[list[Grid], list[Problem]]:
    """The grids of an arm's block, their paths within it, and what is wrong with them."""
    grids, problems = [], []
    for path, node in _nodes(block, ()):
        where, values = (*at, *path), node["grid"]
        kept: dict[str, int] = {}
        if len(node) > 1:
            problems.append(Problem((*where, "grid"), values, f"{GRID_ELSEWHERE}, with no other key beside it"))
        elif not isinstance(values, list) or not values:
            problems.append(
                Problem(where, values, f"a grid must be a list of at least one value, but got {show(values)}")
            )
        else:
            for number, value in enumerate(values):
                here = (*where, "grid", number)
                if isinstance(value, dict | list):
                    problems.append(Problem(here, value, f"a grid must hold plain values alone, but got {show(value)}"))
                elif kept.setdefault(canonical(value), number) != number:
                    problems.append(
                        Problem(here, value, f"a grid must hold no value twice, but got {show(value)} again")
                    )
        numbers = list(kept.values())
        grids.append(Grid(path, [values[number] for number in numbers] or [None], numbers))
    return grids, problems


def _nodes(value: Any, path: KeyPath) -> Iterator[tuple[KeyPath, dict[str, Any]]]:
    if isinstance(value, dict) and "grid" in value:
        yield path, value
    elif isinstance(value, dict | list):
        for key, inner in value.items() if isinstance(value, dict) else enumerate(value):
            yield from _nodes(inner, (*path, key))


def chosen(block: dict[str, Any], grids: list[Grid], choice: tuple[int, ...]) -> dict[str, Any]:
    """The block with one value in the place of each grid."""
    overlay = copy.deepcopy(block)
    for grid, index in zip(grids, choice, strict=True):
        put(overlay, grid.path, grid.values[index])
    return overlay


def put(block: Any, path: KeyPath, value: Any) -> None:
    """Sets the value at a path that is not empty."""
    for part in path[:-1]:
        block = block[part]
    block[path[-1]] = value


def get(block: Any, path: KeyPath) -> Any:
    """The value at a path."""
    for part in path:
        block = block[part]
    return block


def project(overlay: Any, plain: Any) -> Any:
    """The validated values at the keys that the overlay states."""
    if isinstance(overlay, dict) and isinstance(plain, dict):
        return {key: project(value, plain[key]) for key, value in overlay.items()}
    return plain
