"""Tracking URIs, passwords, and which errors mean that the whole store is unavailable."""

import os
import re
import sys
import traceback
import types
from pathlib import Path
from typing import Any

import pytest
from mlflow.exceptions import MlflowException
from mlflow.protos.databricks_pb2 import ErrorCode

from ctkd_study.errors import StudyError
from ctkd_study.tracking.client import (
    check_uri,
    client_of,
    default_uri,
    find_experiment,
    first_line,
    is_outage,
    password_advice,
    set_environment,
)
from tests.support.tracking_cases import free_port
from trainables.storage import Storage


@pytest.mark.parametrize(
    ("code", "outage"),
    [
        ("INVALID_PARAMETER_VALUE", False),
        ("RESOURCE_DOES_NOT_EXIST", False),
        ("RESOURCE_ALREADY_EXISTS", False),
        ("INVALID_STATE", False),
        ("BAD_REQUEST", False),
        ("INTERNAL_ERROR", True),
        ("TEMPORARILY_UNAVAILABLE", True),
        ("PERMISSION_DENIED", True),
    ],
)
def test_which_refusals_are_outages(code: str, outage: bool) -> None:
    assert is_outage(MlflowException("no", ErrorCode.Value(code))) is outage


def test_other_errors() -> None:
    assert is_outage(ConnectionRefusedError())
    assert not is_outage(ValueError("nan"))


def test_a_server_that_does_not_listen_is_an_outage() -> None:
    with pytest.raises(MlflowException) as caught:
        client_of(f"http://me:s3cret@127.0.0.1:{free_port()}").search_experiments()
    assert is_outage(caught.value)
    assert "s3cret" in str(caught.value), "MLflow shows it, so we must not"
    assert "s3cret" not in first_line(caught.value)


@pytest.mark.parametrize(
    "uri",
    [
        "sqlite:///results/mlflow.db",
        "sqlite:////tmp/mlflow.db",
        "http://localhost:5000",
        "https://mlflow.example.org/path",
        "sqlite:////home/me/my results/mlflow.db",
    ],
)
def test_uris_that_mlflow_takes(uri: str) -> None:
    check_uri(uri)


@pytest.mark.parametrize(
    ("uri", "module", "package"),
    [
        ("postgresql://me:s3cret@db/mlflow", "psycopg", "'psycopg[binary]'"),
        ("postgresql+psycopg2://me:s3cret@db/mlflow", "psycopg2", "psycopg2-binary"),
        ("mysql://me:s3cret@db/mlflow", "MySQLdb", "mysqlclient"),
        ("mysql+pymysql://me:s3cret@db/mlflow", "pymysql", "pymysql"),
        ("mssql://me:s3cret@db/mlflow", "pyodbc", "pyodbc"),
    ],
)
def test_a_database_needs_its_driver(uri: str, module: str, package: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, module, None)  # as if it were not installed
    with pytest.raises(StudyError, match=re.escape(f"not installed: pip install {package}")) as error:
        check_uri(uri)
    assert "s3cret" not in str(error.value)
    monkeypatch.setitem(sys.modules, module, types.ModuleType(module))
    check_uri(uri)


@pytest.mark.parametrize(
    ("uri", "rule"),
    [
        ("postgresql+nodriver://me:s3cret@db/mlflow", "is not usable: Can't load plugin"),
        ("postgresql+asyncpg://me:s3cret@db/mlflow", "must name a driver that is not asynchronous"),
        ("postgresql://me:p@x:s3cret/mlflow", "must have a number as its port"),
        ("http://me:s3 s3cret@host", "must have no spaces"),
        ("http://me:s3\ns3cret@host", "must have no spaces or control characters"),
    ],
)
def test_uris_that_cannot_work_are_refused(uri: str, rule: str, monkeypatch: pytest.MonkeyPatch) -> None:
    asyncpg: Any = types.ModuleType("asyncpg")
    monkeypatch.setitem(sys.modules, "asyncpg", asyncpg)
    with pytest.raises(StudyError, match=rule) as error:
        check_uri(uri)
    assert "s3cret" not in "".join(traceback.format_exception(error.value))


