"""Prepares what trials need before they run: trains their teachers and fills their banks."""

from collections.abc import Callable, Iterable
from pathlib import Path

import filelock

from trainables import numerics
from trainables.bank import banks_of, fill
from trainables.config import TrialConfig
from trainables.materials import load_materials
from trainables.record import Manifest, Row
from trainables.recorded import run_inline
from trainables.storage import Storage
from trainables.teacher import TEACHERS, fingerprint, network_of, storage_of, teacher_trial


def ensure(config: TrialConfig, on_row: Callable[[Row], None] | None = None) -> Manifest | None:
    """Train a trial's teacher and fill its bank, unless that is done.

    Returns:
        The last manifest of the teacher's training; None if there is nothing to train.

    Raises:
        RuntimeError: the training failed.
    """
    manifest = ensure_trained(config, on_row)
    ensure_banked([config])
    return manifest


def ensure_trained(config: TrialConfig, on_row: Callable[[Row], None] | None = None) -> Manifest | None:
    """Train a trial's teacher, once per storage.

    Returns:
        The last manifest of the teacher's training; None if there is nothing to train.

    Raises:
        RuntimeError: the training failed.
    """
    if config.teacher is None or config.teacher.recipe is None or not config.uses_teacher:
        return None
    mark, storage = fingerprint(config), storage_of(config)
    with _lock(storage, mark):
        return _train(teacher_trial(config, config.teacher), storage.within(TEACHERS, mark), on_row)


def ensure_banked(configs: Iterable[TrialConfig], shard: int = 0, shards: int = 1) -> None:
    """Fill the banks with all that trials will read. Their teachers must be trained.

    Args:
        configs: the trials; those that read no bank are ignored.
        shard: which part of the work to do, from 0 to ``shards`` - 1.
        shards: the number of parts; any process may do any of them.
    """
    for bank, config, arrays, keys in banks_of(configs):
        begin, end = (number * len(keys) // shards for number in (shard, shard + 1))
        with _lock(storage_of(config), f"{bank.name}-{shard}-of-{shards}"):
            if len(bank.open().missing(keys[begin:end])):
                device = numerics.apply(config.numerics, config.seed)
                network = network_of(config, arrays, fingerprint(config)).to(device)
                fill(bank, keys[begin:end], network, config.data, arrays, device)


def _train(config: TrialConfig, folder: Storage, on_row: Callable[[Row], None] | None) -> Manifest:
    mark = config.fingerprint()
    named = config.model_copy(update={"run": config.run.model_copy(update={"trial": f"teacher-{mark}"})})
    manifest = run_inline(named, load_materials, folder, on_row)
    if manifest.status == "failed":
        raise RuntimeError(f"the teacher's training failed: {manifest.reason}")
    return manifest


def _lock(storage: Storage, mark: str) -> filelock.BaseFileLock:
    # An object store has no locks; there, the study's lease keeps other drivers out.
    parent = Path(storage.root) if storage.is_local else Path.home() / ".cache" / "ctkd-study"
    (parent / TEACHERS).mkdir(parents=True, exist_ok=True)
    return filelock.FileLock(parent / TEACHERS / f"{mark}.lock")
