"""Access to an MLflow store: its client, a study's experiment, and tracking URIs.

MLflow takes seconds to import, so it is imported where it is used, here and in ``store.py`` alone.
"""

import logging
import os
import re
from pathlib import Path
from typing import TYPE_CHECKING

import filelock

from ctkd_study.errors import StudyError
from ctkd_study.safe_text import visible, without_passwords
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

#: Packages of the drivers whose module has another name.
_PACKAGES = {
    "psycopg": "'psycopg[binary]'",
    "psycopg2": "psycopg2-binary",
    "MySQLdb": "mysqlclient",
    "mysql": "mysql-connector-python",
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
    """Set ``ENVIRONMENT`` where the user has not, and keep MLflow quiet; call it before MLflow is imported."""
    for name, value in ENVIRONMENT.items():
        os.environ.setdefault(name, value)
    # It logs every error of its database, e.g. a full disk, with a traceback. It raises it, too: the outcome names it.
    logging.getLogger("mlflow.store.db.utils").setLevel(logging.CRITICAL)


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
    """Check a tracking URI: its form, and that the driver of its database is installed.

    Raises:
        StudyError: the URI can never work here.
    """
    file = sqlite_file(uri)
    # Not shown, because nobody can tell where its password ends.
    if file is None and (not uri.isprintable() or " " in uri):
        raise StudyError("--tracking-uri must have no spaces or control characters; write a space as %20")
    if not re.fullmatch(r"sqlite:///.+|https?://.+|(postgresql|mysql|mssql)(\+\w+)?://.+", uri):
        forms = "http(s)://..., sqlite:///FILE or postgresql://..."
        raise StudyError(f"--tracking-uri must be {forms}, but got {without_passwords(uri)!r}")
    if file is None and not uri.startswith(("http:", "https:")):
        _check_driver(uri)


def _check_driver(uri: str) -> None:
    scheme = uri.partition("://")[0]
    from sqlalchemy.engine import make_url
    from sqlalchemy.exc import ArgumentError

    try:
        dialect = make_url(uri).get_dialect()
        dialect.import_dbapi()
    except ModuleNotFoundError as error:
        package = _PACKAGES.get(str(error.name), error.name)
        raise StudyError(
            f"--tracking-uri {scheme}://... needs a Python package that is not installed: pip install {package}"
        ) from None
    except ImportError as error:  # e.g. a library of the system is missing
        raise StudyError(f"the driver of --tracking-uri {scheme}://... cannot be loaded: {first_line(error)}") from None
    except ValueError:  # its text quotes what it takes for the port, which may be a part of the password
        raise StudyError(f"--tracking-uri {scheme}://... must have a number as its port") from None
    except ArgumentError as error:  # an unknown driver, too
        raise StudyError(f"--tracking-uri {without_passwords(uri)!r} is not usable: {first_line(error)}") from None
    if dialect.is_async:
        raise StudyError(f"--tracking-uri {scheme}://... must name a driver that is not asynchronous, as MLflow needs")


def password_advice(uri: str) -> str | None:
    """Say how to give the password of a URI instead, e.g. for one on a command line; None if it has no password."""
    if without_passwords(uri) == uri:
        return None
    if uri.startswith(("http://", "https://")):
        return "set MLFLOW_TRACKING_USERNAME and MLFLOW_TRACKING_PASSWORD instead"
    return "put the whole URI into the environment variable CTKD_STUDY_TRACKING_URI instead"


def default_uri(storage: Storage, otherwise: Path = Path("results")) -> str:
    """Return the default tracking URI: ``mlflow.db`` in a local storage, else in the folder ``otherwise``."""
    folder = Path(storage.root) if storage.is_local else otherwise
    return f"sqlite:///{(folder / 'mlflow.db').absolute()}"


def sqlite_file(uri: str) -> Path | None:
    """Return the file of an SQLite URI; None for any other store."""
    return Path(uri.removeprefix("sqlite:///")) if uri.startswith("sqlite:///") else None


def first_line(error: Exception) -> str:
    """Return the first line of an error's text, safe to print, or the error's type if it has no text."""
    text = visible(without_passwords(str(error).strip()))
    return text.splitlines()[0] if text else type(error).__name__
