"""How MLflow's server is started, and what is said when it cannot be."""

import socket

import pytest

from ctkd_study.errors import StudyError, TrackingError
from ctkd_study.tracking.client import client_of
from ctkd_study.tracking.projection import sync
from ctkd_study.tracking.server import comparison_url, serve, server_command, server_environment
from tests.support.tracking_cases import Study, free_port


def test_the_servers_command_holds_no_password() -> None:
    command = server_command("postgresql://me:s3cret@db/x", "127.0.0.1", 5001)
    assert command[1:] == ["-m", "mlflow", "server", "--workers", "1", "--host", "127.0.0.1", "--port", "5001"]
    command = server_command("sqlite:////data/mlflow.db", "0.0.0.0", 80)
    assert command[-2:] == ["--artifacts-destination", "/data/mlartifacts"]


def test_the_servers_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MLFLOW_LOGGING_LEVEL", "DEBUG")
    monkeypatch.setenv("MLFLOW_BACKEND_STORE_URI", "sqlite:///theirs.db")
    monkeypatch.delenv("MLFLOW_SERVER_ENABLE_JOB_EXECUTION", raising=False)
    environment = server_environment("sqlite:///ours.db")
    assert environment["MLFLOW_BACKEND_STORE_URI"] == "sqlite:///ours.db"
    assert environment["MLFLOW_LOGGING_LEVEL"] == "DEBUG"
    assert environment["MLFLOW_SERVER_ENABLE_JOB_EXECUTION"] == "false"
    assert environment["MLFLOW_DISABLE_TELEMETRY"] == "true"
    assert "PATH" in environment


def test_the_address_of_a_comparison(study: Study, database: str) -> None:
    with pytest.raises(TrackingError, match="no experiment of this study; `ctkd-study sync` creates it"):
        comparison_url(database, study.uid)
    sync(study.projection(database))
    page = "/#/experiments/1/runs?workflowType=machine_learning&compareRunsMode=CHART"
    address = comparison_url(database, study.uid, "http://127.0.0.1:5000")
    assert address == f"http://127.0.0.1:5000{page}&viewStateShareKey=by-arm"
    client_of(database).delete_experiment_tag("1", "mlflow.sharedViewState.by-arm")
    assert comparison_url(database, study.uid, "http://127.0.0.1:5000") == f"http://127.0.0.1:5000{page}"
    client_of(database).delete_experiment("1")
    with pytest.raises(TrackingError, match="no experiment of this study"):
        comparison_url(database, study.uid)


def test_a_dead_server_is_named_without_its_password() -> None:
    port = free_port()
    with pytest.raises(TrackingError) as caught:
        comparison_url(f"http://me:s3cret@127.0.0.1:{port}", "u")
    assert str(caught.value).startswith(f"MLflow at http://me:***@127.0.0.1:{port} does not answer: ")
    assert "s3cret" not in str(caught.value)


def test_a_port_that_is_taken(database: str) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        with pytest.raises(StudyError, match=f"port {port} of 127.0.0.1 is taken; choose another with --port"):
            serve(database, "u", "127.0.0.1", port, browser=False)


def test_a_wrong_uri_is_refused() -> None:
    with pytest.raises(StudyError, match="--tracking-uri must be"):
        serve("garbage", "u", "127.0.0.1", free_port(), browser=False)
