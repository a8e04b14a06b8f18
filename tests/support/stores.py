"""Storages of both kinds: a local folder, and an object store in memory."""

import uuid
from pathlib import Path
from typing import Any

import pytest
from obstore.store import MemoryStore

from trainables.storage import Storage, objects


def bucket_in_memory(patch: pytest.MonkeyPatch) -> Storage:
    """Return the storage at a prefix of an empty bucket, which lies in this process's memory."""
    buckets: dict[str, Any] = {}
    patch.setattr(objects, "from_url", lambda url, **options: buckets.setdefault(url, MemoryStore()))
    # The store of a bucket is made once for each process, so each bucket has a name of its own.
    return Storage.at(f"s3://{uuid.uuid4().hex}/results")


KINDS = ("local", "objects")


def storage_of(kind: str, folder: Path, patch: pytest.MonkeyPatch) -> Storage:
    """Return an empty storage of one of ``KINDS``; ``folder`` is for the local one."""
    return Storage.at(str(folder / "results")) if kind == "local" else bucket_in_memory(patch)
