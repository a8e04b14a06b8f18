"""The room as a whole."""

import subprocess
import sys


def test_the_room_is_imported_without_matplotlib() -> None:
    said = "import sys, ctkd_study.report as report; report.sentence; print('matplotlib' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", said], capture_output=True, text=True, check=True).stdout == "False\n"
