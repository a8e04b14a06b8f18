"""Where records, teachers and banks lie: a local folder or an object store, through one small interface."""

import dataclasses
import os
import uuid
from pathlib import Path

import pyarrow.fs as pafs


@dataclasses.dataclass(frozen=True)
class Storage:
    """A folder on some file system. Paths given to its methods are relative to it, with forward slashes."""

    filesystem: pafs.FileSystem
    root: str
    scheme: str = ""
    """What goes before ``root`` to name the storage again, e.g. ``s3://``; empty for a local folder."""

    @classmethod
    def at(cls, location: str) -> "Storage":
        """The storage at a local folder (made absolute) or an ``s3://bucket/prefix``.

        An endpoint other than Amazon's is named by the environment variable ``AWS_ENDPOINT_URL``.
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
        """What ``at`` takes to find this storage again, on any machine that sees it."""
        return self.scheme + self.root

    @property
    def is_local(self) -> bool:
        return isinstance(self.filesystem, pafs.LocalFileSystem)

    def path(self, *parts: str) -> str:
        """The path on the file system."""
        return "/".join([self.root, *(part for part in parts if part)])

    def within(self, *parts: str) -> "Storage":
        """The storage at a sub-folder."""
        return Storage(self.filesystem, self.path(*parts), self.scheme)

    def exists(self, path: str = "") -> bool:
        return bool(self.filesystem.get_file_info(self.path(path)).type != pafs.FileType.NotFound)

    def names(self, path: str = "") -> list[str]:
        """The names in a folder, sorted; empty where there is none."""
        selector = pafs.FileSelector(self.path(path), allow_not_found=True)
        return sorted(info.base_name for info in self.filesystem.get_file_info(selector))

    def sizes(self, path: str = "") -> dict[str, int]:
        """The sizes in bytes of the files in a folder, by name."""
        selector = pafs.FileSelector(self.path(path), allow_not_found=True)
        return {
            info.base_name: info.size
            for info in self.filesystem.get_file_info(selector)
            if info.type == pafs.FileType.File
        }

    def read(self, path: str) -> bytes:
        """The content of a file.

        Raises:
            FileNotFoundError: there is none.
        """
        with self.filesystem.open_input_stream(self.path(path), compression=None) as stream:
            return bytes(stream.read())

    def write(self, path: str, content: bytes) -> None:
        """Writes a file whole or not at all: a reader sees the old content or the new."""
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
        """Removes a file, if there is one."""
        if self.exists(path):
            self.filesystem.delete_file(self.path(path))

    def remove_folder(self, path: str) -> None:
        """Removes a folder with all that is in it, if there is one."""
        if self.exists(path):
            self.filesystem.delete_dir(self.path(path))

    def move(self, source: str, target: str) -> None:
        """Renames a file or folder."""
        if self.is_local:
            Path(self.path(source)).rename(self.path(target))
            return
        # Object stores have no rename of folders.
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
