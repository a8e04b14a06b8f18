"""Records as workers write them, made without training."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from trainables import record
from trainables.record import Contents, Manifest, Row, Run
from trainables.storage import Storage

FIRST_SAVE = "checkpoint_000001"
"""Name of the folder of a run's first checkpoint."""


def saved(trial: Storage, manifest: Manifest, rows: Sequence[Row] = (), launch: int | None = None, **more: Any) -> str:
    """Begin a run of a trial and save once; returns the path of the checkpoint's folder in the trial's.

    Args:
        trial: the trial's folder.
        manifest: of the checkpoint.
        rows: of its epochs.
        launch: number of the launch; None joins that of the newest run.
        more: other contents: state, best, correct.
    """
    run = Run.begin(trial, record.scan(trial, check_hashes=False), launch)
    run.save(manifest, Contents(rows, **{"state": {}, **more}))
    return f"{run.id}/{FIRST_SAVE}"


def plain_manifest(epoch: int = 1, **changes: Any) -> Manifest:
    """The manifest of a trial of three epochs that has done some."""
    known = {"study": "s", "uid": "u", "trial": "t", "arm": "a", "setting": "T=4", "seed": 0, "fingerprint": "f"}
    more = {"config": {"x": 1}, "attempt": 1, "epoch": epoch, "epochs": 3, "status": "running"}
    return Manifest.model_validate({**known, **more, **changes})


def flip_a_bit(file: Path, place: float = 0.5) -> None:
    """Change a bit at a place in a file: 0 is its beginning, 1 its end."""
    content = bytearray(file.read_bytes())
    content[int(place * len(content))] ^= 1
    file.write_bytes(content)
