"""The launches of a study: one driver at a time, their numbers, and what they lost."""

import json
import os
import threading
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from ctkd_study.errors import LeaseError
from ctkd_study.records import Launch, StudyFolder, held, wasted
from tests.support.stores import KINDS, storage_of
from trainables import lease
from trainables.lease import Clock


@pytest.fixture(params=KINDS)
def folder(request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> StudyFolder:
    return StudyFolder(storage_of(request.param, tmp_path, monkeypatch), "small")


def stored(folder: StudyFolder, number: int, kind: str, **content: Any) -> None:
    """What a launch has stored, e.g. one on a machine that died."""
    name = f"launches/{number:06d}.{kind}.json" if kind else f"launches/{number:06d}.json"
    folder.root.write(name, json.dumps(content).encode())


def test_launches_are_numbered_and_one_runs_at_a_time(folder: StudyFolder) -> None:
    for number in (1, 2):
        with Launch(folder) as held:
            assert held.number == number
            with pytest.raises(LeaseError) as refused, Launch(folder):
                raise AssertionError
    assert str(refused.value).startswith(f"{folder.root.location} is being run by ")
    assert str(refused.value).endswith(f"(process {os.getpid()}): one driver at a time. Wait for it, or stop it.")
    with Launch(folder, after=7) as held:
        assert held.number == 8
    assert folder.root.names("launches") == [
        "000001.ended.json", "000001.json", "000002.ended.json", "000002.json", "000008.ended.json", "000008.json",
    ]  # fmt: skip


def test_what_launches_lost_is_added_up(folder: StudyFolder) -> None:
    for lost in ({"a": 1.0, "b": 2.0}, {}, {"a": 16.0}):
        with Launch(folder, lambda lost=lost: (lost, {})):  # type: ignore[misc]
            pass
    assert wasted(folder) == {"a": 17.0, "b": 2.0}


def test_a_study_without_launches_has_lost_and_held_nothing(folder: StudyFolder) -> None:
    assert wasted(folder) == {}
    assert held(folder) is None


def test_what_launches_held_is_added_up_and_a_dead_one_held_what_it_told_last(folder: StudyFolder) -> None:
    for seconds in (8.0, 4.0):
        with Launch(folder, holds=lambda seconds=seconds: seconds):  # type: ignore[misc]
            pass
    stored(folder, 3, "", owner="somebody")
    assert held(folder) == 12.0, "it has told nothing yet"
    stored(folder, 3, "renewed", held=1.0)
    assert held(folder) == 13.0
    stored(folder, 4, "", owner="somebody")
    stored(folder, 4, "ended", held="much")
    assert held(folder) == 13.0


def test_what_a_launch_had_not_saved_is_lost_once_it_is_over(folder: StudyFolder) -> None:
    losses = ({"a": 1.0}, {"a": 2.0, "b": 4.0})
    with Launch(folder, lambda: losses):
        stored(folder, 1, "renewed", wasted={"a": 1.0}, unsaved={"a": 2.0, "b": 4.0})
        assert wasted(folder) == {"a": 1.0}, "it may yet save"
    assert wasted(folder) == {"a": 3.0, "b": 4.0}


def test_a_launch_that_died_lost_what_it_told_last(folder: StudyFolder) -> None:
    stored(folder, 1, "", owner="somebody")
    stored(folder, 1, "renewed", wasted={"a": 1.0}, unsaved={"b": 2.0})
    assert wasted(folder) == {"a": 1.0}, "nobody knows yet that it died"
    stored(folder, 2, "", owner="somebody")
    assert wasted(folder) == {"a": 1.0, "b": 2.0}
    stored(folder, 3, "", owner="somebody")
    stored(folder, 3, "ended", wasted={"b": 8.0}, unsaved={})
    assert wasted(folder) == {"a": 1.0, "b": 10.0}


@pytest.mark.parametrize(
    "content",
    [b"", b"{", b"[1]", b'{"wasted": 3, "unsaved": [1]}', b'{"wasted": {"a": "much", "b": null}}', b'{"wasted": "a"}'],
)
def test_what_is_damaged_counts_as_nothing(folder: StudyFolder, content: bytes) -> None:
    with Launch(folder, lambda: ({"a": 1.0}, {})):
        pass
    stored(folder, 2, "")
    folder.root.write("launches/000002.ended.json", content)
    assert wasted(folder) == {"a": 1.0}


def test_a_launch_goes_with_its_folder_when_that_is_set_aside(folder: StudyFolder) -> None:
    folder.root.write("study.json", b"{}")
    with Launch(folder, lambda: ({"a": 1.0}, {})) as held:
        aside = folder.set_aside()
        assert aside == "small.1"
        held.moved(folder.storage.within(aside))
    assert folder.storage.names("small.1/launches") == ["000001.ended.json", "000001.json"]
    assert folder.root.names() == []
    assert wasted(StudyFolder(folder.storage, "small.1")) == {"a": 1.0}


def test_a_driver_that_was_thought_dead_is_told(folder: StudyFolder, monkeypatch: pytest.MonkeyPatch) -> None:
    def on(machine: str) -> None:
        monkeypatch.setattr(lease, "socket", SimpleNamespace(gethostname=lambda: machine))

    on("elsewhere")
    deposed = Launch(folder)
    with deposed:
        on("here")
        slept: list[float] = []
        clock: Callable[[], Clock] = lambda: Clock(lambda: sum(slept), slept.append)  # noqa: E731
        with Launch(folder, clock=clock()) as successor:
            assert (successor.number, sum(slept) >= 60) == (2, True)
        assert not deposed.lost.is_set(), "it has not looked yet"
    assert deposed.lost.is_set()
    assert folder.root.names("launches") == ["000001.json", "000002.ended.json", "000002.json"]


@pytest.mark.parametrize("heard", [True, False])
def test_who_is_watched_on_another_machine_is_named_before_the_minute(folder: StudyFolder, heard: bool) -> None:
    stored(folder, 1, "", owner="ann@far (process 7)", machine="far", time_ms=1_767_225_600_000)
    if heard:
        stored(folder, 1, "renewed", sign="x", time_ms=1_767_225_605_000)
    slept, said = list[float](), list[tuple[float, str]]()
    clock = Clock(lambda: sum(slept), slept.append)
    with Launch(folder, say=lambda text: said.append((sum(slept), text)), clock=clock):
        assert sum(slept) >= 60
    (told,) = said
    assert told == (
        0.0,
        f"{folder.root.location} was left without an end by ann@far (process 7), last heard of at "
        f"2026-01-01 00:00:0{5 if heard else 0} UTC by its own clock. If it gives no sign for 60 s, "
        "this command takes over.",
    )


@pytest.mark.parametrize("time_ms", [None, "soon", 1e300, [], 10**400])
def test_a_time_that_makes_no_sense_is_unknown(folder: StudyFolder, time_ms: Any) -> None:
    stored(folder, 1, "", owner="ann", machine="far", time_ms=time_ms)
    slept, said = list[float](), list[str]()
    with Launch(folder, say=said.append, clock=Clock(lambda: sum(slept), slept.append)):
        pass
    assert "ann, last heard of at an unknown time. If" in said[0]


def test_the_losses_are_those_of_the_moment(folder: StudyFolder) -> None:
    losses = {"a": 1.0}
    with Launch(folder, lambda: (losses, {})):
        losses = {"a": 2.0}
        assert threading.active_count() > 1, "something renews it"
    assert wasted(folder) == {"a": 2.0}
