"""Access to an MLflow store: its client, a study's experiment, and tracking URIs.

MLflow takes seconds to import, so it is imported where it is used, here and in ``store.py`` alone.
"""

import os
import re
from pathlib import Path
from typing import TYPE_CHECKING

import filelock

from ctkd_study.errors import StudyError
from trainables.storage import Storage

if TYPE_CHECKING:
    from mlflow.entities import Experiment
    from mlflow.tracking import MlflowClient

#: MLflow's settings, which it reads at import and at every request; those that the user has set stay. MLflow's own
#: retries would block for four minutes on a dead server; the tracker does its own.
ENVIRONMENT = {
    "MLFLOW_DISABLE_TELEMETRY": "true",
    "MLFLOW_LOGGING_LEVEL": "WARNING",
    "MLFLOW_SUPPRESS_PRINTING_URL_TO_STDOUT": "true",
    "MLFLOW_ENABLE_ARTIFACTS_PROGRESS_BAR": "false",
    "MLFLOW_HTTP_REQUEST_MAX_RETRIES": "1",
    "MLFLOW_HTTP_REQUEST_TIMEOUT": "10",
    "MLFLOW_HTTP_REQUEST_BACKOFF_FACTOR": "1",
}

#: Error codes that concern one run; any other means that the whole store is unavailable.
_OF_ONE_RUN = frozenset(
    {"INVALID_PARAMETER_VALUE", "RESOURCE_DOES_NOT_EXIST", "RESOURCE_ALREADY_EXISTS", "INVALID_STATE", "BAD_REQUEST"}
)


def is_outage(error: Exception) -> bool:
    """Whether an error means that the whole store is unavailable, so that other runs would fail, too."""
    from mlflow.exceptions import MlflowException

    return error.error_code not in _OF_ONE_RUN if isinstance(error, MlflowException) else isinstance(error, OSError)


def set_environment() -> None:
    """Set ``ENVIRONMENT`` where the user has not; call it before MLflow is imported."""
    for name, value in ENVIRONMENT.items():
        os.environ.setdefault(name, value)


def client_of(uri: str) -> "MlflowClient":
    """Return a client for a store; a missing SQLite database is created."""
    set_environment()
    from mlflow.tracking import MlflowClient

    database = sqlite_file(uri)
    if database is None:
        return MlflowClient(uri, uri)
    database.parent.mkdir(parents=True, exist_ok=True)
    # If two processes open a new database at once, both create its tables and one of them crashes.
    with filelock.FileLock(database.with_name(f".{database.name}.lock"), timeout=60):
        client = MlflowClient(uri, uri)
        client.search_experiments(max_results=1)
    return client


def find_experiment(client: "MlflowClient", uid: str) -> "Experiment | None":
    """Return a study's experiment, which may be deleted; of several, prefer active ones, then the oldest."""
    from mlflow.entities import ViewType

    found = client.search_experiments(ViewType.ALL, filter_string=f"tags.`ctkd.uid` = '{uid}'")
    return min(found, key=lambda each: (each.lifecycle_stage == "deleted", int(each.experiment_id)), default=None)


def check_uri(uri: str) -> None:
    """Check the form of a tracking URI.

    Raises:
        StudyError: the URI can never work.
    """
    if not re.fullmatch(r"sqlite:///.+|https?://.+|(postgresql|mysql|mssql)(\+\w+)?://.+", uri):
        forms = "http(s)://..., sqlite:///FILE or postgresql+psycopg2://..."
        raise StudyError(f"--tracking-uri must be {forms}, but got {without_passwords(uri)!r}")


def default_uri(storage: Storage, otherwise: Path = Path("results")) -> str:
    """Return the default tracking URI: ``mlflow.db`` in a local storage, else in the folder ``otherwise``."""
    folder = Path(storage.root) if storage.is_local else otherwise
    return f"sqlite:///{(folder / 'mlflow.db').absolute()}"


def sqlite_file(uri: str) -> Path | None:
    """Return the file of an SQLite URI; None for any other store."""
    return Path(uri.removeprefix("sqlite:///")) if uri.startswith("sqlite:///") else None


def without_passwords(text: str) -> str:
    """Replace the password of every URI in a text by ``***``."""
    text = re.sub(r"(//[^\s/:@]*):\S*@", r"\1:***@", text)
    return re.sub(r"\b((?:password|pwd)=)[^\s&;'\"]+", r"\1***", text, flags=re.IGNORECASE)


def first_line(error: Exception) -> str:
    """Return the first line of an error's text without passwords, or the error's type if it has no text."""
    text = without_passwords(str(error).strip())
    return text.splitlines()[0] if text else type(error).__name__
