"""Hashes of plain values and of files, from which fingerprints are made."""

import functools
import hashlib
import json
from pathlib import Path
from typing import Any


def canonical(value: Any) -> str:
    """Canonical JSON: sorted keys, no spaces, and 4.0 written as 4."""

    def normal(item: Any) -> Any:
        if isinstance(item, dict):
            return {key: normal(entry) for key, entry in item.items()}
        if isinstance(item, list | tuple):
            return [normal(entry) for entry in item]
        if isinstance(item, float) and item.is_integer():
            return int(item)
        return item

    return json.dumps(normal(value), sort_keys=True, separators=(",", ":"), ensure_ascii=False)


def digest(value: Any) -> str:
    """Hash of a plain value's canonical JSON, 16 hex digits."""
    return hashlib.sha256(canonical(value).encode()).hexdigest()[:16]


def file_sha256(path: str) -> str:
    """SHA-256 of a file's content, read again only when the file changes."""
    stat = Path(path).stat()
    return _file_sha256(path, stat.st_mtime_ns, stat.st_size)


@functools.lru_cache(maxsize=4096)
def _file_sha256(path: str, modified: int, size: int) -> str:
    with Path(path).open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
