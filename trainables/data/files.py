"""Finds, downloads, reads and checks the files of data sets."""

import gzip
import hashlib
import http.client
import logging
import os
import tempfile
import urllib.request
import zlib
from collections.abc import Callable
from pathlib import Path
from typing import Protocol

import filelock

from trainables.inputs import DownloadFailed

_log = logging.getLogger(__name__)


def cache_folder() -> Path:
    """Return the folder of downloaded data sets."""
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "ctkd-study" / "datasets"


def download(what: str, into: Path, fetch_into: Callable[[Path], object]) -> Path:
    """Download a data set completely, once for all processes of this machine.

    Args:
        what: name of the data set, for messages.
        into: the folder to make.
        fetch_into: downloads into the folder that it is given; raises ``OSError`` or ``ValueError`` if it fails.

    Returns:
        The folder.

    Raises:
        DownloadFailed: there is no answer, or a wrong one.
    """
    into.parent.mkdir(parents=True, exist_ok=True)
    with filelock.FileLock(into.parent / f".{into.name}.lock"):
        if into.exists():
            return into
        _log.warning("downloading %s into %s", what, into)
        with tempfile.TemporaryDirectory(dir=into.parent, prefix=f".{into.name}-") as temporary:
            part = Path(temporary) / into.name
            try:
                fetch_into(part)
            except (OSError, ValueError) as fault:
                reason = " ".join(str(fault).split())
                raise DownloadFailed(
                    f"{what} is not in {into} and cannot be downloaded: {reason}. Name its folder (data.folder)"
                ) from None
            part.rename(into)
    return into


def fetch(url: str, md5: str, most: int) -> bytes:
    """Download a file of at most ``most`` bytes.

    Raises:
        OSError: there is no answer.
        ValueError: the file is longer, or has not the published checksum.
    """
    request = urllib.request.Request(url, headers={"User-Agent": "ctkd-study"})
    try:
        with urllib.request.urlopen(request, timeout=60) as answer:
            content = Bounded(answer, most).read()
    except http.client.HTTPException as fault:
        raise OSError(f"{url} does not answer as a web server: {fault}") from None
    except ValueError as fault:
        raise ValueError(f"{url}: {fault}") from None
    require_md5(url, content, md5)
    return content


class _Readable(Protocol):
    def read(self, size: int, /) -> bytes: ...


class Bounded:
    """A file of which at most ``most`` bytes can be read: a small file can unpack to more than memory holds."""

    def __init__(self, file: _Readable, most: int) -> None:
        self._file, self._most, self._read = file, most, 0

    def read(self, size: int = -1) -> bytes:
        """Read like the file.

        Raises:
            ValueError: more than ``most`` bytes were read.
        """
        left = self._most - self._read + 1
        content = self._file.read(left if size < 0 else min(size, left))
        self._read += len(content)
        if self._read > self._most:
            raise ValueError(f"it holds more than {self._most:,} bytes, which is too much for this data set")
        return content


def read(path: Path, md5: str | None = None) -> bytes:
    """Return a file's content as it is.

    Args:
        path: the file.
        md5: the expected checksum, as hex digits; None checks nothing.

    Raises:
        FileNotFoundError: the file does not exist.
        ValueError: it is damaged, or another file.
    """
    content = path.read_bytes()
    if md5 is not None:
        require_md5(str(path), content, md5)
    return content


def unpack(path: Path, most: int) -> bytes:
    """Return the content of a gzip file.

    Args:
        path: the file.
        most: bytes that it may hold.

    Raises:
        FileNotFoundError: the file does not exist.
        ValueError: it is damaged, or holds more.
    """
    try:
        with gzip.open(path) as file:
            return Bounded(file, most).read()
    except FileNotFoundError:
        raise
    except (OSError, EOFError, zlib.error, ValueError) as fault:
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
