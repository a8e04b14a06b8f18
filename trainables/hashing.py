"""Hashes of plain values and of files: the basis of fingerprints."""

import functools
import hashlib
import json
from pathlib import Path
from typing import Any


def canonical(value: Any) -> str:
    """Return canonical JSON: keys sorted, no spaces, and 4.0 written as 4."""

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
    """Return the hash of a plain value's canonical JSON, 16 hex digits."""
    return hashlib.sha256(canonical(value).encode()).hexdigest()[:16]


def file_sha256(path: str) -> str:
    """Return the SHA-256 of a file's content, read again only if inode, size or modification time change."""
    stat = Path(path).stat()
    return _file_sha256(path, stat.st_mtime_ns, stat.st_size, stat.st_ino)


@functools.lru_cache(maxsize=4096)
def _file_sha256(path: str, modified: int, size: int, inode: int) -> str:
    with Path(path).open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
