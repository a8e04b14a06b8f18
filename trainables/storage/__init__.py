"""Where records, teachers and banks lie: a folder on a disk, or a prefix in an object store, behind one interface.

``Storage.at`` takes a location and gives the storage there. Modules: ``base`` (the interface), ``local`` (POSIX
folders), ``objects`` (S3, Google Cloud Storage, Azure).
"""

from trainables.storage.base import NotAFile, Storage

__all__ = ["NotAFile", "Storage"]
