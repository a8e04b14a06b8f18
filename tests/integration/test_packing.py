"""Trials on shares of a GPU: what is found out, and what a trial without one sees."""

import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import ray
import torch
from ray import tune

from ctkd_study import Study, StudyError
from ctkd_study.cluster import placement
from ctkd_study.cluster.placement import check_nodes
from ctkd_study.errors import ClusterError
from tests.support import settings
from tests.support.banks import BASE
from tests.support.tuning import space
from trainables import probe
from trainables.trainable import CTKDTrainable

needs_cuda = pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")


@pytest.fixture(scope="module")
def cluster_with_a_gpu() -> Iterator[None]:
    """Ray counts one GPU, whatever this machine has."""
    ray.init("local", num_cpus=2, num_gpus=1, include_dashboard=False, log_to_driver=False)
    yield
    ray.shutdown()


class _Seeing(CTKDTrainable):
    """Says which GPUs it was left to see."""

    def step(self) -> dict[str, Any]:
        return {**super().step(), "visible": os.environ.get("CUDA_VISIBLE_DEVICES")}


@pytest.mark.thorough
@pytest.mark.usefixtures("cluster_with_a_gpu")
@pytest.mark.parametrize(("gpus", "visible"), [(0, ""), (0.5, "0")])
def test_a_trial_sees_the_gpu_it_was_given(tmp_path: Path, gpus: float, visible: str) -> None:
    config = space(settings.trial(tmp_path, arm="alone", numerics={"device": "cpu"}))
    tuner = tune.Tuner(
        tune.with_resources(_Seeing, {"cpu": 1, "gpu": gpus}),
        param_space=config,
        run_config=tune.RunConfig(storage_path=str(tmp_path), verbose=0),
    )
    results = tuner.fit()
    assert (results[0].metrics or {})["visible"] == visible


@pytest.mark.thorough
@pytest.mark.usefixtures("cluster_with_a_gpu")
@pytest.mark.skipif(torch.cuda.is_available(), reason="the GPU of this cluster must be one in name only")
def test_gpus_that_torch_does_not_see_are_said_so() -> None:
    configs = [setting.config for setting in Study(**BASE).spec.settings()]
    with pytest.raises(ClusterError, match=r"torch sees no CUDA device.*set resources\.gpu"):
        placement.cluster().gpu_share("auto", configs, 1.0)
    assert placement.cluster().gpu_share(0, configs, 1.0) == 0
    check_nodes(1, 1)
    with pytest.raises(ClusterError, match=r"which no node has; the cluster has 1 x 2 CPU and 1 GPU"):
        check_nodes(1, 2)


@pytest.mark.thorough
@pytest.mark.usefixtures("cluster_with_a_gpu")
def test_kinds_for_the_cpu_are_given_no_gpu() -> None:
    configs = [setting.config for setting in Study(**{**BASE, "numerics": {"device": "cpu"}}).spec.settings()]
    assert placement.cluster().gpu_share("auto", configs, 1.0) == 0.0
    assert placement.cluster().gpu_share(0.25, configs, 1.0) == 0.25


def test_cuda_without_a_gpu_is_refused() -> None:
    with pytest.raises(StudyError, match=r"resources: .*needs a share of a GPU, but resources.gpu is 0"):
        Study(**{**BASE, "resources": {"gpu": 0}, "numerics": {"device": "cuda"}})


@needs_cuda
def test_memory_of_a_trial_on_a_gpu(tmp_path: Path) -> None:
    need, total = probe.memory(settings.trial(tmp_path, teacher_source="online"))
    assert 2**27 < need < total / 4
