"""The grids of an arm's block: where they stand, and the block with one value in place of each."""

import dataclasses
from collections.abc import Iterator, Mapping
from typing import Any

from ctkd_study.errors import KeyPath
from ctkd_study.spec.error_messages import GRID_ELSEWHERE, Problem, show
from trainables.hashing import canonical


@dataclasses.dataclass(frozen=True)
class Grid:
    """A grid that stands in an arm's block."""

    path: KeyPath
    values: dict[int | None, Any]
    """By place in the list as written; a grid that is wrong as a whole has only the value None, at None."""


def find_grids(block: Any, at: KeyPath) -> tuple[list[Grid], list[Problem]]:
    """Return the grids of an arm's block, with paths relative to the block, and what is wrong with them."""
    grids, problems = [], []
    for path, node in _nodes(block, ()):
        where, values = (*at, *path), node["grid"]
        first: dict[str, int] = {}
        if path == ("recipe", "preset"):
            problems.append(Problem(where, node, "a preset must be one name; its keys may be grids"))
        elif len(node) > 1:
            problems.append(Problem((*where, "grid"), values, f"{GRID_ELSEWHERE}, with no other key beside it"))
        elif not isinstance(values, list) or not values:
            rule = f"a grid must be a list of at least one value, but got {show(values)}"
            problems.append(Problem(where, values, rule))
        else:
            for number, value in enumerate(values):
                rule = None
                if isinstance(value, dict | list):
                    rule = f"a grid must hold plain values alone, but got {show(value)}"
                elif first.setdefault(canonical(value), number) != number:
                    rule = f"a grid must hold no value twice, but got {show(value)} again"
                if rule is not None:
                    problems.append(Problem((*where, "grid", number), value, rule))
        kept: dict[int | None, Any] = {number: values[number] for number in first.values()}
        grids.append(Grid(path, kept or {None: None}))
    return grids, problems


def _nodes(value: Any, path: KeyPath) -> Iterator[tuple[KeyPath, dict[str, Any]]]:
    if isinstance(value, dict) and "grid" in value:
        yield path, value
    elif isinstance(value, dict | list):
        for key, inner in value.items() if isinstance(value, dict) else enumerate(value):
            yield from _nodes(inner, (*path, key))


def chosen(block: Any, values: Mapping[KeyPath, Any], at: KeyPath = ()) -> Any:
    """Return the block, which stands at a path, with these values at their paths."""
    if at in values:
        return values[at]
    if isinstance(block, dict):
        return {key: chosen(inner, values, (*at, key)) for key, inner in block.items()}
    if isinstance(block, list):
        return [chosen(inner, values, (*at, number)) for number, inner in enumerate(block)]
    return block
