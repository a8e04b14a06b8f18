"""The record of a trial: the only writer and reader of its folder.

Takes what a worker knows of its trial. Gives back the newest whole checkpoint, and nothing that its manifest does not
prove. It is durable, checksummed and fenced: docs/reliability.md. Teachers are recorded in the same form. Modules:
``manifest`` (what a checkpoint says), ``checkpoints`` (what it holds), ``runs`` (who may write, and which checkpoint is
the record).
"""

from trainables.record.checkpoints import BEST, CORRECT, HISTORY, MANIFEST, STATE, Checkpoint, Contents, Damaged
from trainables.record.manifest import Manifest, Row, Start, Status, Summary
from trainables.record.runs import Run, RunId, Scan, Superseded, scan

__all__ = ["BEST", "CORRECT", "HISTORY", "MANIFEST", "STATE", "Checkpoint", "Contents", "Damaged", "Manifest", "Row"]
__all__ += ["Run", "RunId", "Scan", "Start", "Status", "Summary", "Superseded", "scan"]
