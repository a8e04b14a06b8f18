"""One local Ray for the tests of a module."""

from collections.abc import Iterator

import pytest

from ctkd_study import cluster


@pytest.fixture(scope="module")
def ray_cluster() -> Iterator[None]:
    with cluster.joined(None, cpus=2):
        yield
