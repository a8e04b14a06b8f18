"""The command line's surface: which options each command has, and how commands end."""

import io
import logging
import os
import signal
import sys
import threading
from pathlib import Path
from types import SimpleNamespace

import click
import pytest
from click.testing import CliRunner, Result
from rich.console import Console

from ctkd_study.cli import _SafeFormatter, main
from ctkd_study.errors import StudyError
from ctkd_study.study import Study, _storage, _tracked
from ctkd_study.tracking import Projection, TrackingOutcome
from tests.support import studies
from trainables.storage import Storage

OPTIONS = {
    "run": ["--storage", "--tracking-uri", "--set", "--address", "--fresh", "--retry", "--until-decided"],
    "design": ["--storage", "--set", "--json"],
    "plan": ["--storage", "--set", "--json", "--plot"],
    "compare": [
        "--storage",
        "--json",
        "--html",
        "--markdown",
        "--figures",
        "--baseline",
        "--metric",
        "--margin",
        "--charge-teacher",
    ],
    "sync": ["--storage", "--tracking-uri"],
    "ui": ["--storage", "--tracking-uri", "--port", "--host", "--browser"],
    "check": ["--set"],
    "schema": [],
}
"""What each command uses, and nothing that it would ignore."""


def invoke(*arguments: str, **environment: str) -> Result:
    return CliRunner().invoke(main, arguments, env=environment)


def test_each_command_offers_the_options_that_it_uses() -> None:
    found = {
        name: [option.opts[0] for option in command.params if isinstance(option, click.Option)]
        for name, command in main.commands.items()
    }
    assert found == OPTIONS


def test_every_option_says_what_it_does() -> None:
    for name, command in main.commands.items():
        assert command.help, name
        for option in command.params:
            assert not isinstance(option, click.Option) or option.help, f"{name} {option.name}"


@pytest.mark.parametrize(
    "arguments",
    [
        ["check", "study.yaml", "--storage", "results"],
        ["plan", "study.yaml", "--tracking-uri", "sqlite:///m.db"],
        ["compare", "study", "--tracking-uri", "sqlite:///m.db"],
        ["compare", "study", "--set", "margin=1"],
        ["schema", "study.yaml"],
        ["rn"],
    ],
)
def test_what_a_command_does_not_know_is_refused(arguments: list[str]) -> None:
    done = invoke(*arguments)
    assert done.exit_code == 2
    assert "Usage: " in done.output


def test_an_error_is_a_message_and_a_status(tmp_path: Path) -> None:
    done = invoke("check", str(tmp_path / "absent.yaml"))
    assert done.exit_code == 2
    assert done.stderr.startswith("ctkd-study: ")
    assert "absent.yaml" in done.stderr
    assert done.stdout == ""
    (tmp_path / "file").write_text("")
    done = invoke("compare", "small", "--storage", str(tmp_path / "file"))
    assert done.exit_code == 2
    assert done.stderr.startswith("ctkd-study: ")


def test_verbose_logs_the_traceback(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO, "ctkd_study.cli")
    invoke("--verbose", "compare", "small", "--storage", str(tmp_path))
    (logged,) = [entry for entry in caplog.records if entry.name == "ctkd_study.cli"]
    assert logged.exc_info is not None
    assert logged.levelno == logging.INFO


@pytest.mark.parametrize(
    "location",
    ["s3://AKIA0:s3cret@bucket/x", "s3://AKIA0:s3/cret@bucket", "s3://AKIA0@bucket", "S3://AKIA0:s3cret@bucket"],
)
@pytest.mark.parametrize("command", ["plan", "run", "compare", "sync", "ui"])
def test_keys_in_the_storage_are_refused(command: str, location: str, tmp_path: Path) -> None:
    study = tmp_path / "small.yaml"
    study.write_text(studies.file_with())
    done = invoke("--verbose", command, str(study), "--storage", location)
    assert done.exit_code == 2
    assert done.output.splitlines()[-1] == (
        "ctkd-study: --storage must not hold access keys; set AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY instead"
    )
    assert "cret" not in done.output


