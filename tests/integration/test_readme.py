"""What the README shows is what happens."""

import os
import re
import subprocess
import sys
from pathlib import Path

import click
import pytest

from ctkd_study import Study
from ctkd_study.cli import main

ROOT = Path(__file__).parents[2]


def blocks(language: str) -> list[str]:
    return re.findall(rf"```{language}\n(.*?)```", (ROOT / "README.md").read_text(), flags=re.DOTALL)


def test_the_study_in_python_and_in_yaml_are_the_shipped_one(tmp_path: Path) -> None:
    namespace: dict[str, object] = {"__name__": "readme"}
    exec(blocks("python")[0], namespace)
    python = namespace["study"]
    assert isinstance(python, Study)
    (tmp_path / "readme.yaml").write_text(blocks("yaml")[0])
    shipped = Study.from_file(ROOT / "studies" / "digits" / "quickstart.yaml")
    trials = [(trial.id, trial.config.fingerprint()) for trial in shipped.plan().trials]
    assert len(trials) == 80
    for study in (python, Study.from_file(tmp_path / "readme.yaml")):
        assert [(trial.id, trial.config.fingerprint()) for trial in study.plan().trials] == trials


def options(command: click.Command) -> set[str]:
    return {name for each in command.params for name in (*each.opts, *each.secondary_opts) if name.startswith("--")}


def test_each_command_is_listed_with_its_options() -> None:
    text = (ROOT / "README.md").read_text()
    [listing] = re.findall(r"^```\n(ctkd-study run .*?)```", text, flags=re.DOTALL | re.MULTILINE)
    lines = {line.split()[1]: line for line in listing.splitlines()}
    assert lines.keys() == main.commands.keys()
    for name, command in main.commands.items():
        named = set(re.findall(r"--[a-z-]+", lines[name]))
        assert options(command) - {"--storage", "--tracking-uri", "--browser"} == named, name


@pytest.mark.parametrize("option", ["--storage", "--tracking-uri"])
def test_the_shared_options_are_those_of_the_commands_that_are_named(option: str) -> None:
    [row] = re.findall(rf"^\| `{option}` \|([^|]*)\|", (ROOT / "README.md").read_text(), flags=re.MULTILINE)
    named = set(re.findall(r"`(\w+)`", row))
    assert named == {name for name, command in main.commands.items() if option in options(command)}


def test_the_trainable_runs_in_a_tuner_of_ones_own(tmp_path: Path) -> None:
    code = blocks("python")[1].replace('"epochs": 25', '"epochs": 2').replace('"epochs": 30', '"epochs": 3')
    (tmp_path / "tuner.py").write_text(code)
    folders = {"HOME": str(tmp_path), "XDG_CACHE_HOME": str(tmp_path / "cache"), "PYTHONPATH": str(ROOT)}
    folders["RAY_ADDRESS"] = "local"  # not what an earlier `ray start` on this machine has left
    done = subprocess.run(
        [sys.executable, "tuner.py"],
        cwd=tmp_path,
        env={**os.environ, **folders},
        capture_output=True,
        text=True,
        timeout=170,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert re.search(r"\{'kind': 'fixed', 'value': (1|4|16)\.0\} \d+\.\d+", done.stdout)
    assert list((tmp_path / "cache" / "ctkd-study" / ".teachers").iterdir())
