"""Studies that a verdict alone would not tell from sound ones: a teacher that learned nothing, and shuffled labels."""

import contextlib
import dataclasses
import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

from click.testing import CliRunner

from ctkd_study import Study
from ctkd_study.cli import main
from ctkd_study.launch import InlineRunner
from tests.support.plugins import install_noise

ROOT = Path(__file__).parents[2]
STUDENT = {"model": "resnet8", "widths": [2, 2, 2, 2]}
STUDY: dict[str, Any] = {
    "name": "unsound",
    "data": {"name": "digits", "validation": 50, "train_examples": 64},
    "teacher": {**STUDENT, "recipe": {"epochs": 1, "lr": 1e-9}},
    "student": STUDENT,
    "recipe": {"epochs": 1},
    "distiller": {"name": "kd"},
    "teacher_source": "bank32",
    "seeds": 3,
    "margin": 20,
    "arms": {
        "grid": {"temperature": {"kind": "fixed", "value": {"grid": [1, 4]}}},
        "global": {"temperature": {"kind": "global"}},
        "alone": {"distiller": {"name": "none"}},
    },
}
#: Runs a study file in this process, without Ray, and prints the comparison as JSON.
INLINE = """
import sys
from ctkd_study import Study
from ctkd_study.cli import main
from ctkd_study.launch.inline import InlineRunner
Study.from_file(sys.argv[1]).run(sys.argv[2], runner=InlineRunner())
main(["compare", sys.argv[1], "--storage", sys.argv[2], "--json"])
"""


def test_a_teacher_that_learned_nothing_is_said_before_the_verdict(tmp_path: Path) -> None:
    storage = str(tmp_path / "results")
    study = Study(**STUDY)
    study.run(storage, runner=InlineRunner())
    found = study.compare(storage)
    guessing = found.remarks[0]
    assert (guessing.kind, guessing.about) == ("teacher_guesses", "teacher")
    assert f" Caution: {guessing.text}" in found.sentence, "whoever quotes the verdict quotes this"
    with contextlib.chdir(tmp_path):
        options = ("unsound", "--html", "page.html", "--markdown", "page.md")
        done = CliRunner().invoke(main, ["compare", *options], env={"COLUMNS": "120"})
        assert done.exit_code == 0, done.output
        as_json = json.loads(CliRunner().invoke(main, ["compare", "unsound", "--json"]).stdout)
    lines = done.stdout.splitlines()
    assert lines.index(f"warning: {guessing.text}") < next(n for n, line in enumerate(lines) if "Data digits" in line)
    assert f"Warning: {guessing.text}" in (tmp_path / "page.html").read_text()
    assert f"- Warning: {guessing.text}" in (tmp_path / "page.md").read_text()
    assert as_json["remarks"][0] == dataclasses.asdict(guessing)


def test_shuffled_labels_show_in_the_teacher_and_in_every_student(tmp_path: Path) -> None:
    install_noise(tmp_path / "site", 1)
    study = {**STUDY, "data": {"name": "noise", "validation": 50}, "teacher": {**STUDENT, "recipe": {"epochs": 1}}}
    (tmp_path / "study.yaml").write_text(json.dumps(study))
    done = subprocess.run(
        [sys.executable, "-c", INLINE, str(tmp_path / "study.yaml"), str(tmp_path / "results")],
        env={**os.environ, "PYTHONPATH": f"{ROOT}:{tmp_path / 'site'}", "OMP_NUM_THREADS": "1"},
        capture_output=True,
        text=True,
        timeout=170,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    found = [(remark["kind"], remark["about"]) for remark in json.loads(done.stdout)["remarks"]]
    assert found[:4] == [("teacher_guesses", "teacher"), *(("student_guesses", arm) for arm in STUDY["arms"])]
