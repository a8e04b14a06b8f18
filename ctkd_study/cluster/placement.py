"""What fits where: how many trials run at once on a machine or cluster, and which share of a GPU each is given."""

import dataclasses
import os
from collections import Counter
from collections.abc import Callable, Iterable
from typing import Any

from ctkd_study.errors import ClusterError
from ctkd_study.spec import GpuShare
from trainables import probe
from trainables.config import TrialConfig

_FILLED = 0.9  # part of a GPU's memory that is given to trials; the rest is for what a few steps do not show


@dataclasses.dataclass(frozen=True)
class Place:
    """A machine or cluster that runs trials."""

    cores: float
    gpus: float
    measure: Callable[[TrialConfig], tuple[int, int] | str]
    """Bytes of GPU memory that a trial needs and that a GPU has, or why they can't be measured."""

    def slots(self, cpu: float, gpu: float) -> int:
        """Return how many trials fit at once, each with this many cores and GPUs; 0 if none does."""
        together = int(round(1 / gpu, 6)) if 0 < gpu <= 1 else 1 / max(gpu, 1)  # a share lies on one GPU
        return min(int(self.cores // cpu), int(self.gpus * together)) if gpu > 0 else int(self.cores // cpu)

    def devices(self, gpu: float) -> float:
        """Return the number of devices that trials are charged for: GPUs if a trial takes any, else cores."""
        return self.gpus if gpu > 0 else self.cores

    def gpu_share(self, asked: GpuShare, configs: Iterable[TrialConfig], cpu: float) -> float:
        """Return the GPUs for each of some trials of ``cpu`` cores: what is asked for, or for ``auto``, a share.

        As many trials share a GPU as fit in its memory and as the CPU cores can keep busy.

        Raises:
            ClusterError: torch sees no GPU where there should be one, or a trial can't run.
        """
        if asked != "auto":
            return asked
        kinds = {probe.kind(config): config for config in configs if self.gpus and config.numerics.device != "cpu"}
        share = 0.0
        for config in kinds.values():
            found = self.measure(config)
            if isinstance(found, str):
                raise ClusterError(f"what a trial needs of a GPU can't be measured ({found}); set resources.gpu")
            fitting, busy = int(_FILLED * found[1] // found[0]), int(self.cores / self.gpus / cpu)
            share = max(share, int(10_000 / max(min(fitting, busy), 1)) / 10_000)  # as exactly as Ray keeps it
        return share

    def check(self, cpu: float, gpu: GpuShare, device: str) -> None:
        """Check that a trial fits.

        Raises:
            ClusterError: it does not, and would wait for ever.
        """
        for name, asked, most in (("cpu", cpu, self.cores), ("gpu", 0.0 if gpu == "auto" else gpu, self.gpus)):
            if asked > most:
                raise ClusterError(f"resources.{name} must be at most what this machine has, {most}, but got {asked:g}")
        if device == "cuda" and not self.gpus:
            raise ClusterError("numerics.device is cuda, but this machine has no CUDA device")


def this_machine() -> Place:
    """Return this machine, as far as this process may use it."""
    import torch

    def measure(config: TrialConfig) -> tuple[int, int]:
        return found if isinstance(found := gpu_memory(config), tuple) else (1, 1)  # a plan assumes a whole GPU

    return Place(len(os.sched_getaffinity(0)), torch.cuda.device_count(), measure)


def cluster() -> Place:
    """Return the cluster of the current Ray session."""
    import ray

    total: dict[str, float] = ray.cluster_resources()  # type: ignore[no-untyped-call]
    # One at a time, each in a process of its own: memory that others hold would count as needed.
    measure = ray.remote(num_cpus=0, num_gpus=1, max_calls=1, max_retries=0)(gpu_memory)
    return Place(total.get("CPU", 1.0), total.get("GPU", 0.0), lambda config: ray.get(measure.remote(config)))


def nodes() -> list[str]:
    """Return the ids of the nodes of the current Ray session."""
    return [node["NodeID"] for node in _alive()]


def _alive() -> list[dict[str, Any]]:
    import ray

    found: list[dict[str, Any]] = ray.nodes()  # type: ignore[no-untyped-call]
    return [node for node in found if node["Alive"]]


def check_nodes(cpu: float, gpu: float) -> None:
    """Check that some node of the current Ray session has what a trial asks for.

    Raises:
        ClusterError: none has, so the trial would wait for ever; names what the nodes have.
    """
    have = [(each.get("CPU", 0.0), each.get("GPU", 0.0)) for node in _alive() if (each := node["Resources"])]
    if not any(cpus >= cpu and gpus >= gpu for cpus, gpus in have):
        listed = ", ".join(f"{count} x {kind[0]:g} CPU and {kind[1]:g} GPU" for kind, count in Counter(have).items())
        raise ClusterError(
            f"a trial asks for {cpu:g} CPU and {gpu:g} GPU (resources), which no node has; the cluster has {listed}"
        )


def gpu_memory(config: TrialConfig) -> tuple[int, int] | str:
    """Measure the GPU memory of a trial: see ``Place.measure``."""
    import torch

    if not torch.cuda.is_available():
        return "torch sees no CUDA device"
    try:
        return probe.memory(config)
    except torch.OutOfMemoryError:
        return 1, 1  # it gets a whole GPU, and the trial itself reports the fault
    except (OSError, ValueError) as fault:  # the data set may be on other nodes, or on none
        return str(fault)
