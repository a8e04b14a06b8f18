"""A password planted in MLflow's URI is found nowhere: in no output, file or command line."""

import base64
import contextlib
import http.server
import json
import os
import shutil
import subprocess
import sys
import tempfile
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import psutil
import pytest
from mlflow.exceptions import MlflowException

from ctkd_study.records import StudyFolder
from ctkd_study.study import Study
from ctkd_study.tracking.client import client_of
from tests.support import settings, studies
from tests.support.tracking_cases import free_port, run_names, wait_for
from trainables.storage import Storage

PASSWORD = "pl4nted-s3cret"

#: A database with a login, as MLflow sees it: PostgreSQL's form of URI, a required password; in truth an SQLite file.
_DIALECT = f"""
from sqlalchemy.dialects.sqlite.pysqlite import SQLiteDialect_pysqlite

class Dialect(SQLiteDialect_pysqlite):
    supports_statement_cache = True

    def create_connect_args(self, url):
        if url.password != {PASSWORD!r}:
            raise ValueError(f"wrong password: {{url.render_as_string(hide_password=False)}}")
        return ["/" + url.database], {{"check_same_thread": False}}
"""


@pytest.fixture
def environment(tmp_path: Path) -> Iterator[dict[str, str]]:
    """Of a command: with the dialect, a home of its own, and Ray's files in a folder of their own."""
    package = tmp_path / "package"
    (package / "planted-1.dist-info").mkdir(parents=True)
    (package / "planted.py").write_text(_DIALECT)
    (package / "planted-1.dist-info" / "METADATA").write_text("Metadata-Version: 2.1\nName: planted\nVersion: 1\n")
    entry_points = "[sqlalchemy.dialects]\npostgresql.planted = planted:Dialect\n"
    (package / "planted-1.dist-info" / "entry_points.txt").write_text(entry_points)
    short = tempfile.mkdtemp(prefix="r", dir="/tmp")  # Ray's sockets lie in it, and their paths are bounded
    paths = [str(package), *filter(None, [os.environ.get("PYTHONPATH")])]
    (tmp_path / "home").mkdir()
    own = {"PYTHONPATH": os.pathsep.join(paths), "HOME": str(tmp_path / "home"), "RAY_TMPDIR": short, "COLUMNS": "120"}
    yield {**os.environ, **own}
    shutil.rmtree(short, ignore_errors=True)


class Lines:
    """Collects the command lines of all processes of this machine that hold the password."""

    def __init__(self) -> None:
        self.found: set[str] = set()
        self.looks = 0
        self._end = threading.Event()
        self._thread = threading.Thread(target=self._look)

    def __enter__(self) -> "Lines":
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._end.set()
        self._thread.join()

    def _look(self) -> None:
        while not self._end.wait(0.02):
            self.looks += 1
            for process in Path("/proc").glob("[0-9]*"):
                with contextlib.suppress(OSError):
                    line = (process / "cmdline").read_bytes()
                    if PASSWORD.encode() in line:
                        self.found.add(line.decode(errors="replace"))


def files_with_password(*folders: Path) -> list[Path]:
    return [
        path
        for folder in folders
        for path in folder.rglob("*")
        if path.is_file() and "package" not in path.parts and PASSWORD.encode() in path.read_bytes()
    ]


def command(folder: Path, environment: dict[str, str], *arguments: str, **more: str) -> "subprocess.Popen[str]":
    return subprocess.Popen(
        [sys.executable, "-m", "ctkd_study.cli", *arguments],
        cwd=folder,
        env={**environment, **more},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        start_new_session=True,
    )


