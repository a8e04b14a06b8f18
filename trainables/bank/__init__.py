"""The teacher bank: the teacher's outputs by (example, view), computed once and read by every trial of every study.

A bank is a folder of immutable segments::

    .banks/<teacher>-<data>/segment-<uuid>/
        keys.npy       int64, shape (R,), ascending: example x views + view
        logits.npy     float32 or uint16, shape (R, C)
        pooled.npy     the same, shape (R, D); only where a distiller asked for it
        *.scale.npy    float32, shape (R, 2): of a uint16 row, what 0 stands for, and the step from one to the next
        segment.json   written last: what made it, its cost, and each file's size and SHA-256

A bank grows by segments that hold what is missing; a segment that is damaged or not complete is passed over, and what
it held counts as missing. So a crash costs one segment, several processes may fill a bank at once, and object storage,
which has no locks and no renames, will do. Files are memory-mapped: trials on a machine share one copy in its page
cache.

Modules: ``keys`` (which pairs), ``segments`` (rows as they are kept), ``bank`` (a bank in a storage), ``filling`` (the
teacher looks at what is missing) and ``demand`` (which banks a set of trials reads).
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
