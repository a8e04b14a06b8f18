"""Storage of records, teachers and banks: a local folder or an object store, behind one interface."""

import dataclasses
import os
import uuid
from pathlib import Path

import pyarrow.fs as pafs


@dataclasses.dataclass(frozen=True)
class Storage:
    """A folder on a local disk or in an object store. Methods take paths relative to it, with forward slashes."""

    filesystem: pafs.FileSystem
    root: str
    scheme: str = ""
    """The prefix of ``root`` in ``location``, e.g. ``s3://``; empty for a local folder."""

    @classmethod
    def at(cls, location: str) -> "Storage":
        """Return the storage at a local folder or at ``s3://bucket/prefix``.

        The environment variable ``AWS_ENDPOINT_URL`` names an endpoint other than Amazon's.

        Raises:
            ValueError: the location is empty or has another scheme.
        """
        if "://" in location and not location.startswith("s3://"):
            raise ValueError("object storage is named as s3://bucket/prefix")
        if not location or location == "s3://":
            raise ValueError("a storage needs a name")
        if "://" in location:
            filesystem, root = pafs.FileSystem.from_uri(_with_endpoint(location))
            return cls(filesystem, root.rstrip("/"), location.partition("://")[0] + "://")
        return cls(pafs.LocalFileSystem(), str(Path(location).expanduser().absolute()))

    @property
    def location(self) -> str:
        """The argument with which ``at`` returns this storage."""
        return self.scheme + self.root

    @property
    def is_local(self) -> bool:
        return isinstance(self.filesystem, pafs.LocalFileSystem)

    def path(self, *parts: str) -> str:
        """Return the path on the file system."""
        return "/".join([self.root, *(part for part in parts if part)])

    def within(self, *parts: str) -> "Storage":
        """Return the storage at a sub-folder."""
        return Storage(self.filesystem, self.path(*parts), self.scheme)

    def exists(self, path: str = "") -> bool:
        return bool(self.filesystem.get_file_info(self.path(path)).type != pafs.FileType.NotFound)

    def names(self, path: str = "") -> list[str]:
        """Return the names in a folder, sorted; none if the folder does not exist."""
        selector = pafs.FileSelector(self.path(path), allow_not_found=True)
        return sorted(info.base_name for info in self.filesystem.get_file_info(selector))

    def sizes(self, path: str = "") -> dict[str, int]:
        """Return the sizes in bytes of the files in a folder, by name."""
        selector = pafs.FileSelector(self.path(path), allow_not_found=True)
        return {
            info.base_name: info.size
            for info in self.filesystem.get_file_info(selector)
            if info.type == pafs.FileType.File
        }

    def read(self, path: str) -> bytes:
        """Return the content of a file.

        Raises:
            FileNotFoundError: the file does not exist.
        """
        with self.filesystem.open_input_stream(self.path(path), compression=None) as stream:
            return bytes(stream.read())

    def write(self, path: str, content: bytes) -> None:
        """Write a file atomically: a reader sees the old content or the new, never a part."""
        target = self.path(path)
        if not self.is_local:
            with self.filesystem.open_output_stream(target, compression=None) as stream:
                stream.write(content)
            return
        Path(target).parent.mkdir(parents=True, exist_ok=True)
        temporary = Path(f"{target}.{uuid.uuid4().hex}.tmp")
        with temporary.open("wb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        temporary.replace(target)

    def remove(self, path: str) -> None:
        """Remove a file if it exists."""
        if self.exists(path):
            self.filesystem.delete_file(self.path(path))

    def remove_folder(self, path: str) -> None:
        """Remove a folder and its content if it exists."""
        if self.exists(path):
            self.filesystem.delete_dir(self.path(path))

    def move(self, source: str, target: str) -> None:
        """Rename a file or folder."""
        if self.is_local:
            Path(self.path(source)).rename(self.path(target))
            return
        # Object stores cannot rename folders.
        pafs.copy_files(
            self.path(source),
            self.path(target),
            source_filesystem=self.filesystem,
            destination_filesystem=self.filesystem,
        )
        self.remove_folder(source)


def _with_endpoint(location: str) -> str:
    endpoint = os.environ.get("AWS_ENDPOINT_URL")
    if not endpoint or not location.startswith("s3://") or "endpoint_override=" in location:
        return location
    scheme, _, host = endpoint.partition("://")
    return f"{location}{'&' if '?' in location else '?'}scheme={scheme}&endpoint_override={host.rstrip('/')}"
