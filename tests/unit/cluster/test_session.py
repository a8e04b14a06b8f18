"""Addresses of Ray clusters, checked before anything is written."""

import contextlib
import socket
from collections.abc import Iterator

import pytest

from ctkd_study.cluster.session import check_address
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
