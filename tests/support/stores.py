"""Object stores in memory."""

import uuid
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