@pytest.mark.parametrize("location", ["s3://bucket/me@here/x", "s3://bucket/a:b", "me@here/x:y@z"])
def test_a_storage_may_have_such_characters_in_its_path(location: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Storage, "at", lambda place: place)
    assert _storage(location) == location  # type: ignore[comparison-overlap]


@pytest.mark.parametrize(
    ("uri", "advice"),
    [
        ("http://me:s3cret@127.0.0.1:1", "set MLFLOW_TRACKING_USERNAME and MLFLOW_TRACKING_PASSWORD instead"),
        ("mysql://me:s3cret@db/x", "put the whole URI into the environment variable CTKD_STUDY_TRACKING_URI instead"),
    ],
)
@pytest.mark.parametrize("command", ["run", "sync", "ui"])
def test_a_password_on_the_command_line_is_warned_of(command: str, uri: str, advice: str, tmp_path: Path) -> None:
    arguments = (command, str(tmp_path / "absent.yaml"))
    warning = "warning: all users of this machine can read the password in --tracking-uri (`ps`); "
    done = invoke(*arguments, "--tracking-uri", uri)
    assert done.stderr.splitlines()[0] == warning + advice
    assert "s3cret" not in done.output
    for harmless in (["--tracking-uri", "http://127.0.0.1:1"], []):
        assert "warning" not in invoke(*arguments, *harmless, CTKD_STUDY_TRACKING_URI=uri).output


def test_no_control_codes_and_no_passwords_in_errors(monkeypatch: pytest.MonkeyPatch) -> None:
    def named(study: str, storage: str) -> Study:
        raise StudyError("\x1b[31mred\n[red]http://me:s3cret@h")

    monkeypatch.setattr(Study, "named", named)
    done = invoke("compare", "small")
    assert done.stderr == "ctkd-study: \\x1b[31mred\n[red]http://me:***@h\n"


def test_no_control_codes_and_no_passwords_in_the_log() -> None:
    try:
        raise OSError("\x1b[31mhttp://me:s3cret@h\x1b[0m")
    except OSError:
        record = logging.LogRecord("x", logging.INFO, "", 0, "the whole error", None, sys.exc_info())
    text = _SafeFormatter("%(message)s").format(record)
    assert "\\x1b[31mhttp://me:***@h\\x1b[0m" in text
    assert "\x1b" not in text


def test_what_mlflow_says_is_neither_markup_nor_control_codes(monkeypatch: pytest.MonkeyPatch) -> None:
    outcome = TrackingOutcome(complete=False, failures=("[/x] :warning: \x1b[31m",))
    tracker = SimpleNamespace(start=int, changed=str, finish=lambda seconds: outcome)
    monkeypatch.setattr("ctkd_study.study.Tracker", lambda _: tracker)
    stream = io.StringIO()
    with _tracked(Projection("http://me:s3cret@h", "s", "u", Storage.at(".")), Console(file=stream)):
        pass
    assert "behind the records: [/x] :warning: \\x1b[31m. " in stream.getvalue()
    assert "s3cret" not in repr(Projection("http://me:s3cret@h", "s", "u", Storage.at(".")))


def test_a_signal_stops_a_command_quietly(tmp_path: Path) -> None:
    before, pipe = signal.getsignal(signal.SIGTERM), tmp_path / "small.yaml"
    os.mkfifo(pipe)

    def terminate() -> None:
        with pipe.open("wb"):  # once the command reads
            os.kill(os.getpid(), signal.SIGTERM)
            told.wait(10)

    told, writer = threading.Event(), threading.Thread(target=terminate)
    writer.start()
    done = invoke("check", str(pipe))
    told.set()
    writer.join()
    assert (done.exit_code, done.stdout, done.stderr) == (143, "", "ctkd-study: stopped\n")
    assert signal.getsignal(signal.SIGTERM) is before


def test_help_and_success_end_with_0() -> None:
    assert invoke("--help").exit_code == 0
    assert invoke("schema").exit_code == 0
