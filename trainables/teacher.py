"""The teacher: trained once per storage, or loaded from somebody's file; its fingerprint; and what trials read of
it."""

# N examples, C classes

import os
from collections.abc import Callable, Iterable, Iterator, Sequence
from pathlib import Path

import filelock
import torch
from torch import Tensor

from trainables import numerics, record
from trainables.bank import PRECISIONS, Bank, BankCost, Banked, Keys, Online, TeacherSource, needed, paid
from trainables.bank_filling import fill
from trainables.config import RunOptions, TeacherOptions, TrialConfig
from trainables.data import Arrays, Split, split
from trainables.distillers import DISTILLERS
from trainables.hashing import digest, file_sha256
from trainables.models import Network
from trainables.record import Checkpoint, Manifest, Row
from trainables.storage import Storage
from trainables.trainer import Materials
from trainables.trial import run_inline

TEACHERS, BANKS = ".teachers", ".banks"


def teacher_trial(config: TrialConfig, options: TeacherOptions) -> TrialConfig:
    """The teacher's training as a trial of its own: plain cross-entropy on all examples that validation leaves.

    Raises:
        ValueError: the teacher is a checkpoint; there is nothing to train.
    """
    if options.recipe is None:
        raise ValueError("a teacher from a checkpoint is not trained")
    return config.model_copy(
        update={
            "seed": options.seed,
            "data": config.data.model_copy(update={"train_examples": None}),
            "teacher": None,
            "teacher_source": None,
            "student": options.network(),
            "recipe": options.recipe,
            "distiller": DISTILLERS["none"](),
            "temperature": None,
            "curriculum": None,
            "run": RunOptions(
                study=config.run.study,
                uid=config.run.uid,
                arm="teacher",
                setting=getattr(options, "model", "teacher"),
                attempt=config.run.attempt,
                teachers=config.run.teachers,
                checkpoint=config.run.checkpoint,
            ),
        }
    )


def fingerprint(config: TrialConfig) -> str:
    """The fingerprint of a trial's teacher: of its training, or of its file's content and its network.

    Raises:
        FileNotFoundError: the checkpoint file does not exist.
        ValueError: the trial has no teacher.
    """
    options = config.teacher
    if options is None:
        raise ValueError("this trial has no teacher")
    if options.checkpoint is not None:
        return digest({"network": options.network().plain(), "sha256": file_sha256(options.checkpoint)})
    return teacher_trial(config, options).fingerprint()


def record_of(config: TrialConfig, storage: Storage) -> Checkpoint | None:
    """The finished training of a trial's teacher in a storage; None where it is not trained there, or never is."""
    if config.teacher is None or config.teacher.recipe is None:
        return None
    newest = record.scan(storage.within(TEACHERS, fingerprint(config)), check_hashes=False).newest
    return newest if newest is not None and newest.manifest.status == "finished" else None


def ensure(config: TrialConfig, on_row: Callable[[Row], None] | None = None) -> Manifest | None:
    """Sees to it that a trial's teacher is trained and that its bank holds what the trial will read.

    Returns:
        The teacher's record; None where there is nothing to train.

    Raises:
        RuntimeError: the teacher's training failed.
    """
    manifest = ensure_trained(config, on_row)
    ensure_banked([config])
    return manifest


def ensure_trained(config: TrialConfig, on_row: Callable[[Row], None] | None = None) -> Manifest | None:
    """Sees to it that a trial's teacher is trained, once per storage.

    Returns:
        The teacher's record; None where there is nothing to train.

    Raises:
        RuntimeError: the training failed.
    """
    if config.teacher is None or config.teacher.recipe is None or config.distiller.needs == "nothing":
        return None
    mark, storage = fingerprint(config), _storage(config)
    with _lock(storage, mark):
        return _train(teacher_trial(config, config.teacher), storage.within(TEACHERS, mark), on_row)


