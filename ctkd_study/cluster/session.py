"""Begins and ends Ray: joins a running cluster, or starts a quiet one on this machine."""

import contextlib
import gc
import logging
import os
import re
import secrets
import socket
import tempfile
from collections.abc import Iterator
from pathlib import Path

from ctkd_study.errors import ClusterError

_log = logging.getLogger(__name__)

#: Set before Ray is imported; a user's own setting wins.
QUIET = {
    "RAY_AIR_NEW_OUTPUT": "0",
    "RAY_USAGE_STATS_ENABLED": "0",
    "TUNE_PRINT_ALL_TRIAL_ERRORS": "0",
    "TUNE_WARN_EXCESSIVE_EXPERIMENT_CHECKPOINT_SYNC_THRESHOLD_S": "0",
    # By default, a search algorithm of one's own may have one pending trial: actors would start one after the other.
    "TUNE_MAX_PENDING_TRIALS_PG": "16",
    # Epochs of milliseconds are reported together: see CTKDTrainable.train_buffered. Tune refuses that together with
    # `checkpoint_at_end`; the Trainable asks for its last checkpoint itself.
    "TUNE_RESULT_BUFFER_LENGTH": "1000",
    # Tune's three loggers copy what the record holds, and cost 500 MB.
    "TUNE_DISABLE_AUTO_CALLBACK_LOGGERS": "1",
    # A local Ray whose servers were killed leaves no process behind for longer.
    "RAY_gcs_rpc_server_reconnect_timeout_s": "10",
    # Workers keep the driver's directory, so that a relative path in a plug-in means the same there.
    "RAY_CHDIR_TO_TRIAL_DIR": "0",
}
_HINT = "; if it asks for a token, set RAY_AUTH_MODE=token, and have its token in ~/.ray/auth_token or RAY_AUTH_TOKEN"


def quiet() -> None:
    """Set the environment that keeps Ray quiet; Ray reads it when it is imported."""
    for name, value in QUIET.items():
        os.environ.setdefault(name, value)


@contextlib.contextmanager
def ray_session(address: str | None, cpus: int | None = None) -> Iterator[None]:
    """Join a Ray cluster for the time of the block, or start a local one; a session that exists is used as it is.

    Args:
        address: ``host:port`` or ``auto`` of a running cluster; None starts a local one.
        cpus: cores of a local one; None: all that this process may use.

    Raises:
        ClusterError: no cluster answers at the address.
    """
    quiet()
    import ray

    logging.getLogger("ray.tune").setLevel(logging.CRITICAL)
    if ray.is_initialized():
        yield
        return
    _protect_token(create=address is None)
    try:
        if address is not None:
            ray.init(address=address, log_to_driver=False, logging_level=logging.ERROR)
        else:
            cpus = cpus or len(os.sched_getaffinity(0))
            # "local", not None: with None, Ray would join a cluster that `ray start` has left on this machine.
            ray.init("local", num_cpus=cpus, include_dashboard=False, log_to_driver=False, logging_level=logging.ERROR)
    except (ConnectionError, RuntimeError, ValueError, ray.exceptions.RayError) as fault:
        # Ray sends no token to an address unless told to, and its error does not always say that one was missing.
        where, hint = ("this machine", "") if address is None else (address, _HINT)
        raise ClusterError(f"no Ray cluster at {where}: {str(fault).splitlines()[0]}{hint}") from fault
    try:
        yield
    finally:
        # Disable garbage collection during shutdown: finalising a Ray reference then aborts the process.
        gc.collect()
        gc.disable()
        try:
            ray.shutdown()
        finally:
            gc.enable()


def _protect_token(create: bool) -> None:
    """Make the file of Ray's token readable by its owner only, which Ray writes readable by everybody.

    Args:
        create: create the token where Ray would; a umask around Ray's start would also apply to what trials write.
    """
    mode, path = os.environ.get("RAY_AUTH_MODE", "token").lower(), Path.home() / ".ray" / "auth_token"
    if create and mode == "disabled":
        _log.warning(
            "RAY_AUTH_MODE=disabled: while the study runs, everybody who reaches this machine over the network can run "
            "code on it in your name, because Ray listens on all of its addresses"
        )
    # An OSError is left to Ray, which says what it misses.
    with contextlib.suppress(OSError):
        if path.exists():
            status = path.stat()
            if status.st_uid == os.getuid() and status.st_mode & 0o077:
                path.chmod(0o600)
        elif create and mode == "token" and not {"RAY_AUTH_TOKEN", "RAY_AUTH_TOKEN_PATH"} & os.environ.keys():
            path.parent.mkdir(parents=True, exist_ok=True)
            with tempfile.NamedTemporaryFile("w", dir=path.parent) as file:  # has mode 0600
                file.write(secrets.token_hex(32))
                file.flush()
                path.hardlink_to(file.name)  # whole or not at all; fails if another process was faster


def check_address(address: str) -> None:
    """Check that something listens at ``host:port``; Ray itself would try for minutes.

    Raises:
        ClusterError: nothing listens there, or this is not an address.
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
