"""The figures of a comparison, and their files."""

from pathlib import Path
from xml.etree import ElementTree

import pytest

from ctkd_study.errors import StudyError
from ctkd_study.report.illustrations import illustrations, illustrations_across, save_all
from tests.support.comparisons import CASES, HISTORIES
from tests.unit.report.test_across import lone, pair


def test_each_figure_that_there_is_has_its_title() -> None:
    found = [*illustrations(CASES["until decided"], HISTORIES)]
    titles = [(each.name, each.title) for each in found]
    assert titles == [
        ("differences", "Differences"),
        ("looks", "Looks"),
        ("cost", "Accuracy against cost"),
        ("temperatures", "Temperature"),
    ]
    assert all(each.caption for each in found)
    assert [each.name for each in illustrations(CASES["paper"])] == ["cost"]
    assert [*illustrations(CASES["empty"])] == []


def test_the_files_are_svg_and_png_and_the_same_each_time(tmp_path: Path) -> None:
    folder = tmp_path / "new" / "figures"
    written = []
    for _ in range(2):
        save_all([*illustrations(CASES["paper"])], folder)
        written.append({file.name: file.read_bytes() for file in folder.iterdir()})
    assert written[0] == written[1]
    assert sorted(written[0]) == ["cost.png", "cost.svg"]
    assert written[0]["cost.png"].startswith(b"\x89PNG")
    texts = "".join(ElementTree.fromstring(written[0]["cost.svg"]).itertext())
    assert "student_alone" in texts


def test_a_folder_that_can_not_be_made_is_refused(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(StudyError, match="file/figures cannot be created: Not a directory"):
        save_all([], tmp_path / "file" / "figures")


def test_several_studies_have_one_figure() -> None:
    (found,) = illustrations_across(pair())
    assert (found.name, found.title) == ("across", "Differences")
    assert illustrations_across(lone()) == []
