"""Plain values: where they stand in nested blocks, and how people read them."""

import re
from collections.abc import Iterator
from typing import Any

from ctkd_study.errors import KeyPath
from trainables.hashing import canonical

#: What a study or an arm may be called.
NAME = re.compile(r"[a-z0-9][a-z0-9_-]{0,39}")


def text(value: Any) -> str:
    """Return a value as people read it: text as it is, all else as JSON, and 4.0 as 4."""
    return value if isinstance(value, str) else canonical(value)


def leaves(block: Any, path: KeyPath = ()) -> Iterator[tuple[KeyPath, Any]]:
    """Yield all that is no mapping, lists included, with its path."""
    if isinstance(block, dict):
        for key, value in block.items():
            yield from leaves(value, (*path, key))
    else:
        yield path, block


def get(block: Any, path: KeyPath) -> Any:
    """Return the value at a path."""
    for part in path:
        block = block[part]
    return block


def project(overlay: Any, plain: Any) -> Any:
    """Return the validated values at the keys that the overlay states."""
    if isinstance(overlay, dict) and isinstance(plain, dict):
        return {key: project(value, plain[key]) for key, value in overlay.items()}
    return plain