@pytest.mark.slow
def test_a_run_without_mlflow(tmp_path: Path, environment: dict[str, str]) -> None:
    keys = studies.plain(recipe={**settings.RECIPE, "epochs": 2}, student=settings.STUDENT, seeds=2)
    keys |= {"distiller": {"name": "none"}, "arms": {"slow": {"recipe": {"lr": 0.01}}, "fast": {"recipe": {"lr": 0.1}}}}
    del keys["teacher"]
    (tmp_path / "small.yaml").write_text(json.dumps(keys))
    uri = f"http://me:{PASSWORD}@127.0.0.1:{free_port()}"
    with Lines() as lines:
        process = command(tmp_path, environment, "--verbose", "run", "small.yaml", CTKD_STUDY_TRACKING_URI=uri)
        output, _ = process.communicate(timeout=170)
    assert process.returncode == 0, output
    assert "MLflow is behind the records: " in output
    assert "http://me:***@127.0.0.1" in output
    assert PASSWORD not in output
    assert files_with_password(tmp_path, Path(environment["RAY_TMPDIR"])) == []
    assert list(Path(environment["RAY_TMPDIR"]).rglob("raylet.out")), "Ray's log was looked at"
    assert lines.found == set()
    assert lines.looks > 10
    token = tmp_path / "home" / ".ray" / "auth_token"
    assert token.stat().st_mode & 0o777 == 0o600


@pytest.fixture
def results(tmp_path: Path) -> Path:
    """A storage that holds a study without trials."""
    StudyFolder(Storage.at(str(tmp_path / "results")), "small").store(Study(**studies.plain()).spec)
    return tmp_path / "results"


@pytest.mark.thorough
def test_a_command_that_fails(results: Path, environment: dict[str, str]) -> None:
    for uri in (
        f"http://me:{PASSWORD}@127.0.0.1:{free_port()}",
        f"postgresql+planted://me:{PASSWORD}-is-wrong@{results}/planted.db",
    ):
        for name in ("sync", "ui"):
            process = command(results.parent, environment, "--verbose", name, "small", "--tracking-uri", uri)
            output, _ = process.communicate(timeout=100)
            assert process.returncode == 1, output
            assert output.startswith("warning: all users of this machine can read the password"), output
            assert "://me:***@" in output
            assert PASSWORD not in output
    assert files_with_password(results) == []


@pytest.mark.thorough
def test_a_database_with_a_login(results: Path, environment: dict[str, str]) -> None:
    uri = f"postgresql+planted://me:{PASSWORD}@{results}/planted.db"
    port = free_port()
    with Lines() as lines:
        process = command(results.parent, environment, "sync", "small", CTKD_STUDY_TRACKING_URI=uri)
        output, _ = process.communicate(timeout=100)
        assert process.returncode == 0, output
        process = command(
            results.parent, environment, "ui", "small", "--no-browser", f"--port={port}", CTKD_STUDY_TRACKING_URI=uri
        )
        try:
            wait_for(lambda: len(psutil.Process(process.pid).children(recursive=True)) > 2)
            wait_for(lambda: any(each.laddr.port == port for each in psutil.net_connections() if each.laddr))
        finally:
            process.terminate()
            more, _ = process.communicate(timeout=60)
    assert process.returncode == 143
    assert f"MLflow serves postgresql+planted://me:***@{results}/planted.db at" in more
    assert PASSWORD not in output + more
    assert files_with_password(results) == []
    assert lines.found == set()


class Login(http.server.BaseHTTPRequestHandler):
    """An MLflow server with a login and without experiments."""

    def do_GET(self) -> None:
        self._answer()

    def do_POST(self) -> None:
        self.rfile.read(int(self.headers.get("Content-Length", 0)))
        self._answer()

    def _answer(self) -> None:
        known = base64.b64encode(f"me:{PASSWORD}".encode()).decode()
        self.send_response(200 if self.headers.get("Authorization") == f"Basic {known}" else 401)
        self.end_headers()
        self.wfile.write(b"{}")

    def log_message(self, format: str, *args: Any) -> None:
        pass


def test_the_password_of_a_server_comes_from_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Login) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        uri = f"http://127.0.0.1:{server.server_port}"
        with pytest.raises(MlflowException):
            client_of(uri).search_experiments()
        monkeypatch.setenv("MLFLOW_TRACKING_USERNAME", "me")
        monkeypatch.setenv("MLFLOW_TRACKING_PASSWORD", PASSWORD)
        assert run_names(uri, "u") == []
        server.shutdown()
