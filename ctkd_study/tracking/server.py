"""MLflow's server, and the address at which it shows a study."""

import os
import sys

from ctkd_study.errors import TrackingError
from ctkd_study.tracking.client import ENVIRONMENT, client_of, find_experiment, first_line, sqlite_file
from ctkd_study.tracking.view import VIEW_TAG, runs_page


def comparison_url(uri: str, uid: str, server: str | None = None) -> str:
    """The address of a study's comparison: its preset view where it has one, else its plain page of runs.

    Args:
        uri: MLflow's tracking URI.
        uid: the study's.
        server: address of an MLflow server on that store; by default ``uri`` itself.

    Raises:
        TrackingError: MLflow does not answer, or has no experiment of this study.
    """
    try:
        experiment = find_experiment(client_of(uri), uid)
    except Exception as error:
        raise TrackingError(f"MLflow at {uri} does not answer: {first_line(error)}") from error
    if experiment is None or experiment.lifecycle_stage == "deleted":
        raise TrackingError(f"MLflow at {uri} has no experiment of this study; `ctkd-study sync` makes one")
    return runs_page(server or uri, experiment.experiment_id, VIEW_TAG in experiment.tags)


def server_command(uri: str, host: str, port: int) -> list[str]:
    """The command line of an MLflow server on a store, to be started with ``server_environment``."""
    command = [sys.executable, "-m", "mlflow", "server", "--backend-store-uri", uri, "--workers", "1"]
    if (database := sqlite_file(uri)) is not None:
        command += ["--artifacts-destination", str(database.parent.absolute() / "mlartifacts")]
    return [*command, "--host", host, "--port", str(port)]


def server_environment() -> dict[str, str]:
    """The environment of an MLflow server: quiet, and without the job workers, which take 2 GB."""
    return {"MLFLOW_SERVER_ENABLE_JOB_EXECUTION": "false"} | ENVIRONMENT | dict(os.environ)
