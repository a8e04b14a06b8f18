"""Finds, downloads, reads and checks the files of data sets."""

import gzip
import hashlib
import logging
import os
import tempfile
import zlib
from collections.abc import Callable
from pathlib import Path

import filelock

_log = logging.getLogger(__name__)


def cache_folder() -> Path:
    """Return the folder of downloaded data sets."""
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "ctkd-study" / "datasets"


def download(what: str, into: Path, fetch: Callable[[Path], object]) -> Path:
    """Download a data set completely, once for all processes of this machine.

    Args:
        what: name of the data set, for messages.
        into: the folder to make.
        fetch: downloads into the folder that it is given; raises ``OSError`` or ``RuntimeError`` if it fails.

    Returns:
        The folder.

    Raises:
        FileNotFoundError: the download failed.
    """
    into.parent.mkdir(parents=True, exist_ok=True)
    with filelock.FileLock(into.parent / f".{into.name}.lock"):
        if into.exists():
            return into
        _log.warning("downloading %s into %s", what, into)
        with tempfile.TemporaryDirectory(dir=into.parent, prefix=f".{into.name}-") as temporary:
            part = Path(temporary) / into.name
            try:
                fetch(part)
            except (OSError, RuntimeError) as fault:
                reason = " ".join(str(fault).split())
                raise FileNotFoundError(
                    f"{what} is not in {into} and cannot be downloaded: {reason}. Name its folder (data.folder)"
                ) from None
            part.rename(into)
    return into


def read(path: Path, md5: str | None = None) -> bytes:
    """Return a file's content, unpacked if its name ends in ``.gz``.

    Args:
        path: the file.
        md5: the expected checksum before unpacking, as hex digits; None checks nothing.

    Raises:
        FileNotFoundError: the file does not exist.
        ValueError: it is damaged, or another file.
    """
    content = path.read_bytes()
    if md5 is not None:
        require_md5(str(path), content, md5)
    if path.suffix != ".gz":
        return content
    try:
        return gzip.decompress(content)
    except (OSError, EOFError, zlib.error) as fault:
        raise ValueError(f"{path} must be a whole gzip file, but: {fault}") from None


def require_md5(name: str, content: bytes, md5: str) -> None:
    """Raise ValueError unless the content has the published checksum."""
    actual = hashlib.md5(content, usedforsecurity=False).hexdigest()
    if actual != md5:
        raise ValueError(
            f"{name} must have the published MD5 checksum {md5}, but has {actual}: damaged, or another file"
        )


def require_labels(name: str, smallest: int, largest: int, classes: int) -> None:
    """Raise ValueError unless all labels are from 0 to ``classes`` - 1."""
    if smallest < 0 or largest >= classes:
        wrong = smallest if smallest < 0 else largest
        raise ValueError(f"labels in {name} must be from 0 to {classes - 1}, but one is {wrong}")
