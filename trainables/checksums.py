"""What proves files whole: a manifest with each file's size and SHA-256, sealed with its own.

A folder whose manifest is missing was not finished; a folder whose files do not match it is damaged. Checkpoints and
segments of banks are such folders.
"""

import hashlib
import json
from collections.abc import Callable, Mapping
from typing import Any

import pydantic

from trainables.hashing import canonical

CHECKSUM = "checksum"
"""Key of a sealed mapping's own SHA-256."""


class FileStamp(pydantic.BaseModel):
    """What proves a file whole."""

    model_config = pydantic.ConfigDict(frozen=True, extra="ignore")

    size: int
    """In bytes."""
    sha256: str
    """64 hex digits."""


def stamp(contents: Mapping[str, bytes]) -> dict[str, FileStamp]:
    """Return the stamps of files, by name."""
    return {name: FileStamp(size=len(data), sha256=sha256(data)) for name, data in contents.items()}


def sha256(content: bytes) -> str:
    """Return the SHA-256 of a content, 64 hex digits."""
    return hashlib.sha256(content).hexdigest()


def fault(sizes: Mapping[str, int], files: Mapping[str, FileStamp], hashed: Callable[[str], str] | None) -> str | None:
    """Say what is wrong with the first file that is not as it was stamped; None where all are.

    Args:
        sizes: of the files that are there, in bytes, by name.
        files: their stamps, by name.
        hashed: gives the SHA-256 of the file with a name; None compares sizes alone.
    """
    for name, expected in files.items():
        if sizes.get(name) != expected.size:
            return f"{name} has {sizes.get(name, 'no')} bytes, not {expected.size}"
        if hashed is not None and hashed(name) != expected.sha256:
            return f"{name} has changed"
    return None


def sealed(content: Mapping[str, Any]) -> bytes:
    """Return a mapping of plain values as JSON that holds its own SHA-256, under ``checksum``."""
    return json.dumps({**content, CHECKSUM: _seal(content)}, indent=1, ensure_ascii=False).encode()


def unsealed(text: bytes) -> dict[str, Any]:
    """Return the mapping that was sealed.

    Raises:
        ValueError: it is not JSON, or has changed since.
    """
    try:
        content = json.loads(text)
        if not isinstance(content, dict):
            raise ValueError("it is no JSON object")
        if content.pop(CHECKSUM, None) != _seal(content):
            raise ValueError("it has changed since it was written")
    except RecursionError:
        raise ValueError("it is nested too deeply") from None
    return content


def _seal(content: Mapping[str, Any]) -> str:
    return sha256(canonical(dict(content)).encode())
