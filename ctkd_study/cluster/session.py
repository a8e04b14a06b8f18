"""Ray: joins a cluster or starts a quiet one on this machine."""

import contextlib
import gc
import logging
import os
import re
import socket
from collections.abc import Iterator

from ctkd_study.errors import ClusterError
from ctkd_study.spec import GpuShare

#: Set before Ray is imported; a user's own setting wins.
QUIET = {
    "RAY_AIR_NEW_OUTPUT": "0",
    "RAY_USAGE_STATS_ENABLED": "0",
    "TUNE_PRINT_ALL_TRIAL_ERRORS": "0",
    "TUNE_WARN_EXCESSIVE_EXPERIMENT_CHECKPOINT_SYNC_THRESHOLD_S": "0",
    # A custom search algorithm may otherwise have one pending trial: actors would start one after the other.
    "TUNE_MAX_PENDING_TRIALS_PG": "16",
    # Epochs of milliseconds are reported together, as CTKDTrainable.train_buffered says. Tune refuses that with
    # `checkpoint_at_end`; a Trainable asks for its last checkpoint itself.
    "TUNE_RESULT_BUFFER_LENGTH": "1000",
    # The record is the worker's; these three copy what it holds, and cost 500 MB.
    "TUNE_DISABLE_AUTO_CALLBACK_LOGGERS": "1",
    # Workers keep the directory of the driver, so that a relative path in a plug-in means the same.
    "RAY_CHDIR_TO_TRIAL_DIR": "0",
}


_HINT = "; if it asks for a token, set RAY_AUTH_MODE=token, and have its token in ~/.ray/auth_token or RAY_AUTH_TOKEN"


@contextlib.contextmanager
def joined(address: str | None, cpus: int | None = None) -> Iterator[None]:
    """Inside the block, Ray is initialised: a running cluster is joined, or a local one is started and stopped again.

    Args:
        address: ``host:port`` or ``auto`` of a running cluster; None starts a local one.
        cpus: cores of a local one; None: all that this process may use.

    Raises:
        ClusterError: no cluster answers at the address.
    """
    for name, value in QUIET.items():
        os.environ.setdefault(name, value)
    import ray

    logging.getLogger("ray.tune").setLevel(logging.CRITICAL)
    if ray.is_initialized():
        yield
        return
    try:
        if address is not None:
            ray.init(address=address, log_to_driver=False, logging_level=logging.ERROR)
        else:
            cpus = cpus or len(os.sched_getaffinity(0))
            # Not None, by which Ray would join what an earlier `ray start` on this machine has left.
            ray.init("local", num_cpus=cpus, include_dashboard=False, log_to_driver=False, logging_level=logging.ERROR)
    except (ConnectionError, RuntimeError, ValueError, ray.exceptions.RayError) as fault:
        # Ray hands no token to an address unasked, and does not always say that this was the fault.
        where, hint = ("this machine", "") if address is None else (address, _HINT)
        raise ClusterError(f"no Ray cluster at {where}: {str(fault).splitlines()[0]}{hint}") from fault
    try:
        yield
    finally:
        # What is left of Ray's objects in cycles is collected now, or later, but by no other thread while Ray goes
        # down: the destructor of a reference would find Ray half gone, and Ray then ends the process without a word.
        gc.collect()
        gc.disable()
        try:
            ray.shutdown()
        finally:
            gc.enable()


def slots(cpu: float, gpu: float) -> int:
    """How many trials of this size run at once on the cluster that was joined; at least 1."""
    import ray

    total: dict[str, float] = ray.cluster_resources()  # type: ignore[no-untyped-call]
    fits = [int(total.get(name, 0.0) // share) for name, share in (("CPU", cpu), ("GPU", gpu)) if share > 0]
    return max(min(fits, default=1), 1)


def devices(gpu: float) -> float:
    """How many devices the cluster that was joined has: GPUs, if a trial takes any of them, else CPU cores."""
    import ray

    total: dict[str, float] = ray.cluster_resources()  # type: ignore[no-untyped-call]
    return float(total.get("GPU" if gpu > 0 else "CPU", 1.0))


def local_slots(cpu: float, gpu: float) -> int:
    """How many trials of this size run at once on this machine, without starting Ray; 0 if none fits."""
    import torch

    fits = [int(len(os.sched_getaffinity(0)) // cpu)]
    if gpu > 0:
        fits.append(int(torch.cuda.device_count() // gpu))
    return min(fits)


def check_local(cpu: float, gpu: GpuShare, device: str) -> None:
    """Sees to it that a trial fits on this machine.

    Raises:
        ClusterError: it does not, and would wait for ever.
    """
    import torch

    cores, gpus = len(os.sched_getaffinity(0)), torch.cuda.device_count()
    for name, asked, there in (("cpu", cpu, cores), ("gpu", 0.0 if gpu == "auto" else gpu, gpus)):
        if asked > there:
            raise ClusterError(f"resources.{name} must be at most what this machine has, {there}, but got {asked:g}")
    if device == "cuda" and not gpus:
        raise ClusterError("numerics.device is cuda, but this machine has no CUDA device")


def check_address(address: str) -> None:
    """Sees to it that something listens at ``host:port``; Ray itself would try for minutes.

    Raises:
        ClusterError: nothing does, or this is no address.
    """
    if address == "auto":
        return
    found = re.fullmatch(r"(?:ray://)?(\[[^\]]+\]|[^/:]+):(\d{1,5})", address)
    if found is None:
        where = "the address of a Ray cluster (--address, else RAY_ADDRESS)"
        raise ClusterError(f"{where} must be host:port or auto, but got {address!r}")
    try:
        socket.create_connection((found[1].strip("[]"), int(found[2])), timeout=10).close()
    except (OSError, OverflowError) as fault:
        raise ClusterError(f"no Ray cluster at {address}: {fault}") from fault
