"""Loads what a trial needs besides its configuration: data, split, teacher and source of teacher outputs."""

import dataclasses

import torch

from trainables import teacher
from trainables.bank import PRECISIONS, bank_of, drawn
from trainables.config import TrialConfig
from trainables.data import Arrays, Loaded, Split
from trainables.inputs import Inputs
from trainables.models import Network
from trainables.sources import Banked, TeacherOutputs, online


@dataclasses.dataclass(frozen=True)
class Materials:
    """Data, split, teacher and source of teacher outputs; shared by successive trials in a process."""

    arrays: Arrays
    """On the device if they fit, else on the CPU."""
    split: Split
    teacher: Network | None
    """In evaluation mode, frozen, on the device; None if the distiller uses no teacher."""
    source: TeacherOutputs | None
    inputs: Inputs = dataclasses.field(default_factory=Inputs)
    """What they were made of."""


def load_materials(config: TrialConfig, device: torch.device, data: Loaded | None = None) -> Materials:
    """Load the materials of a trial. ``preparation.ensure`` must have run for it.

    Args:
        config: the trial.
        device: where it trains.
        data: the trial's, if it is loaded already.

    Raises:
        FileNotFoundError: the data set or the teacher is missing.
        ValueError: one of them is damaged or does not fit.
    """
    data = data or Loaded.of(config.data)
    found = teacher.load(config, data) if config.uses_teacher else None
    inputs = Inputs(data.sha256, found.weights if found is not None else None)
    arrays = placed(data.arrays, device)
    if found is None:
        return Materials(arrays, data.split, None, None, inputs)
    network = found.network.to(device)
    source: TeacherOutputs
    if config.teacher_source in PRECISIONS:
        source = Banked(bank_of(config, data.arrays, found.weights).open(), device)
    else:
        source = online(network, config, data.arrays)
    return Materials(arrays, data.split, network, source, inputs)


def serves(materials: Materials, config: TrialConfig) -> bool:
    """Whether materials loaded for another trial of the same data and teacher also serve this one.

    A bank serves only the trials whose pairs of example and view it held when it was opened.
    """
    source = materials.source
    if not isinstance(source, Banked):
        return True
    return not len(source.bank.missing(drawn([config], materials.arrays, materials.split)))


def placed(arrays: Arrays, device: torch.device) -> Arrays:
    """Move the data set to the device if it takes at most a sixteenth of the free memory; else leave it on the CPU."""
    if device.type != "cuda":
        return arrays
    free, _ = torch.cuda.mem_get_info(device)
    images = arrays.train_images.nbytes + arrays.test_images.nbytes
    return arrays.to(device) if images <= free // 16 else arrays
