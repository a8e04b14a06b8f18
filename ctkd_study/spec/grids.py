"""The grids of an arm's block: where they stand, and the block with one value in place of each."""

import copy
import dataclasses
from collections.abc import Iterator
from typing import Any

from ctkd_study.errors import KeyPath
from ctkd_study.spec.problems import GRID_ELSEWHERE, Problem, show
from ctkd_study.spec.values import put
from trainables.hashing import canonical


@dataclasses.dataclass(frozen=True)
class Grid:
    """A grid that stands in an arm's block."""

    path: KeyPath
    values: list[Any]
    numbers: list[int]
    """The place of each value in the list as written; empty for a grid that is wrong as a whole, whose only value is
    then None and not checked further."""


def find_grids(block: Any, at: KeyPath) -> tuple[list[Grid], list[Problem]]:
    """Return the grids of an arm's block, with paths relative to the block, and what is wrong with them."""
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
    """Return the block with one value in place of each grid."""
    overlay = copy.deepcopy(block)
    for grid, index in zip(grids, choice, strict=True):
        put(overlay, grid.path, grid.values[index])
    return overlay
