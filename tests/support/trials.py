"""Trials run in this process, and what two of them must have in common."""

from pathlib import Path
from typing import Any

import torch

from trainables import numerics, preparation, record
from trainables.config import TrialConfig
from trainables.materials import load_materials
from trainables.record import Checkpoint, Row, Run
from trainables.recorded import run_inline
from trainables.storage import Storage
from trainables.trainer import Trainer
from trainables.trial import Trial

WALL_CLOCK = ("time_ms", "images_per_second")


def without_clock(row: Row) -> Row:
    """A row without what differs from run to run: clock times and speeds."""
    return {name: value for name, value in row.items() if name not in WALL_CLOCK and not name.endswith("_seconds")}


def trainer_of(config: TrialConfig) -> Trainer:
    preparation.ensure(config)
    device = numerics.apply(config.numerics, config.seed)
    return Trainer(config, load_materials(config, device), device)


def save(part: Trial, folder: Path) -> Checkpoint:
    """Record a trial as it stands, in a run of its own."""
    storage = Storage.at(str(folder))
    Run.begin(storage, record.scan(storage)).save(part.manifest(), part.contents())
    part.saved()
    return recorded(folder)


def recorded(folder: Path) -> Checkpoint:
    """The newest checkpoint in a trial's folder."""
    newest = record.scan(Storage.at(str(folder))).newest
    assert newest is not None
    return newest


def finished(config: Any, folder: Path) -> Checkpoint:
    preparation.ensure(config)
    run_inline(config, load_materials, Storage.at(str(folder)))
    return recorded(folder)


def same(a: Checkpoint, b: Checkpoint) -> None:
    """Equal in every field but the clock's, and in every weight."""
    assert [without_clock(row) for row in a.rows()] == [without_clock(row) for row in b.rows()]
    assert a.manifest.summary.selected_epoch == b.manifest.summary.selected_epoch
    for ours, theirs in ((a.state(), b.state()), (a.best(), b.best())):
        _equal(ours, theirs)
    assert (a.test_correct(797) == b.test_correct(797)).all()


def _equal(a: Any, b: Any) -> None:
    if isinstance(a, torch.Tensor):
        assert torch.equal(a, b)
    elif isinstance(a, dict):
        assert a.keys() == b.keys()
        for key in a:
            _equal(a[key], b[key])
    elif isinstance(a, list | tuple):
        for ours, theirs in zip(a, b, strict=True):
            _equal(ours, theirs)
    else:
        assert a == b
