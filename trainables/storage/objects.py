"""Object stores: S3 and what speaks its protocol, Google Cloud Storage, Azure.

An object is written whole. Where one of several writers may succeed, the store decides, by a conditional write.
"""

import contextlib
import datetime
import functools
import os
from collections.abc import Iterable, Iterator, Mapping
from typing import Any

import obstore
from obstore import exceptions
from obstore.store import from_url

from trainables.storage.base import Storage

SCHEMES = ("s3", "gs", "az")
_PATIENCE = datetime.timedelta(seconds=30)  # then the fault is reported, and its user decides what to do


class ObjectStore(Storage):
    """A prefix in a bucket."""

    def names(self, path: str = "") -> list[str]:
        found = self._listed(path)
        return _last_parts([*found["common_prefixes"], *(each["path"] for each in found["objects"])])

    def folders(self, path: str = "") -> list[str]:
        return _last_parts(self._listed(path)["common_prefixes"])

    def tree(self, path: str = "") -> dict[str, int]:
        prefix = self._key(path)
        start = len(prefix) + 1 if prefix else 0
        with self._faults(path):
            pages = obstore.list(self._store, prefix or None)
            return {each["path"][start:]: each["size"] for page in pages for each in page}

    def exists(self, path: str = "") -> bool:
        with self._faults(path):
            try:
                obstore.head(self._store, self._key(path))
            except (FileNotFoundError, exceptions.NotFoundError, exceptions.InvalidPathError, ValueError):
                return bool(self.names(path))
        return True

    def read(self, path: str) -> bytes:
        with self._faults(path):
            return obstore.get(self._store, self._key(path)).bytes().to_bytes()

    def write(self, path: str, content: bytes) -> None:
        with self._faults(path):
            obstore.put(self._store, self._key(path), content)

    def create(self, path: str, content: bytes) -> bool:
        with self._faults(path):
            try:
                obstore.put(self._store, self._key(path), content, mode="create")
            except (exceptions.AlreadyExistsError, exceptions.PreconditionError):
                # A repeated request may have met what its first try wrote.
                return self.read(path) == content
        return True

    def write_folder(self, path: str, contents: Mapping[str, bytes]) -> None:
        *names, last = contents
        for name in names:
            self.write(f"{path}/{name}", contents[name])
        if not self.create(f"{path}/{last}", contents[last]):
            raise FileExistsError(f"{self.path(path, last)} exists")

    def remove(self, path: str) -> None:
        with self._faults(path), contextlib.suppress(FileNotFoundError, exceptions.NotFoundError):
            obstore.delete(self._store, self._key(path))

    def remove_folder(self, path: str) -> None:
        keys = [f"{self._key(path)}/{name}" for name in self.tree(path)]
        if keys:
            with self._faults(path):
                obstore.delete(self._store, keys)

    def move(self, source: str, target: str) -> None:
        # Object stores cannot rename.
        with self._faults(source):
            for name in self.tree(source):
                obstore.copy(self._store, f"{self._key(source)}/{name}", f"{self._key(target)}/{name}")
        self.remove_folder(source)

    def _listed(self, path: str) -> Any:
        with self._faults(path):
            return obstore.list_with_delimiter(self._store, self._key(path) or None)

    @property
    def _store(self) -> Any:
        return _bucket(self.scheme, self.root.partition("/")[0])

    def _key(self, path: str) -> str:
        return "/".join(part for part in (self.root.partition("/")[2], path) if part)

    @contextlib.contextmanager
    def _faults(self, path: str) -> Iterator[None]:
        """Turn the store's faults into ``OSError``, with one line of text and the path."""
        try:
            yield
        except (FileNotFoundError, exceptions.NotFoundError):
            raise FileNotFoundError(f"{self.scheme}{self.path(path)} does not exist") from None
        except exceptions.BaseError as fault:
            raise OSError(f"{self.scheme}{self.path(path)}: {str(fault).splitlines()[0]}") from None


def _last_parts(paths: Iterable[str]) -> list[str]:
    return sorted({path.rstrip("/").rpartition("/")[2] for path in paths})


@functools.lru_cache(maxsize=64)
def _bucket(scheme: str, name: str) -> Any:
    """Return the store of a bucket, one for each process: it holds keys and connections, so it is never pickled."""
    plain = os.environ.get("AWS_ENDPOINT_URL", "").startswith("http://")
    options: Any = {"timeout": _PATIENCE, **({"allow_http": True} if plain else {})}
    retries: Any = {"max_retries": 5, "retry_timeout": _PATIENCE}
    return from_url(f"{scheme}{name}", client_options=options, retry_config=retries)
