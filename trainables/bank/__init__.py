"""The teacher bank: the teacher's outputs by example and view, computed once and read by all trials of all studies.

A bank is a folder of immutable segments::

    .banks/<weights>-<rest>/segment-<uuid>/
        keys.npy       int64, shape (R,), ascending: example x views + view
        logits.npy     float32 or uint16, shape (R, C)
        pooled.npy     the same, shape (R, D); only where a distiller asked for it
        *.scale.npy    float32, shape (R, 2): of a uint16 row, what 0 stands for, and the step from one to the next
        segment.json   written last: precision, cost, and each file's size and SHA-256

``<weights>`` is a hash of the teacher's weights, ``<rest>`` one of all else that its outputs depend on: the network,
the images, the views, and the code of plug-ins among them.

A bank is extended by adding segments. A damaged or incomplete segment is ignored, and what it held is computed again.
So a crash loses one segment at most, several processes can fill a bank at once, and object storage, which has neither
locks nor renames, is enough. Files are memory-mapped: the trials on a machine share one copy in its page cache.

It takes trials, their data and their trained teacher (``banks_of``, ``fill``), and gives outputs by key
(``Bank.open``). Modules: ``keys`` (pairs of example and view), ``segments`` (stored rows), ``bank`` (a bank in a
storage), ``filling`` (running the teacher) and ``demand`` (which banks and pairs a set of trials reads).
"""

from trainables.bank.bank import Bank, OpenBank, paid
from trainables.bank.demand import BANKS, bank_cost, bank_of, banks_of, drawn, representatives, unbanked
from trainables.bank.filling import Glance, fill
from trainables.bank.keys import Keys, keys_of, needed, share_of
from trainables.bank.segments import PRECISIONS, BankCost, Precision, Rows, Segment, Table, row_bytes

__all__ = [
    "BANKS",
    "PRECISIONS",
    "Bank",
    "BankCost",
    "Glance",
    "Keys",
    "OpenBank",
    "Precision",
    "Rows",
    "Segment",
    "Table",
    "bank_cost",
    "bank_of",
    "banks_of",
    "drawn",
    "fill",
    "keys_of",
    "needed",
    "paid",
    "representatives",
    "row_bytes",
    "share_of",
    "unbanked",
]
