"""Folders of files that a manifest proves whole: it is written last, with each file's size and SHA-256.

A folder whose manifest is missing was not finished; a folder whose files do not match it is damaged. Checkpoints and
segments of banks are such folders.
"""

import hashlib
from collections.abc import Callable, Mapping

import pydantic

from trainables.storage import Storage


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


def write(folder: Storage, contents: Mapping[str, bytes], name: str, manifest: bytes) -> None:
    """Write the files of a folder, and after them its manifest under a name of its own."""
    for file, content in contents.items():
        folder.write(file, content)
    folder.write(name, manifest)


def fault(folder: Storage, files: Mapping[str, FileStamp], hashed: Callable[[str], str] | None) -> str | None:
    """Say what is wrong with the first file of a folder that is not as it was stamped; None where all are.

    Args:
        folder: where the files lie.
        files: their stamps, by name.
        hashed: gives the SHA-256 of the file with a name; None compares sizes alone.
    """
    sizes = folder.sizes()
    for name, expected in files.items():
        if sizes.get(name) != expected.size:
            return f"{name} has {sizes.get(name, 'no')} bytes, not {expected.size}"
        if hashed is not None and hashed(name) != expected.sha256:
            return f"{name} has changed"
    return None
