"""The teacher: its training as a trial, its fingerprint, its record and its weights."""

import os
from pathlib import Path

import torch
from torch import Tensor

from trainables import record
from trainables.config import RunOptions, TeacherOptions, TrialConfig
from trainables.data import Arrays
from trainables.distillers import DISTILLERS
from trainables.hashing import digest, file_sha256
from trainables.models import Network
from trainables.record import Checkpoint
from trainables.storage import Storage

TEACHERS = ".teachers"
"""Folder of the trained teachers in a storage."""


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
    """Return the checkpoint of the trained teacher in a storage; None if it is not (or never) trained there."""
    if config.teacher is None or config.teacher.recipe is None:
        return None
    newest = record.scan(storage.within(TEACHERS, fingerprint(config)), check_hashes=False).newest
    return newest if newest is not None and newest.manifest.status == "finished" else None


def load_weights(path: str, network: Network) -> None:
    """Load a network's weights from a published file.

    The file holds a state dict, alone or under ``model`` or ``state_dict``. Only tensors and plain containers are
    unpickled.

    Raises:
        ValueError: the file holds something else, or the weights of another network.
    """
    try:
        content = torch.load(path, map_location="cpu", weights_only=True)
    except OSError:
        raise
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


def network_of(config: TrialConfig, arrays: Arrays, mark: str) -> Network:
    """Return the teacher with its weights, frozen, in evaluation mode, on the CPU.

    Args:
        config: a trial that uses it.
        arrays: the data set.
        mark: the teacher's fingerprint.

    Raises:
        FileNotFoundError: it is not trained in the storage.
        ValueError: the checkpoint holds no weights of this network.
    """
    options = config.teacher
    if options is None:
        raise ValueError("this trial has no teacher")
    network = options.network().build(arrays.classes, arrays.channels, arrays.size)
    if options.checkpoint is not None:
        load_weights(options.checkpoint, network)
    else:
        newest = record.scan(storage_of(config).within(TEACHERS, mark)).newest
        if newest is None or newest.manifest.status != "finished":
            raise FileNotFoundError(f"teacher {mark} is not trained in {storage_of(config).path(TEACHERS)}")
        network.load_state_dict(newest.best())
    return network.eval().requires_grad_(False)


def storage_of(config: TrialConfig) -> Storage:
    """Return the storage of teachers and banks: the trial's own, else the user's cache folder."""
    default = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "ctkd-study"
    return Storage.at(config.run.teachers or str(default))
