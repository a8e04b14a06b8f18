"""What varies in an arm's block: where grids and distributions stand, and the block with one value in place of each."""

import dataclasses
from collections.abc import Iterator, Mapping
from types import MappingProxyType
from typing import Any

from ctkd_study.errors import KeyPath
from ctkd_study.spec.error_messages import VARIED, Problem, VariedKind, elsewhere, show
from trainables.hashing import canonical


@dataclasses.dataclass(frozen=True)
class Axis:
    """A scalar of an arm's block that varies: over the values of a grid, or as a distribution says."""

    path: KeyPath
    kind: VariedKind
    values: Mapping[int | None, Any]
    """By place in the list as written: of a grid or a choice all values, of a range its two ends. An axis that is wrong
    as a whole has only the value None, at None."""

    @property
    def is_grid(self) -> bool:
        """Whether it is a grid, not a distribution."""
        return self.kind == "grid"


_FAULTY: Mapping[int | None, Any] = MappingProxyType({None: None})


def find_axes(block: Any, at: KeyPath) -> tuple[list[Axis], list[Problem]]:
    """Return the axes of an arm's block, with paths relative to the block, and what is wrong with them."""
    axes, problems = [], []
    for path, kind, node in _nodes(block, ()):
        where, values = (*at, *path), node[kind]
        kept = _FAULTY
        if path == ("recipe", "preset"):
            problems.append(Problem(where, node, "a preset must be one name; its keys may be grids"))
        elif len(node) > 1:
            problems.append(Problem((*where, kind), values, f"{elsewhere(kind)}, with no other key beside it"))
        elif (rule := _rule(kind, values)) is not None:
            problems.append(Problem(where, values, f"{rule}, but got {show(values)}"))
        else:
            kept, wrong = _values(kind, values)
            problems += [Problem((*where, kind, number), values[number], rule) for number, rule in wrong]
        axes.append(Axis(path, kind, kept))
    return axes, problems


def _nodes(value: Any, path: KeyPath) -> Iterator[tuple[KeyPath, VariedKind, dict[str, Any]]]:
    if isinstance(value, dict) and (kind := next((kind for kind in VARIED if kind in value), None)) is not None:
        yield path, kind, value
    elif isinstance(value, dict | list):
        for key, inner in value.items() if isinstance(value, dict) else enumerate(value):
            yield from _nodes(inner, (*path, key))


def _rule(kind: VariedKind, values: Any) -> str | None:
    """Return what a list must be, where it is something else."""
    if kind in ("grid", "choice"):
        fewest, least = (1, "one value") if kind == "grid" else (2, "two values")
        fits = isinstance(values, list) and len(values) >= fewest
        return None if fits else f"a {kind} must be a list of at least {least}"
    ends = values if isinstance(values, list) else []
    numbers = [end for end in ends if isinstance(end, int | float) and not isinstance(end, bool)]
    if len(ends) != 2 or len(numbers) != 2 or not numbers[0] < numbers[1] or (kind == "loguniform" and numbers[0] <= 0):
        return f"{kind} must be a list of two numbers [a, b] with {'0 < ' * (kind == 'loguniform')}a < b"
    return None


def _values(kind: VariedKind, values: list[Any]) -> tuple[Mapping[int | None, Any], list[tuple[int, str]]]:
    """Return the values that differ, by place, and what is wrong with others."""
    first: dict[str, int] = {}
    wrong = []
    for number, value in enumerate(values):
        if isinstance(value, dict | list):
            wrong.append((number, f"a {kind} must hold plain values alone, but got {show(value)}"))
        elif first.setdefault(canonical(value), number) != number:
            wrong.append((number, f"a {kind} must hold no value twice, but got {show(value)} again"))
    kept: dict[int | None, Any] = {number: values[number] for number in first.values()}
    return kept or _FAULTY, wrong


def chosen(block: Any, values: Mapping[KeyPath, Any], at: KeyPath = ()) -> Any:
    """Return the block, which stands at a path, with these values at their paths."""
    if at in values:
        return values[at]
    if isinstance(block, dict):
        return {key: chosen(inner, values, (*at, key)) for key, inner in block.items()}
    if isinstance(block, list):
        return [chosen(inner, values, (*at, number)) for number, inner in enumerate(block)]
    return block
