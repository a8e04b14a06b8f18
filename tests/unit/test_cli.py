"""The command line's surface: which options each command has, and how commands end."""

import logging
import os
import signal
import threading
from pathlib import Path

import click
import pytest
from click.testing import CliRunner, Result

from ctkd_study.cli import main

OPTIONS = {
    "run": ["--storage", "--tracking-uri", "--set", "--address", "--fresh", "--retry"],
    "plan": ["--storage", "--set", "--json", "--plot"],
    "compare": ["--storage", "--json", "--html", "--baseline", "--margin", "--charge-teacher"],
    "sync": ["--storage", "--tracking-uri"],
    "ui": ["--storage", "--tracking-uri", "--port", "--host", "--browser"],
    "check": ["--set"],
    "schema": [],
}
"""What each command uses, and nothing that it would ignore."""


def invoke(*arguments: str) -> Result:
    return CliRunner().invoke(main, arguments)


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
    assert (done.exit_code, done.stdout, done.stderr) == (130, "", "ctkd-study: stopped\n")
    assert signal.getsignal(signal.SIGTERM) is before


def test_help_and_success_end_with_0() -> None:
    assert invoke("--help").exit_code == 0
    assert invoke("schema").exit_code == 0
