"""A study's folder keeps the study, its launches and its looks, and says what is wrong with damaged files."""

import json
import logging
from pathlib import Path

import pytest

from ctkd_study.errors import StudyError, UnknownStudyError
from ctkd_study.records import Asked, StudyFolder, record_look
from ctkd_study.spec import from_mapping
from tests.support.studies import plain
from trainables import checksums
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
    folder.storage.write("gamma/launches/000001.json", b"{}")
    with pytest.raises(UnknownStudyError, match=r"it holds alpha, beta\. Run its file first"):
        folder.stored()


@pytest.mark.parametrize(
    "content",
    [
        b"{",
        b"[]",
        b"null",
        b'{"version": 2, "uid": 3, "study": {}}',
        b'{"version": 2, "uid": "x"}',
        b'{"version": "2", "uid": "x", "study": {}}',
        b'{"uid": "x", "study": {}}',
        b"[" * 100_000,
    ],
)
def test_a_damaged_study_is_told_by_its_path(folder: StudyFolder, content: bytes) -> None:
    folder.root.write("study.json", content)
    with pytest.raises(StudyError, match=r"small/study.json is damaged: restore it from a copy, or start anew"):
        folder.stored()


def test_a_changed_study_is_damaged(folder: StudyFolder) -> None:
    """With another uid, its records would not be its own."""
    uid = folder.store(from_mapping(plain()))
    whole = folder.root.read("study.json")
    for old, new in ((uid, "0" * 32), ('"seeds": [', '"seeds": [7,')):
        folder.root.write("study.json", whole.replace(old.encode(), new.encode()))
        with pytest.raises(StudyError, match="is damaged"):
            folder.stored()
    folder.root.write("study.json", whole)
    assert folder.stored()[1] == uid


def test_a_study_of_another_version_is_refused(folder: StudyFolder) -> None:
    folder.store(from_mapping(plain()))
    content = json.loads(folder.root.read("study.json"))
    assert content["version"] == 2
    folder.root.write("study.json", json.dumps({**content, "version": 3}).encode())
    with pytest.raises(StudyError, match="was written by a newer version of ctkd-study"):
        folder.stored()
    folder.root.write("study.json", json.dumps({**content, "version": 1}).encode())
    earlier = r"small/study\.json was written by an earlier version .* another name, or start anew with --fresh"
    for act in (folder.stored, lambda: folder.store(from_mapping(plain()))):
        with pytest.raises(StudyError, match=earlier):
            act()
    assert folder.set_aside() == "small.1", "a fresh start reads nothing of it"


def test_a_study_that_this_version_cannot_mean_is_refused(folder: StudyFolder) -> None:
    folder.store(from_mapping(plain()))
    content = json.loads(folder.root.read("study.json"))
    del content["checksum"]
    content["study"]["student"] = {"model": "gone"}
    folder.root.write("study.json", checksums.sealed(content))
    with pytest.raises(StudyError, match=r"is not a study of this version:\nstudent.model: must be one of"):
        folder.stored()


def test_setting_aside_never_overwrites(folder: StudyFolder) -> None:
    assert folder.set_aside() is None
    folder.root.write("launches/000001.json", b"{}")
    assert folder.set_aside() is None, "a launch alone is nothing to keep"
    names = []
    for content in (b"first", b"second"):
        folder.root.write("study.json", content)
        names.append(folder.set_aside())
    assert names == ["small.1", "small.2"]
    assert [folder.storage.read(f"{name}/study.json") for name in names if name] == [b"first", b"second"]
    assert folder.storage.exists("small.1/launches/000001.json")
    assert not folder.root.exists()


# -- looks -----------------------------------------------------------------------------------------------------------


ASKED = Asked(1.5, "grid", ("global",))


@pytest.mark.parametrize(
    ("later", "changed"),
    [
        (ASKED, ()),
        (Asked(2.0, "grid", ("global",)), ("margin",)),
        (Asked(1.5, "global", ("grid",)), ("baseline", "confirm")),
    ],
)
def test_what_is_asked_otherwise_than_at_the_first_look_is_told(
    folder: StudyFolder, later: Asked, changed: tuple[str, ...]
) -> None:
    assert record_look(folder, 5, {"global": "undecided"}, ASKED) == (1, ())
    assert record_look(folder, 5, {"global": "undecided"}, later) == (1, changed)
    assert record_look(folder, 5, {"global": "undecided"}, ASKED) == (1, ()), "as at the first look again"
    looks = json.loads(folder.root.read("looks.json"))
    assert [look["margin"] for look in looks] == [1.5, later.margin, 1.5][: len(looks)]


def test_looks_count_numbers_of_seeds_not_repetitions(folder: StudyFolder) -> None:
    verdicts = {"global": "undecided"}
    assert record_look(folder, 3, verdicts, ASKED) == (1, ())
    assert record_look(folder, 3, verdicts, ASKED) == (1, ())
    assert record_look(folder, 3, {"global": "worse"}, ASKED) == (1, ()), (
        "another margin at the same seeds is another entry"
    )
    assert record_look(folder, 5, verdicts, ASKED) == (2, ())
    assert record_look(folder, 3, verdicts, ASKED) == (2, ())
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
        assert record_look(folder, 4, {}, ASKED) == (1, ())
    assert "looks.json is damaged" in caplog.text
    assert [look["seeds"] for look in json.loads(folder.root.read("looks.json"))] == [4]


def test_a_look_at_a_storage_that_can_t_be_written_still_counts(
    folder: StudyFolder, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    record_look(folder, 3, {}, ASKED)

    def refuse(self: Storage, path: str, content: bytes) -> None:
        raise OSError(30, "Read-only file system", path)

    monkeypatch.setattr(type(folder.root), "write", refuse)
    with caplog.at_level(logging.WARNING):
        assert record_look(folder, 5, {}, ASKED) == (2, ())
    assert "this look is not recorded" in caplog.text