def test_a_driver_that_cannot_be_loaded_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "pymysql.py").write_text("raise ImportError('no libraries\\nmore')")
    monkeypatch.delitem(sys.modules, "pymysql", raising=False)
    monkeypatch.syspath_prepend(str(tmp_path))
    with pytest.raises(StudyError, match=re.escape("mysql+pymysql://... cannot be loaded: no libraries")):
        check_uri("mysql+pymysql://db/mlflow")


def test_how_to_give_a_password_instead() -> None:
    assert password_advice("http://localhost:5000") is None
    assert password_advice("postgresql://me@db/mlflow") is None
    assert password_advice("https://me:s3cret@h") == (
        "set MLFLOW_TRACKING_USERNAME and MLFLOW_TRACKING_PASSWORD instead"
    )
    for uri in ("postgresql://me:s3cret@db/mlflow", "mysql://db/x?password=s3cret"):
        assert "CTKD_STUDY_TRACKING_URI" in (password_advice(uri) or "")


@pytest.mark.parametrize(
    "uri", ["", "results", "sqlite:///", "sqlite://mlflow.db", "http://", "file:///tmp", "ftp://h/"]
)
def test_other_uris_are_refused(uri: str) -> None:
    with pytest.raises(StudyError, match="--tracking-uri must be"):
        check_uri(uri)


def test_a_refused_uri_is_shown_without_its_password() -> None:
    with pytest.raises(StudyError, match=r"but got 'postgres://me:\*\*\*@db/mlflow'"):
        check_uri("postgres://me:s3cret@db/mlflow")


@pytest.mark.parametrize(
    ("error", "line"),
    [
        (ValueError("  one\ntwo"), "one"),
        (ValueError(), "ValueError"),
        (ValueError(" \n"), "ValueError"),
        (OSError("http://me:s3cret@h\nmore"), "http://me:***@h"),
        (OSError("\x1b[31mred"), r"\x1b[31mred"),
    ],
)
def test_the_first_line_of_an_error(error: Exception, line: str) -> None:
    assert first_line(error) == line


def test_the_default_store_lies_in_a_local_storage(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    assert default_uri(Storage.at("records")) == f"sqlite:///{tmp_path}/records/mlflow.db"
    remote = Storage.at("s3://bucket/x")
    assert default_uri(remote) == f"sqlite:///{tmp_path}/results/mlflow.db"
    assert default_uri(remote, tmp_path / "else") == f"sqlite:///{tmp_path}/else/mlflow.db"


def test_what_the_user_has_set_stays(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MLFLOW_HTTP_REQUEST_TIMEOUT", "77")
    monkeypatch.setenv("MLFLOW_DISABLE_TELEMETRY", "")
    monkeypatch.delenv("MLFLOW_DISABLE_TELEMETRY")
    set_environment()
    assert os.environ["MLFLOW_HTTP_REQUEST_TIMEOUT"] == "77"
    assert os.environ["MLFLOW_DISABLE_TELEMETRY"] == "true"
    assert os.environ["MLFLOW_HTTP_REQUEST_MAX_RETRIES"] == "1"


def test_of_several_experiments_the_oldest_active_one_is_the_studys(database: str) -> None:
    client = client_of(database)
    deleted, oldest, other, newest = (
        client.create_experiment(name, tags={"ctkd.uid": "v" if name == "other" else "u"})
        for name in ("deleted", "oldest", "other", "newest")
    )
    client.delete_experiment(deleted)
    found = [find_experiment(client, uid) for uid in ("u", "v", "w")]
    assert [each and each.experiment_id for each in found] == [oldest, other, None]
    for each in (oldest, newest):
        client.delete_experiment(each)
    last = find_experiment(client, "u")
    assert last is not None
    assert (last.experiment_id, last.lifecycle_stage) == (deleted, "deleted")
