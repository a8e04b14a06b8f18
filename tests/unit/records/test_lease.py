"""One driver at a time: who holds the lease, when it is taken over, and what a dead owner left."""

import json
import time
from pathlib import Path
from typing import Any

import pytest

from ctkd_study.errors import LeaseError
from ctkd_study.records import Lease
from trainables.storage import Storage


@pytest.fixture
def folder(tmp_path: Path) -> Storage:
    return Storage.at(str(tmp_path)).within("study")


def stored(folder: Storage) -> dict[str, Any]:
    content: dict[str, Any] = json.loads(folder.read("lease.json"))
    return content


def leave(folder: Storage, age_seconds: float, **fields: Any) -> None:
    """A lease of another machine, last renewed some time ago."""
    now = time.time_ns() // 1_000_000
    content = {
        "owner": "somebody@elsewhere (process 7)",
        "host": "elsewhere",
        "token": "theirs",
        "heartbeat_ms": now - int(1000 * age_seconds),
        "released": False,
        **fields,
    }
    folder.write("lease.json", json.dumps(content).encode())


def until(condition: Any, seconds: float = 10.0) -> None:
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end, "what the test waits for did not happen"
        time.sleep(0.01)


def test_it_is_held_inside_the_block_and_released_after(folder: Storage) -> None:
    with Lease(folder) as lease:
        held = stored(folder)
        assert (held["owner"], held["token"], held["released"]) == (lease.owner, lease.token, False)
        with pytest.raises(LeaseError, match="one driver at a time") as refused, Lease(folder):
            pass
        assert lease.owner in str(refused.value)
        assert stored(folder) == held, "the refused driver changed nothing"
    assert stored(folder)["released"] is True
    with Lease(folder):
        pass


def test_it_is_released_when_the_block_raises(folder: Storage) -> None:
    with pytest.raises(RuntimeError), Lease(folder):
        raise RuntimeError
    assert stored(folder)["released"] is True


def test_the_heartbeat_renews_it_with_the_status_of_the_moment(folder: Storage) -> None:
    work = {"unsaved": {"a-s0": 1.0}}
    with Lease(folder, lambda: work, heartbeat_seconds=0.05):
        first = stored(folder)
        assert first["status"] == {"unsaved": {"a-s0": 1.0}}
        work = {"unsaved": {"a-s0": 2.0}}
        until(lambda: stored(folder)["heartbeat_ms"] > first["heartbeat_ms"])
        assert stored(folder)["status"] == {"unsaved": {"a-s0": 2.0}}
        assert stored(folder)["started_ms"] == first["started_ms"]


def test_a_fresh_lease_of_another_machine_is_respected_and_a_stale_one_taken_over(folder: Storage) -> None:
    leave(folder, age_seconds=50)
    with pytest.raises(LeaseError, match="somebody@elsewhere"), Lease(folder):
        pass
    assert stored(folder)["token"] == "theirs"
    leave(folder, age_seconds=61, status={"unsaved": {"a-s0": 3.5}})
    with Lease(folder) as lease:
        assert stored(folder)["token"] == lease.token
        assert lease.unsaved_of_dead_owner == {"a-s0": 3.5}


@pytest.mark.parametrize("previous", [{"released": True, "status": {"unsaved": {"a": 1.0}}}, {"released": False}])
def test_only_a_dead_owner_left_work(folder: Storage, previous: dict[str, Any]) -> None:
    leave(folder, age_seconds=3600, **previous)
    with Lease(folder) as lease:
        assert lease.unsaved_of_dead_owner == {}


def test_a_released_lease_is_free_however_fresh(folder: Storage) -> None:
    leave(folder, age_seconds=0, released=True)
    with Lease(folder):
        pass


@pytest.mark.parametrize("content", [b"", b"[]", b"{"])
def test_a_damaged_lease_is_nobody_s(folder: Storage, content: bytes) -> None:
    folder.write("lease.json", content)
    with Lease(folder) as lease:
        assert lease.unsaved_of_dead_owner == {}


def test_a_driver_whose_lease_was_taken_over_knows_it_and_writes_no_more(folder: Storage) -> None:
    with Lease(folder, heartbeat_seconds=0.05) as lease:
        leave(folder, age_seconds=0)
        assert lease.lost.wait(10)
    assert stored(folder)["token"] == "theirs", "what is no longer its own is not released"
