"""One local Ray for the tests of a module."""

from collections.abc import Iterator

import pytest

from ctkd_study.cluster import session


@pytest.fixture(scope="module")
def ray_cluster() -> Iterator[None]:
    with session.ray_session(None, cpus=2):
        yield
