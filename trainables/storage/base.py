"""The interface of a storage, and what it promises."""

import dataclasses
import importlib
from abc import ABC, abstractmethod
from collections.abc import Mapping
from pathlib import Path
from typing import ClassVar, Self


class NotAFile(OSError):
    """A link, pipe, socket, device or folder lies where a file belongs. Trying again does not help."""


@dataclasses.dataclass(frozen=True)
class Storage(ABC):
    """A folder, local or in an object store. Methods take paths relative to it, with forward slashes.

    What a method has written when it returns survives a power cut. Readers see a file whole or not at all. Links and
    other special files are neither listed nor read. Faults are ``OSError``, whatever the storage.
    """

    root: str
    """The folder: an absolute path, or ``bucket/prefix``."""
    scheme: str = ""
    """What stands before ``root`` in ``location``, e.g. ``s3://``; empty for a local folder."""

    is_local: ClassVar[bool] = False

    @staticmethod
    def at(location: str) -> "Storage":
        """Return the storage at a local folder or at ``s3://``, ``gs://`` or ``az://bucket/prefix``.

        Keys and endpoints of an object store come from its usual environment variables, e.g. ``AWS_ENDPOINT_URL``.

        Raises:
            ValueError: the location is empty or has another scheme.
        """
        scheme, separator, root = location.partition("://")
        if not separator:
            if not location:
                raise ValueError("a storage needs a name")
            local = importlib.import_module("trainables.storage.local")
            return local.Folder(str(Path(location).expanduser().absolute()))  # type: ignore[no-any-return]
        objects = importlib.import_module("trainables.storage.objects")
        if scheme not in objects.SCHEMES:
            raise ValueError(f"object storage is named as s3://bucket/prefix (or {', '.join(objects.SCHEMES[1:])})")
        if not root.strip("/"):
            raise ValueError("a storage needs a name")
        return objects.ObjectStore(root.rstrip("/"), f"{scheme}://")  # type: ignore[no-any-return]

    @property
    def location(self) -> str:
        """The argument with which ``at`` returns this storage."""
        return self.scheme + self.root

    @property
    def name(self) -> str:
        """The last part of the path."""
        return self.root.rpartition("/")[2]

    def path(self, *parts: str) -> str:
        """Return the path below ``root``, for messages."""
        return "/".join([self.root, *(part for part in parts if part)])

    def within(self, *parts: str) -> Self:
        """Return the storage at a sub-folder."""
        return dataclasses.replace(self, root=self.path(*parts))

    @abstractmethod
    def names(self, path: str = "") -> list[str]:
        """Return the names of files and folders in a folder, sorted; none if the folder does not exist."""

    @abstractmethod
    def folders(self, path: str = "") -> list[str]:
        """Return the names of the folders in a folder, sorted; none if the folder does not exist."""

    @abstractmethod
    def tree(self, path: str = "") -> dict[str, int]:
        """Return the sizes in bytes of all files below a folder, by path relative to it."""

    def sizes(self, path: str = "") -> dict[str, int]:
        """Return the sizes in bytes of the files in a folder, by name."""
        return {name: size for name, size in self.tree(path).items() if "/" not in name}

    @abstractmethod
    def exists(self, path: str = "") -> bool:
        """Whether there is a file or folder."""

    @abstractmethod
    def read(self, path: str) -> bytes:
        """Return the content of a file.

        Raises:
            FileNotFoundError: the file does not exist.
            NotAFile: something else lies there.
        """

    @abstractmethod
    def write(self, path: str, content: bytes) -> None:
        """Write a file: a reader sees the old content or the new, never a part."""

    @abstractmethod
    def create(self, path: str, content: bytes) -> bool:
        """Write a file unless it exists; of several that try at once, one succeeds.

        Returns:
            Whether this call wrote it.
        """

    @abstractmethod
    def write_folder(self, path: str, contents: Mapping[str, bytes]) -> None:
        """Write the files of a new folder, so that one that holds the last of them holds all.

        Args:
            path: the folder, which must not exist.
            contents: by name; the last is the one that readers ask for.

        Raises:
            FileExistsError: somebody else has written the folder.
        """

    @property
    def is_link(self) -> bool:
        """Whether the folder is a link to another place."""
        return False

    def sweep(self, path: str = "") -> None:  # noqa: B027  # only some storages leave anything
        """Remove what writers that were killed have left half-written in a folder."""

    @abstractmethod
    def remove(self, path: str) -> None:
        """Remove a file if it exists."""

    @abstractmethod
    def remove_folder(self, path: str) -> None:
        """Remove a folder and its content if it exists."""

    @abstractmethod
    def move(self, source: str, target: str) -> None:
        """Rename a folder."""
