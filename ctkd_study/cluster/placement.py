"""How many trials share a GPU: as many as its memory holds, by what one was seen to need, and as the cores feed."""

import os
from collections.abc import Iterable, Sequence

from ctkd_study.errors import ClusterError
from ctkd_study.spec import GpuShare
from trainables import probe
from trainables.config import TrialConfig

_FILLED = 0.9
"""Part of a GPU's memory that is given to trials; the rest is for what a few steps do not show."""


def share_of(need: int, total: int, cores: float) -> float:
    """The part of a GPU that a trial is given: one over a whole number, in steps that Ray keeps exactly.

    Args:
        need: bytes that a trial takes.
        total: bytes that the GPU has.
        cores: trials for which each GPU has CPU cores.
    """
    together = max(min(int(_FILLED * total // need), int(cores)), 1)
    return int(10_000 / together) / 10_000


def on_cluster(asked: GpuShare, configs: Iterable[TrialConfig], cpu: float) -> float:
    """The GPUs of a trial on the cluster that was joined.

    For ``auto``, one trial of each kind runs a few steps on a GPU of its own.

    Args:
        asked: what the study says.
        configs: its trials.
        cpu: cores of a trial.

    Raises:
        ClusterError: the cluster has GPUs, but torch sees none on its nodes, or a trial can't run there.
    """
    if asked != "auto":
        return asked
    import ray

    kinds = _kinds(configs)
    resources: dict[str, float] = ray.cluster_resources()  # type: ignore[no-untyped-call]
    gpus = resources.get("GPU", 0.0)
    if not gpus or not kinds:
        return 0.0
    measure = ray.remote(num_cpus=0, num_gpus=1, max_calls=1, max_retries=0)(_measured)
    shares = []
    for kind in kinds:  # one by one, each in a fresh process: what others use would count as needed
        found = ray.get(measure.remote(kind))
        if isinstance(found, str):
            raise ClusterError(f"what a trial needs of a GPU can't be measured ({found}); set resources.gpu")
        shares.append(share_of(*found, cores=resources.get("CPU", 1.0) / gpus / cpu))
    return max(shares)


def on_this_machine(asked: GpuShare, configs: Iterable[TrialConfig], cpu: float) -> float:
    """What ``on_cluster`` is likely to find, without Ray.

    Args:
        asked: what the study says.
        configs: its trials.
        cpu: cores of a trial.
    """
    if asked != "auto":
        return asked
    import torch

    gpus, kinds = torch.cuda.device_count(), _kinds(configs)
    if not gpus or not kinds:
        return 0.0
    cores = len(os.sched_getaffinity(0))
    found = [_measured(kind) for kind in kinds]
    return max((share_of(*each, cores=cores / gpus / cpu) for each in found if not isinstance(each, str)), default=0.0)


def _kinds(configs: Iterable[TrialConfig]) -> Sequence[TrialConfig]:
    """One trial of each kind that could use a GPU."""
    return list({probe.kind(config): config for config in configs if config.numerics.device != "cpu"}.values())


def _measured(config: TrialConfig) -> tuple[int, int] | str:
    """Bytes that a trial needs and that a GPU has; one that does not fit needs all; or why that can't be told."""
    import torch

    if not torch.cuda.is_available():
        return "torch sees no CUDA device"
    try:
        return probe.memory(config)
    except torch.OutOfMemoryError:
        return 1, 1  # the trial will say it
    except (OSError, ValueError) as fault:  # the data set may be on other nodes, or on none
        return str(fault)