def ensure_banked(configs: Iterable[TrialConfig], shard: int = 0, shards: int = 1) -> None:
    """Sees to it that the banks hold what trials will read; their teachers are trained.

    Args:
        configs: the trials; those that read no bank are passed over.
        shard: which part of the work to do, from 0 on.
        shards: in how many parts it is done, each on its own, by whatever process.
    """
    for bank, config, arrays, keys in _banks(configs):
        begin, end = (number * len(keys) // shards for number in (shard, shard + 1))
        with _lock(_storage(config), f"{bank.name}-{shard}-of-{shards}"):
            if len(bank.open().missing(keys[begin:end])):
                device = numerics.apply(config.numerics, config.seed)
                network = _network(config, arrays, fingerprint(config)).to(device)
                fill(bank, keys[begin:end], network, config.data, arrays, device)


def unbanked(configs: Iterable[TrialConfig]) -> int:
    """How many pairs of example and view ``ensure_banked`` would have the teacher look at."""
    return sum(len(bank.open().missing(keys)) for bank, _, _, keys in _banks(configs))


def bank_cost(config: TrialConfig, storage: Storage) -> BankCost:
    """What was paid for the banks of a trial's teacher in a storage, of whatever data and precision."""
    banks, mark = storage.within(BANKS), fingerprint(config)
    return sum((paid(banks.within(name)) for name in banks.names() if name.startswith(f"{mark}-")), BankCost())


def representatives(configs: Iterable[TrialConfig]) -> list[TrialConfig]:
    """As few of some trials as read the same of the same banks: for each bank and seed, the one that trains longest."""
    longest: dict[tuple[str | None, str, int], TrialConfig] = {}
    for config in configs:
        seed = config.seed if config.teacher_source in PRECISIONS else 0
        key = (_bank_key(config), config.distiller.needs, seed)
        if key not in longest or longest[key].recipe.epochs < config.recipe.epochs:
            longest[key] = config
    return list(longest.values())


def load_materials(config: TrialConfig, device: torch.device) -> Materials:
    """Data, split and teacher for a trial; the teacher must have been made ready by ``ensure``.

    Raises:
        FileNotFoundError: data set or teacher is missing.
        ValueError: one of them is not what it should be.
    """
    arrays = config.data.load()
    parts, here = split(arrays.train_labels, config.data), placed(arrays, device)
    if config.teacher is None or config.distiller.needs == "nothing":
        return Materials(here, parts, None, None)
    mark = fingerprint(config)
    teacher = _network(config, arrays, mark).to(device)
    source: TeacherSource
    if config.teacher_source in PRECISIONS:
        source = Banked(_bank(config, arrays, mark).open(), device)
    else:
        source = online(teacher, config, arrays)
    return Materials(here, parts, teacher, source)


def online(teacher: Network, config: TrialConfig, arrays: Arrays) -> Online:
    """The teacher as the source of a trial's outputs, put into the trial's memory format."""
    if config.numerics.memory_format == "channels_last":
        teacher.to(memory_format=torch.channels_last)
    return Online(teacher, arrays.channels, arrays.size)


def serves(materials: Materials, config: TrialConfig) -> bool:
    """Whether what was loaded for another trial of the same data and teacher holds all that this one will read."""
    source = materials.source
    if not isinstance(source, Banked):
        return True
    return not len(source.bank.missing(_drawn([config], materials.arrays, materials.split)))


def load_weights(path: str, network: Network) -> None:
    """Loads a network's weights from somebody's file: a state dict, or a dict with one under ``model`` or
    ``state_dict``.

    Nothing but tensors and plain containers is unpickled.

    Raises:
        ValueError: the file is no such thing, or is another network's.
    """
    try:
        content = torch.load(path, map_location="cpu", weights_only=True)
    except OSError:
        raise
    except Exception:  # torch raises whatever the bytes make it stumble over
        raise ValueError(f"{path} cannot be read as weights alone: tensors in plain containers, nothing else") from None
    for key in ("model", "state_dict"):
        if isinstance(content, dict) and isinstance(content.get(key), dict):
            content = content[key]
    if not isinstance(content, dict) or not all(isinstance(value, Tensor) for value in content.values()):
        raise ValueError(f"{path} must hold a state dict, alone or under 'model' or 'state_dict'")
    # Written by data-parallel wrappers.
    weights = {key.removeprefix("module."): value for key, value in content.items()}
    try:
        network.load_state_dict(weights)
    except RuntimeError as fault:
        raise ValueError(
            f"{path} does not fit {type(network).__name__}: {str(fault).splitlines()[-1].strip()}"
        ) from None


def _network(config: TrialConfig, arrays: Arrays, mark: str) -> Network:
    """The teacher, frozen, in evaluation mode, on the CPU."""
    options = config.teacher
    if options is None:
        raise ValueError("this trial has no teacher")
    network = options.network().build(arrays.classes, arrays.channels, arrays.size)
    if options.checkpoint is not None:
        load_weights(options.checkpoint, network)
    else:
        newest = record.scan(_storage(config).within(TEACHERS, mark)).newest
        if newest is None or newest.manifest.status != "finished":
            raise FileNotFoundError(f"teacher {mark} is not trained in {_storage(config).path(TEACHERS)}")
        network.load_state_dict(newest.best())
    return network.eval().requires_grad_(False)


def placed(arrays: Arrays, device: torch.device) -> Arrays:
    """The data set on the device, where it leaves room for the trials beside this one; else where it is."""
    if device.type != "cuda":
        return arrays
    free, _ = torch.cuda.mem_get_info(device)
    images = arrays.train_images.nbytes + arrays.test_images.nbytes
    return arrays.to(device) if images <= free // 16 else arrays


def _bank_key(config: TrialConfig) -> str | None:
    """The same for trials that read the same bank; None where a trial reads none."""
    if config.teacher is None or config.distiller.needs == "nothing" or config.teacher_source not in PRECISIONS:
        return None
    return repr((config.teacher_source, config.teacher, config.data, config.run.teachers))


def _bank(config: TrialConfig, arrays: Arrays, mark: str) -> Bank:
    precision, pooled = PRECISIONS[str(config.teacher_source)], config.distiller.needs == "pooled"
    return Bank.at(_storage(config).within(BANKS), mark, config.data, arrays, precision, pooled)


def _banks(configs: Iterable[TrialConfig]) -> Iterator[tuple[Bank, TrialConfig, Arrays, Keys]]:
    """The banks that trials read: each with one of the trials, the data set, and the keys of the pairs they draw."""
    by_bank: dict[str, list[TrialConfig]] = {}
    for config in configs:
        if (key := _bank_key(config)) is not None:
            by_bank.setdefault(key, []).append(config)
    for alike in by_bank.values():
        # Of a mixed study, all pairs get pooled vectors: to look twice would cost more than to store them.
        widest = max(alike, key=lambda config: config.distiller.needs == "pooled")
        arrays = widest.data.load()
        keys = _drawn(alike, arrays, split(arrays.train_labels, widest.data))
        yield _bank(widest, arrays, fingerprint(widest)), widest, arrays, keys


def _drawn(configs: Sequence[TrialConfig], arrays: Arrays, parts: Split) -> Keys:
    """The keys of all pairs that trials of the same data will draw."""
    epochs: dict[int, int] = {}
    for config in configs:
        epochs[config.seed] = max(epochs.get(config.seed, 0), config.recipe.epochs)
    return needed(epochs, parts.student, len(arrays.train_labels), configs[0].data.views.count)


def _train(config: TrialConfig, folder: Storage, on_row: Callable[[Row], None] | None) -> Manifest:
    mark = config.fingerprint()
    named = config.model_copy(update={"run": config.run.model_copy(update={"trial": f"teacher-{mark}"})})
    manifest = run_inline(named, load_materials, folder, on_row)
    if manifest.status == "failed":
        raise RuntimeError(f"the teacher's training failed: {manifest.reason}")
    return manifest


def _storage(config: TrialConfig) -> Storage:
    default = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "ctkd-study"
    return Storage.at(config.run.teachers or str(default))


def _lock(storage: Storage, mark: str) -> filelock.BaseFileLock:
    # An object store has no locks; there, the study's own lease keeps drivers apart.
    parent = Path(storage.root) if storage.is_local else Path.home() / ".cache" / "ctkd-study"
    (parent / TEACHERS).mkdir(parents=True, exist_ok=True)
    return filelock.FileLock(parent / TEACHERS / f"{mark}.lock")
