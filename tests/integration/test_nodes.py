"""Which nodes of a cluster run trials: two nodes of Ray's on this machine."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import ray
from ray import tune
from ray.cluster_utils import Cluster
from ray.tune.result import DONE

from ctkd_study.cluster import session
from ctkd_study.cluster.node_health import NodeHealth
from ctkd_study.cluster.placement import check_nodes, nodes
from ctkd_study.cluster.trial_feed import QueuedTrial
from ctkd_study.errors import ClusterError
from tests.support.tuning import grid

pytestmark = [pytest.mark.slow, pytest.mark.thorough]


class _SaysWhere(tune.Trainable):
    def reset_config(self, new_config: dict[str, Any]) -> bool:
        return True

    def step(self) -> dict[str, Any]:
        return {"node": ray.get_runtime_context().get_node_id(), DONE: True}


@pytest.fixture(scope="module")
def two_nodes() -> Iterator[None]:
    """One core and two cores."""
    cluster: Any = Cluster(initialize_head=True, head_node_args={"num_cpus": 1})
    try:
        cluster.add_node(num_cpus=2)
        with session.ray_session(cluster.address):
            cluster.wait_for_nodes()
            yield
    finally:
        cluster.shutdown()


@pytest.mark.usefixtures("two_nodes")
def test_a_node_that_keeps_failing_runs_no_trials(tmp_path: Path) -> None:
    alive = nodes()
    assert len(alive) == 2
    for number, bad in enumerate(alive):
        health = NodeHealth(nodes)
        for _ in range(3):
            health.failed(bad)
        trials = [QueuedTrial(f"t{number}-{n}", {}) for n in range(3)]
        found = grid(_SaysWhere, trials, tmp_path / str(number), avoided=health.avoided())
        assert not found.errors
        ran = {(found[place].metrics or {})["node"] for place in range(len(found))}
        assert ran == set(alive) - {bad}, "new_trial: the trials ran elsewhere"


@pytest.mark.usefixtures("two_nodes")
def test_what_no_node_has_is_refused_with_what_they_have() -> None:
    check_nodes(2, 0)
    check_nodes(0.5, 0)
    with pytest.raises(ClusterError) as refused:
        check_nodes(3, 0)  # together, they have as many
    assert str(refused.value) in {
        f"a trial asks for 3 CPU and 0 GPU (resources), which no node has; the cluster has {have}"
        for have in (
            "1 x 1 CPU and 0 GPU, 1 x 2 CPU and 0 GPU",
            "1 x 2 CPU and 0 GPU, 1 x 1 CPU and 0 GPU",
        )
    }
    with pytest.raises(ClusterError, match=r"a trial asks for 1 CPU and 0\.5 GPU \(resources\), which no node has"):
        check_nodes(1, 0.5)
