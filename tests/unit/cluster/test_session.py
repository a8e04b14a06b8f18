"""Addresses of Ray clusters, checked before anything is written; and the token of a local one."""

import contextlib
import logging
import socket
from collections.abc import Iterator
from pathlib import Path

import pytest

from ctkd_study.cluster.session import _protect_token, check_address
from ctkd_study.errors import ClusterError


@pytest.fixture
def port() -> Iterator[int]:
    """Something listens here."""
    with contextlib.closing(socket.create_server(("127.0.0.1", 0))) as server:
        yield server.getsockname()[1]


@pytest.mark.parametrize("address", ["localhost", "localhost:", ":6379", "http://host:1", "a/b:1", "host:123456", ""])
def test_what_is_not_an_address_is_refused(address: str) -> None:
    with pytest.raises(ClusterError) as error:
        check_address(address)
    assert "must be host:port or auto" in str(error.value)
    assert repr(address) in str(error.value)


def test_an_address_where_something_listens(port: int) -> None:
    check_address(f"127.0.0.1:{port}")
    check_address(f"ray://127.0.0.1:{port}")
    check_address(f"localhost:{port}")
    check_address("auto")


def test_an_address_where_nothing_listens() -> None:
    with contextlib.closing(socket.socket()) as unused:
        unused.bind(("127.0.0.1", 0))
        address = f"127.0.0.1:{unused.getsockname()[1]}"
        with pytest.raises(ClusterError, match=rf"no Ray cluster at {address}: "):
            check_address(address)


@pytest.mark.parametrize("address", ["127.0.0.1:99999", "[::1]:99999"])
def test_a_port_that_cannot_be(address: str) -> None:
    with pytest.raises(ClusterError) as error:
        check_address(address)
    assert f"no Ray cluster at {address}: " in str(error.value)


@pytest.fixture
def token(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Where Ray's token is, in a home of its own."""
    monkeypatch.setenv("HOME", str(tmp_path))
    for name in ("RAY_AUTH_MODE", "RAY_AUTH_TOKEN", "RAY_AUTH_TOKEN_PATH"):
        monkeypatch.delenv(name, raising=False)
    return tmp_path / ".ray" / "auth_token"


def mode(path: Path) -> int:
    return path.stat().st_mode & 0o777


def test_a_new_token_is_its_owners(token: Path) -> None:
    _protect_token(create=True)
    assert mode(token) == 0o600
    assert len(bytes.fromhex(token.read_text())) == 32
    assert [path.name for path in token.parent.iterdir()] == ["auth_token"]


def test_the_token_of_an_earlier_start_becomes_its_owners(token: Path) -> None:
    token.parent.mkdir()
    token.write_text("earlier")
    token.chmod(0o644)
    _protect_token(create=False)
    assert (mode(token), token.read_text()) == (0o600, "earlier")


@pytest.mark.parametrize("name", ["RAY_AUTH_TOKEN", "RAY_AUTH_TOKEN_PATH"])
def test_a_token_of_the_users_is_not_replaced(token: Path, name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(name, "theirs")
    _protect_token(create=True)
    assert not token.exists()


def test_joining_a_cluster_creates_no_token(token: Path) -> None:
    _protect_token(create=False)
    assert not token.exists()


def test_a_home_that_cannot_be_written_is_left_to_ray(token: Path) -> None:
    token.parent.write_text("a file")
    _protect_token(create=True)


def test_ray_without_tokens_is_warned_of(
    token: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setenv("RAY_AUTH_MODE", "Disabled")
    _protect_token(create=True)
    (entry,) = caplog.records
    assert entry.levelno == logging.WARNING
    assert entry.message.startswith("RAY_AUTH_MODE=disabled: while the study runs, everybody who reaches this machine")
    assert not token.exists()
    caplog.clear()
    _protect_token(create=False)
    assert not caplog.records
