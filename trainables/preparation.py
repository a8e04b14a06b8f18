"""Prepares what trials need before they run: trains their teachers and fills their banks.

Both are done once, by one process, among all that share a storage (``lease``). The lease is taken only if there is
something to do.
"""

from collections.abc import Callable, Iterable

from trainables import numerics, teacher
from trainables.bank import banks_of, fill
from trainables.config import TrialConfig
from trainables.data import Loaded
from trainables.inputs import Inputs
from trainables.lease import Lease
from trainables.materials import load_materials
from trainables.record import Manifest, Row
from trainables.recorded import run_inline
from trainables.storage import Storage

LEASES = ".leases"
"""Folder of the leases in a storage."""


def ensure(
    config: TrialConfig, on_row: Callable[[Row], None] | None = None, data: Loaded | None = None
) -> Manifest | None:
    """Train a trial's teacher and fill its bank, unless that is done.

    Args:
        config: the trial.
        on_row: called with the row of every epoch of the teacher's training.
        data: the trial's, if it is loaded already.

    Returns:
        The last manifest of the teacher's training; None if there is nothing to train.

    Raises:
        RuntimeError: the training failed.
        ChangedInputs: the weights are not those that the study's other trials read.
    """
    if not config.uses_teacher:
        return None
    data = data or Loaded.of(config.data)
    manifest = ensure_trained(config, on_row, data)
    ensure_banked([config], data=data)
    return manifest


def ensure_trained(
    config: TrialConfig,
    on_row: Callable[[Row], None] | None = None,
    data: Loaded | None = None,
    on_sign: Callable[[], None] = lambda: None,
) -> Manifest | None:
    """Train a trial's teacher, once per storage and data.

    Args:
        config: the trial.
        on_row: called with the row of every epoch.
        data: the trial's, if it is loaded already.
        on_sign: called every second while another process is waited for that trains it.

    Returns:
        The last manifest of the teacher's training; None if there is nothing to train.

    Raises:
        MissingInput: the data set is not on this machine.
        RuntimeError: the training failed.
        ChangedInputs: the weights are not those that the study's other trials read.
    """
    if config.teacher is None or config.teacher.recipe is None or not config.uses_teacher:
        return None
    data = data or Loaded.of(config.data)
    storage, seen = teacher.storage_of(config), data.for_teacher().sha256
    trained = teacher.record_of(config, storage, seen, check_hashes=True)
    if trained is None:
        folder = teacher.folder_of(config, storage, seen)
        with Lease(storage.within(LEASES, folder.name), wait=True, watched=lambda holder: on_sign()):
            manifest = _train(teacher.teacher_trial(config, config.teacher), folder, on_row)
        trained = teacher.record_of(config, storage, seen)
    else:
        manifest = trained.manifest
    weights = teacher.weights_of(trained) if trained is not None else None
    Inputs(teacher=config.run.weights).require(Inputs(teacher=weights), "the study's other trials read it")
    return manifest


def ensure_banked(
    configs: Iterable[TrialConfig],
    shard: int = 0,
    shards: int = 1,
    data: Loaded | None = None,
    on_sign: Callable[[], None] = lambda: None,
) -> None:
    """Fill the banks with all that trials will read. Their teachers must be trained.

    Args:
        configs: the trials; those that read no bank are ignored.
        shard: which part of the work to do, from 0 to ``shards`` - 1.
        shards: the number of parts; any process may do any of them.
        data: that of all these trials, if it is loaded already.
        on_sign: called after every batch, and every second while another process is waited for.
    """
    for bank, config, found, keys in banks_of(configs, data):
        begin, end = (number * len(keys) // shards for number in (shard, shard + 1))
        part = keys[begin:end]
        if not len(bank.open().missing(part)):
            continue
        storage = teacher.storage_of(config)
        leases = storage.within(LEASES, f"{bank.name}-{shard}-of-{shards}")
        with Lease(leases, wait=True, watched=lambda holder: on_sign()):
            if len(bank.open().missing(part)):
                device = numerics.apply(config.numerics, config.seed)
                network = teacher.load(config, found).network.to(device)
                fill(bank, part, network, config.data, found.arrays, device, on_sign)


def _train(config: TrialConfig, folder: Storage, on_row: Callable[[Row], None] | None) -> Manifest:
    """Train a teacher from its newest whole checkpoint to its end; one that is trained is left as it is."""
    run = config.run.model_copy(update={"trial": f"teacher-{config.fingerprint()}"})
    manifest = run_inline(config.model_copy(update={"run": run}), load_materials, folder, on_row)
    if manifest.status == "failed":
        raise RuntimeError(f"the teacher's training failed: {manifest.reason}")
    return manifest
