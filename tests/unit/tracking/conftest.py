"""A new SQLite store and a study for each test; MLflow takes seconds to create a database, so it is copied."""

import shutil
from pathlib import Path

import pytest

from ctkd_study.tracking.client import client_of
from tests.support.tracking_cases import Study


@pytest.fixture(scope="session")
def empty_database(tmp_path_factory: pytest.TempPathFactory) -> Path:
    file = tmp_path_factory.mktemp("database") / "empty.db"
    client_of(f"sqlite:///{file}")
    return file


@pytest.fixture
def database(empty_database: Path, tmp_path: Path) -> str:
    """The URI of a store of its own."""
    return f"sqlite:///{shutil.copy(empty_database, tmp_path / 'mlflow.db')}"


@pytest.fixture
def study(tmp_path: Path) -> Study:
    return Study(tmp_path / "studies", "0123456789abcdef")
