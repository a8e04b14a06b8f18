"""What a trial needs besides its configuration: data, split, teacher, and the source of the teacher's outputs."""

import dataclasses

import torch

from trainables.bank import PRECISIONS, bank_of, drawn
from trainables.config import TrialConfig
from trainables.data import Arrays, Split, split
from trainables.models import Network
from trainables.sources import Banked, TeacherOutputs, online
from trainables.teacher import fingerprint, network_of


@dataclasses.dataclass(frozen=True)
class Materials:
    """What a trial needs besides its configuration; shared by the trials that run one after the other in a process."""

    arrays: Arrays
    """On the device where they fit, else on the CPU."""
    split: Split
    teacher: Network | None
    """In evaluation mode, frozen, on the device; None where the distiller needs nothing of it."""
    source: TeacherOutputs | None


def load_materials(config: TrialConfig, device: torch.device) -> Materials:
    """Data, split and teacher for a trial; the teacher must have been made ready by ``ensure``.

    Raises:
        FileNotFoundError: data set or teacher is missing.
        ValueError: one of them is not what it should be.
    """
    arrays = config.data.load()
    parts, here = split(arrays.train_labels, config.data), placed(arrays, device)
    if not config.uses_teacher:
        return Materials(here, parts, None, None)
    mark = fingerprint(config)
    teacher = network_of(config, arrays, mark).to(device)
    source: TeacherOutputs
    if config.teacher_source in PRECISIONS:
        source = Banked(bank_of(config, arrays, mark).open(), device)
    else:
        source = online(teacher, config, arrays)
    return Materials(here, parts, teacher, source)


def serves(materials: Materials, config: TrialConfig) -> bool:
    """Whether what was loaded for another trial of the same data and teacher holds all that this one will read."""
    source = materials.source
    if not isinstance(source, Banked):
        return True
    return not len(source.bank.missing(drawn([config], materials.arrays, materials.split)))


def placed(arrays: Arrays, device: torch.device) -> Arrays:
    """The data set on the device, where it leaves room for the trials beside this one; else where it is."""
    if device.type != "cuda":
        return arrays
    free, _ = torch.cuda.mem_get_info(device)
    images = arrays.train_images.nbytes + arrays.test_images.nbytes
    return arrays.to(device) if images <= free // 16 else arrays
