"""What the commands say of plug-ins that are broken, in processes that find them as installed packages."""

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

from tests.support import settings
from tests.support.plugins import install
from tests.support.studies import plain

ROOT = Path(__file__).parents[2]
BROKEN = """
from typing import Literal

from trainables.curriculum import CurriculumOptions


class Root(CurriculumOptions):
    kind: Literal["root"] = "root"

    def strength(self, epoch: int) -> float:
        return {}["lost"]
"""


def command(folder: Path, *arguments: str, status: int) -> str:
    environment = {**os.environ, "PYTHONPATH": f"{ROOT}:{folder / 'site'}", "OMP_NUM_THREADS": "1"}
    words = [sys.executable, "-m", "ctkd_study.cli", *arguments]
    done = subprocess.run(words, env=environment, cwd=folder, capture_output=True, text=True, timeout=170)
    said = done.stdout + done.stderr
    assert done.returncode == status, said
    assert "Traceback" not in said
    return said


def study(folder: Path, **arms: Any) -> None:
    spec = plain(student=settings.STUDENT, teacher=settings.TEACHER, teacher_source="online", arms=arms)
    (folder / "study.yaml").write_text(json.dumps(spec))


def test_a_broken_entry_point_is_a_sentence(tmp_path: Path) -> None:
    groups = {"ctkd_study.curricula": {"root": "my_schedules:Root"}}
    install(tmp_path / "site", "my_package", groups, {"my_schedules.py": "import what_is_not_installed"})
    study(tmp_path, four={"temperature": {"kind": "fixed", "value": 4}})
    said = command(tmp_path, "check", "study.yaml", status=2)
    assert said.startswith(
        "ctkd-study: the entry point 'root' of ctkd_study.curricula, from my_package 1, cannot be loaded: "
        "ModuleNotFoundError: No module named 'what_is_not_installed' ("
    )
    assert "my_schedules.py:1 in <module>). Mend that package, or uninstall it" in said


def test_plan_names_the_arms_that_fail_and_where_and_plans_the_others(tmp_path: Path) -> None:
    groups = {"ctkd_study.curricula": {"root": "my_schedules:Root"}}
    install(tmp_path / "site", "my_package", groups, {"my_schedules.py": BROKEN})
    four = {"temperature": {"kind": "fixed", "value": 4}}
    hot = {**four, "recipe": {"lr": 1000.0, "weight_decay": 1.0}}
    bug = {"temperature": {"kind": "global"}, "curriculum": {"kind": "root"}}
    large = {**four, "student": {"model": "MobileNetV2"}}
    study(tmp_path, hot=hot, four=four, bug=bug, large=large)
    said = command(tmp_path, "plan", "study.yaml", "--json", status=1)
    found = json.loads(said[said.index("{") :])
    assert [arm["arm"] for arm in found["arms"]] == ["four"]
    # What cannot be built comes first, then what fails in the timed steps.
    large_fault, hot_fault, bug_fault = found["faults"]
    assert large_fault.startswith("arm large: ")
    assert hot_fault.startswith("arm hot: the timed steps failed: ")
    assert "is nan in epoch" in hot_fault or "is inf in epoch" in hot_fault
    assert bug_fault.startswith("arm bug: the timed steps failed: KeyError: 'lost' (")
    assert bug_fault.endswith("site/my_schedules.py:11 in strength)")
