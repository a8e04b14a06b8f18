"""The way to an MLflow store: quiet, with short patience, and safe for new databases.

MLflow takes seconds to import, so it is imported where it is used, here and in ``tracking_store.py`` alone.
"""

import contextlib
import fcntl
import os
import re
import time
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

from ctkd_study.errors import StudyError
from trainables.storage import Storage

if TYPE_CHECKING:
    from mlflow.entities import Experiment
    from mlflow.tracking import MlflowClient

#: MLflow reads these when it is imported and at every request. What the user has set holds. Its own retries would block
#: for four minutes on a dead server; the tracker has retries of its own.
ENVIRONMENT = {
    "MLFLOW_DISABLE_TELEMETRY": "true",
    "MLFLOW_LOGGING_LEVEL": "WARNING",
    "MLFLOW_SUPPRESS_PRINTING_URL_TO_STDOUT": "true",
    "MLFLOW_ENABLE_ARTIFACTS_PROGRESS_BAR": "false",
    "MLFLOW_HTTP_REQUEST_MAX_RETRIES": "1",
    "MLFLOW_HTTP_REQUEST_TIMEOUT": "10",
    "MLFLOW_HTTP_REQUEST_BACKOFF_FACTOR": "1",
}

#: Refusals that concern one run; anything else means that the store as a whole does not answer.
_OF_ONE_RUN = frozenset(
    {"INVALID_PARAMETER_VALUE", "RESOURCE_DOES_NOT_EXIST", "RESOURCE_ALREADY_EXISTS", "INVALID_STATE", "BAD_REQUEST"}
)


def is_outage(error: Exception) -> bool:
    """Whether an error means that the store as a whole does not answer, so that another run need not be tried."""
    from mlflow.exceptions import MlflowException

    if isinstance(error, MlflowException):
        return error.error_code not in _OF_ONE_RUN
    return isinstance(error, OSError)


def set_environment() -> None:
    """Sets ``ENVIRONMENT`` where the user has not; it must come before MLflow is imported."""
    for name, value in ENVIRONMENT.items():
        os.environ.setdefault(name, value)


def client_of(uri: str) -> "MlflowClient":
    """A client for a store; an SQLite database is created where there is none."""
    set_environment()
    from mlflow.tracking import MlflowClient

    database = sqlite_file(uri)
    if database is None:
        return MlflowClient(uri, uri)
    database.parent.mkdir(parents=True, exist_ok=True)
    # Two processes that open a new database at once both create its tables, and one of them dies of it.
    with locked(database.with_name(f".{database.name}.lock"), patience=60.0):
        client = MlflowClient(uri, uri)
        client.search_experiments(max_results=1)
    return client


def find_experiment(client: "MlflowClient", uid: str) -> "Experiment | None":
    """The experiment of a study, deleted or not; the active and the older one first."""
    from mlflow.entities import ViewType

    found = client.search_experiments(ViewType.ALL, filter_string=f"tags.`ctkd.uid` = '{uid}'")
    return min(found, key=lambda each: (each.lifecycle_stage == "deleted", int(each.experiment_id)), default=None)


def check_uri(uri: str) -> None:
    """Sees to it that a tracking URI is one.

    Raises:
        StudyError: it is not, and sending to it could never work.
    """
    if not re.fullmatch(r"sqlite:///.+|https?://.+|(postgresql|mysql|mssql)(\+\w+)?://.+", uri):
        raise StudyError(
            f"--tracking-uri must be http(s)://..., sqlite:///FILE or postgresql+psycopg2://..., but got {uri!r}"
        )


def default_uri(storage: Storage, otherwise: Path = Path("results")) -> str:
    """The tracking URI where the user names none: ``mlflow.db`` in a local storage, else in folder ``otherwise``."""
    folder = Path(storage.root) if storage.is_local else otherwise
    return f"sqlite:///{(folder / 'mlflow.db').absolute()}"


def sqlite_file(uri: str) -> Path | None:
    """The file of an SQLite URI; None for any other store."""
    return Path(uri.removeprefix("sqlite:///")) if uri.startswith("sqlite:///") else None


def artifact_location(uri: str, uid: str) -> str | None:
    """Where a study's artifacts go: beside an SQLite database, else where the store puts them."""
    database = sqlite_file(uri)
    return (database.parent.absolute() / "mlartifacts" / uid).as_uri() if database is not None else None


@contextlib.contextmanager
def locked(path: Path, patience: float) -> Iterator[None]:
    """Holds a lock between processes of this machine; the system frees it when the holder dies.

    Raises:
        TimeoutError: another process held it for ``patience`` seconds.
    """
    with path.open("a") as file:
        until = time.monotonic() + patience
        while True:
            try:
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
                break
            except BlockingIOError:
                if time.monotonic() > until:
                    raise TimeoutError(f"another process has held {path} for {patience:.0f} s") from None
                time.sleep(0.05)
        yield


def first_line(error: Exception) -> str:
    """The first line of an error's text; its type where it has none."""
    text = str(error).strip()
    return text.splitlines()[0] if text else type(error).__name__
