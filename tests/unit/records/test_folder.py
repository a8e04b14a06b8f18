"""A study's folder keeps the study, its launches and its looks, and says what is wrong with damaged files."""

import json
import logging
from pathlib import Path

import pytest

from ctkd_study.errors import StudyError, UnknownStudyError
from ctkd_study.records import StudyFolder, begin_launch, end_launch, record_look, wasted
from ctkd_study.spec import from_mapping
from tests.support.studies import plain
from trainables.storage import Storage


@pytest.fixture
def folder(tmp_path: Path) -> StudyFolder:
    return StudyFolder(Storage.at(str(tmp_path)), "small")


def test_the_uid_is_drawn_once_and_the_study_can_change(folder: StudyFolder) -> None:
    assert not folder.is_study()
    uid = folder.store(from_mapping(plain()))
    assert folder.is_study()
    created = json.loads(folder.root.read("study.json"))["created_ms"]
    assert folder.store(from_mapping(plain(seeds=5))) == uid
    spec, stored_uid = folder.stored()
    assert (stored_uid, spec.seeds) == (uid, (0, 1, 2, 3, 4))
    assert json.loads(folder.root.read("study.json"))["created_ms"] == created
    other = StudyFolder(folder.storage, "other")
    assert other.store(from_mapping(plain())) != uid


def test_an_unknown_study_names_the_known_ones(folder: StudyFolder) -> None:
    with pytest.raises(UnknownStudyError, match=r"no study 'small' in .*: it holds no study"):
        folder.stored()
    StudyFolder(folder.storage, "alpha").store(from_mapping(plain()))
    StudyFolder(folder.storage, "beta").store(from_mapping(plain()))
    folder.storage.write("gamma/lease.json", b"{}")
    with pytest.raises(UnknownStudyError, match=r"it holds alpha, beta\. Run its file first"):
        folder.stored()


@pytest.mark.parametrize("content", [b"{", b"[]", b"null", b'{"uid": 3, "study": {}}', b'{"uid": "x"}'])
def test_a_damaged_study_is_told_by_its_path(folder: StudyFolder, content: bytes) -> None:
    folder.root.write("study.json", content)
    with pytest.raises(StudyError, match=r"small/study.json is damaged: restore it from a copy, or start anew"):
        folder.stored()


def test_a_study_of_a_newer_version_or_of_no_version_is_refused(folder: StudyFolder) -> None:
    folder.store(from_mapping(plain()))
    content = json.loads(folder.root.read("study.json"))
    folder.root.write("study.json", json.dumps({**content, "version": 2}).encode())
    with pytest.raises(StudyError, match="was written by a newer version of ctkd-study"):
        folder.stored()
    content["study"]["student"] = {"model": "gone"}
    folder.root.write("study.json", json.dumps(content).encode())
    with pytest.raises(StudyError, match=r"is not a study of this version:\nstudent.model: must be one of"):
        folder.stored()


def test_setting_aside_never_overwrites(folder: StudyFolder) -> None:
    assert folder.set_aside() is None
    folder.root.write("lease.json", b"{}")
    folder.root.write(".lease.lock", b"")
    assert folder.set_aside() is None, "a lease alone is nothing to keep"
    names = []
    for content in (b"first", b"second"):
        folder.root.write("launches.json", content)
        names.append(folder.set_aside())
    assert names == ["small.1", "small.2"]
    assert [folder.storage.read(f"{name}/launches.json") for name in names if name] == [b"first", b"second"]
    assert not folder.root.exists()


# -- launches --------------------------------------------------------------------------------------------------------


def test_launches_are_numbered_and_what_they_lost_is_added_up(folder: StudyFolder) -> None:
    assert begin_launch(folder, {"ignored": 9.0}) == 1, "there was no launch before"
    end_launch(folder, {"a": 1.0, "b": 2.0})
    assert begin_launch(folder, {}) == 2
    # The second launch dies: it never says what it lost, but its lease did.
    assert begin_launch(folder, {"b": 4.0, "c": 8.0}) == 3
    end_launch(folder, {"a": 16.0})
    assert wasted(folder) == {"a": 17.0, "b": 6.0, "c": 8.0}
    launches = json.loads(folder.root.read("launches.json"))
    assert [launch["wasted"] for launch in launches] == [{"a": 1.0, "b": 2.0}, {"b": 4.0, "c": 8.0}, {"a": 16.0}]
    assert [launch["attempt"] for launch in launches] == [1, 2, 3]
    assert ["ended_ms" in launch for launch in launches] == [True, False, True]
    assert launches[0]["started_ms"] <= launches[0]["ended_ms"] <= launches[1]["started_ms"]


def test_what_a_dead_launch_lost_adds_to_what_it_had_told(folder: StudyFolder) -> None:
    begin_launch(folder, {})
    end_launch(folder, {"a": 1.0, "b": 2.0})
    begin_launch(folder, {"a": 4.0})
    assert wasted(folder) == {"a": 5.0, "b": 2.0}


@pytest.mark.parametrize("content", [b"{}", b"[1]", b'[{"attempt": 1}]', b"[{]"])
def test_damaged_launches_are_refused(folder: StudyFolder, content: bytes) -> None:
    folder.root.write("launches.json", content)
    with pytest.raises(StudyError, match=r"launches\.json is damaged"):
        wasted(folder)


# -- looks -----------------------------------------------------------------------------------------------------------


def test_looks_count_numbers_of_seeds_not_repetitions(folder: StudyFolder) -> None:
    verdicts = {"global": "undecided"}
    assert record_look(folder, 3, verdicts) == 1
    assert record_look(folder, 3, verdicts) == 1
    assert record_look(folder, 3, {"global": "worse"}) == 1, "another margin at the same seeds is another entry"
    assert record_look(folder, 5, verdicts) == 2
    assert record_look(folder, 3, verdicts) == 2
    looks = json.loads(folder.root.read("looks.json"))
    assert [(look["seeds"], look["verdicts"]["global"]) for look in looks] == [
        (3, "undecided"),
        (3, "worse"),
        (5, "undecided"),
        (3, "undecided"),
    ]
    assert all(look["time_ms"] > 1_700_000_000_000 for look in looks)


def test_damaged_looks_are_begun_anew(folder: StudyFolder, caplog: pytest.LogCaptureFixture) -> None:
    folder.root.write("looks.json", b"[{}]")
    with caplog.at_level(logging.WARNING):
        assert record_look(folder, 4, {}) == 1
    assert "looks.json is damaged" in caplog.text
    assert [look["seeds"] for look in json.loads(folder.root.read("looks.json"))] == [4]


def test_a_look_at_a_storage_that_can_t_be_written_still_counts(
    folder: StudyFolder, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    record_look(folder, 3, {})

    def refuse(self: Storage, path: str, content: bytes) -> None:
        raise OSError(30, "Read-only file system", path)

    monkeypatch.setattr(Storage, "write", refuse)
    with caplog.at_level(logging.WARNING):
        assert record_look(folder, 5, {}) == 2
    assert "this look is not recorded" in caplog.text
