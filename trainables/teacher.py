"""The teacher: its training as a trial, its fingerprint, its record and its weights.

A trained teacher lies in ``.teachers/<fingerprint>-<data>``: the fingerprint of its training, the code of plug-ins
included, and a hash of the data that it was trained on. What was made from it (a bank, a trial) names the weights.
"""

import dataclasses
import io
import os
from pathlib import Path

import torch
from torch import Tensor

from trainables import record
from trainables.checksums import sha256
from trainables.config import RunOptions, TeacherOptions, TrialConfig, code_of_parts
from trainables.data import Loaded
from trainables.distillers import DISTILLERS
from trainables.hashing import digest, file_sha256
from trainables.inputs import read_from_user
from trainables.models import Network
from trainables.record import BEST, Checkpoint
from trainables.storage import Storage

TEACHERS = ".teachers"
"""Folder of the trained teachers in a storage."""


@dataclasses.dataclass(frozen=True)
class Teacher:
    """A teacher with its weights."""

    network: Network
    """Frozen, in evaluation mode, on the CPU."""
    weights: str
    """SHA-256 of the file that they were read from, 64 hex digits."""


def teacher_trial(config: TrialConfig, options: TeacherOptions) -> TrialConfig:
    """Return the trial that trains the teacher: cross-entropy on all training examples outside the validation split.

    Raises:
        ValueError: the teacher is loaded from a checkpoint, so there is nothing to train.
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
                arm="teacher",
                setting=getattr(options, "model", "teacher"),
                teachers=config.run.teachers,
                checkpoint=config.run.checkpoint,
            ),
        }
    )


def fingerprint(config: TrialConfig) -> str:
    """Return the fingerprint of a trial's teacher.

    It identifies the teacher's training or, for a checkpoint, the network and the content of the file.

    Raises:
        MissingInput: the checkpoint file does not exist.
        ValueError: the trial has no teacher.
    """
    options = config.teacher
    if options is None:
        raise ValueError("this trial has no teacher")
    if options.checkpoint is not None:
        network = options.network()
        code = {"code": found} if (found := code_of_parts(network, "network")) else {}
        return digest({"network": network.plain(), "sha256": _sha256_of(options.checkpoint), **code})
    return teacher_trial(config, options).fingerprint()


def folder_of(config: TrialConfig, storage: Storage, data: str) -> Storage:
    """Return the folder in which a trial's teacher is trained.

    Args:
        config: the trial.
        storage: of teachers and banks.
        data: SHA-256 of the data as the teacher sees it (``Loaded.for_teacher``).
    """
    return storage.within(TEACHERS, f"{fingerprint(config)}-{data[:16]}")


def folders_of(config: TrialConfig, storage: Storage) -> list[Storage]:
    """Return the folders of a storage in which teachers like a trial's were trained, each on other data."""
    begin = f"{fingerprint(config)}-"
    return [storage.within(TEACHERS, name) for name in storage.names(TEACHERS) if name.startswith(begin)]


def record_of(
    config: TrialConfig,
    storage: Storage,
    data: str | None = None,
    weights: str | None = None,
    check_hashes: bool = False,
) -> Checkpoint | None:
    """Return the finished record of a trial's teacher; None if it is not (or never) trained.

    The driver of a cluster may not have the data. It knows the teacher by the weights that the trials have read, or if
    there is only one.

    Args:
        config: the trial.
        storage: of teachers and banks.
        data: SHA-256 of the data as the teacher sees it, if that is known.
        weights: SHA-256 of its weights, if they are known.
        check_hashes: whether to read its files and compare their hashes.
    """
    if config.teacher is None or config.teacher.recipe is None:
        return None
    folders = [folder_of(config, storage, data)] if data is not None else folders_of(config, storage)
    scans = [record.scan(folder, check_hashes).newest for folder in folders]
    found = [each for each in scans if each is not None and each.manifest.status == "finished"]
    if weights is not None:
        found = [each for each in found if weights_of(each) == weights]
    return found[0] if len(found) == 1 else None


def weights_of(trained: Checkpoint) -> str | None:
    """Return the SHA-256 of a trained teacher's weights, as its record states it."""
    stamp = trained.manifest.files.get(BEST)
    return stamp.sha256 if stamp is not None else None


def known_weights(config: TrialConfig, data: str, storage: Storage | None = None) -> str | None:
    """Return the SHA-256 of a trial's teacher's weights without loading them; None if it is not trained.

    Args:
        config: the trial.
        data: SHA-256 of the data as the teacher sees it (``Loaded.for_teacher``).
        storage: of teachers and banks; default: the trial's.
    """
    if config.teacher is not None and config.teacher.checkpoint is not None:
        return _sha256_of(config.teacher.checkpoint)
    trained = record_of(config, storage or storage_of(config), data)
    return weights_of(trained) if trained is not None else None


def load_weights(path: str, network: Network) -> str:
    """Load a network's weights from a published file; returns the file's SHA-256.

    The file holds a state dict, alone or under ``model`` or ``state_dict``. Only tensors and plain containers are
    unpickled.

    Raises:
        MissingInput: there is no such file.
        ValueError: the file holds something else, or the weights of another network.
    """
    with read_from_user():
        raw = Path(path).read_bytes()
    try:
        content = torch.load(io.BytesIO(raw), map_location="cpu", weights_only=True)
    except Exception:  # torch raises many kinds of exceptions for damaged files
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
    return sha256(raw)


def load(config: TrialConfig, data: Loaded) -> Teacher:
    """Return a trial's teacher with its weights.

    Args:
        config: a trial that uses it.
        data: the trial's.

    Raises:
        FileNotFoundError: it is not trained in the storage.
        ValueError: the checkpoint holds no weights of this network.
    """
    options = config.teacher
    if options is None:
        raise ValueError("this trial has no teacher")
    arrays, storage = data.arrays, storage_of(config)
    network = options.network().build(arrays.classes, arrays.channels, arrays.size)
    if options.checkpoint is not None:
        weights = load_weights(options.checkpoint, network)
    else:
        seen = data.for_teacher().sha256
        trained = record_of(config, storage, seen, check_hashes=True)
        found = weights_of(trained) if trained is not None else None
        if trained is None or found is None:
            raise FileNotFoundError(f"the teacher is not trained in {folder_of(config, storage, seen).location}")
        network.load_state_dict(trained.best())  # which compares the content with the same stamp
        weights = found
    return Teacher(network.eval().requires_grad_(False), weights)


def _sha256_of(checkpoint: str) -> str:
    with read_from_user():
        return file_sha256(checkpoint)


def storage_of(config: TrialConfig) -> Storage:
    """Return the storage of teachers and banks: the trial's own, else the user's cache folder."""
    default = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "ctkd-study"
    return Storage.at(config.run.teachers or str(default))
