"""What fits where."""

import os
from pathlib import Path

import pytest
import torch

from ctkd_study.cluster.placement import Place, this_machine
from ctkd_study.errors import ClusterError
from tests.support import settings
from trainables.config import TrialConfig

GIB = 2**30


def place(cores: float, gpus: float, found: tuple[int, int] | str = "not to be measured") -> Place:
    return Place(cores, gpus, lambda config: found)


@pytest.mark.parametrize(
    ("cores", "gpus", "cpu", "gpu", "slots"),
    [
        (8, 0, 1, 0, 8),
        (8, 0, 3, 0, 2),
        (8, 0, 0.5, 0, 16),
        (8, 1, 1, 1, 1),
        (8, 1, 1, 0.25, 4),
        (64, 1, 1, 0.1, 10),
        (64, 1, 1, 0.1428, 7),
        (2, 1, 1, 0.1, 2),  # cores are short
        (64, 2, 1, 0.6, 2),  # a share lies on one GPU
        (64, 4, 1, 2, 2),
        (64, 3, 1, 2, 1),
        (64, 0, 1, 0.5, 0),
        (1, 0, 2, 0, 0),
    ],
)
def test_slots(cores: float, gpus: float, cpu: float, gpu: float, slots: int) -> None:
    assert place(cores, gpus).slots(cpu, gpu) == slots


def test_devices_are_gpus_if_a_trial_takes_any() -> None:
    assert place(8, 2).devices(0.5) == 2
    assert place(8, 2).devices(0) == 8


def trial(folder: Path, device: str = "auto", batch_size: int = 32) -> TrialConfig:
    recipe = {**settings.RECIPE, "batch_size": batch_size}
    return settings.trial(folder, numerics={"device": device}, recipe=recipe)


@pytest.mark.parametrize(
    ("need", "cores", "share"),
    [
        (GIB, 64, 0.0156),
        (10 * GIB, 64, 0.1428),
        (10 * GIB, 4, 0.25),
        (40 * GIB, 4, 1.0),
        (90 * GIB, 4, 1.0),
        (1, 0.5, 1.0),
    ],
)
def test_a_share_fits_memory_and_cores(tmp_path: Path, need: int, cores: float, share: float) -> None:
    found = place(cores, 1, (need, 80 * GIB)).gpu_share("auto", [trial(tmp_path)], cpu=1)
    assert found == share
    assert int(1 / found) * found <= 1
    assert int(1 / found) == 1 or int(1 / found) * need <= 0.9 * 80 * GIB


def test_a_share_that_is_asked_for_is_given_unmeasured(tmp_path: Path) -> None:
    assert place(8, 1).gpu_share(0.3, [trial(tmp_path)], 1) == 0.3
    assert place(8, 1).gpu_share(0, [trial(tmp_path)], 1) == 0


def test_without_gpus_or_trials_for_them_nothing_is_measured(tmp_path: Path) -> None:
    assert place(8, 0).gpu_share("auto", [trial(tmp_path)], 1) == 0
    assert place(8, 1).gpu_share("auto", [trial(tmp_path, "cpu")], 1) == 0
    assert place(8, 1).gpu_share("auto", [], 1) == 0


def test_all_trials_get_the_share_of_the_largest_and_each_kind_is_measured_once(tmp_path: Path) -> None:
    measured = []

    def measure(config: TrialConfig) -> tuple[int, int]:
        measured.append(config.recipe.batch_size)
        return config.recipe.batch_size * GIB, 80 * GIB

    configs = [trial(tmp_path, batch_size=size) for size in (4, 16, 4, 8)]
    assert Place(32, 2, measure).gpu_share("auto", configs, cpu=1) == 0.25
    assert sorted(measured) == [4, 8, 16]
    assert Place(4, 2, measure).gpu_share("auto", configs, cpu=1) == 0.5, "two cores for each GPU"
    assert Place(4, 2, measure).gpu_share("auto", configs, cpu=2) == 1.0, "one trial for each GPU"


def test_what_cannot_be_measured_is_said(tmp_path: Path) -> None:
    with pytest.raises(ClusterError, match=r"can't be measured \(no such data\); set resources\.gpu"):
        place(8, 1, "no such data").gpu_share("auto", [trial(tmp_path)], 1)


@pytest.mark.parametrize(
    ("cpu", "gpu", "device", "message"),
    [
        (5, "auto", "auto", "resources.cpu must be at most what this machine has, 4, but got 5"),
        (1, 1.5, "auto", "resources.gpu must be at most what this machine has, 1, but got 1.5"),
    ],
)
def test_a_trial_that_does_not_fit_is_refused(cpu: float, gpu: float, device: str, message: str) -> None:
    with pytest.raises(ClusterError) as error:
        place(4, 1).check(cpu, gpu, device)
    assert str(error.value) == message
    place(4, 1).check(4, 1, "cuda")
    place(4, 1).check(4, "auto", "cuda")


def test_cuda_without_a_gpu_is_refused() -> None:
    with pytest.raises(ClusterError, match=r"numerics\.device is cuda, but this machine has no CUDA device"):
        place(4, 0).check(1, "auto", "cuda")
    place(4, 0).check(1, "auto", "auto")


def test_this_machine() -> None:
    here = this_machine()
    assert (here.cores, here.gpus) == (len(os.sched_getaffinity(0)), torch.cuda.device_count())


@pytest.mark.skipif(torch.cuda.is_available(), reason="needs a machine without a CUDA device")
def test_a_plan_assumes_a_whole_gpu_where_none_can_be_measured(tmp_path: Path) -> None:
    assert Place(8, 1, this_machine().measure).gpu_share("auto", [trial(tmp_path)], 1) == 1.0
