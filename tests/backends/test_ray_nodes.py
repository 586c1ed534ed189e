"""What a node of a Ray cluster kept that has gone."""

from __future__ import annotations

import os
import sys

import pytest

import fastflow
from backends import tasks
from backends.test_conformance import flow_of

ray = pytest.importorskip("ray")
MB = 1_000_000


@pytest.fixture
def cluster():
    """A cluster whose first node, with this process, makes no calls."""
    from ray.cluster_utils import Cluster

    path = os.pathsep.join(path for path in sys.path if path)
    made = Cluster(initialize_head=True, head_node_args={"num_cpus": 0})
    ray.init(
        address=made.address,
        log_to_driver=False,
        configure_logging=False,
        runtime_env={"env_vars": {"PYTHONPATH": path}},
    )
    try:
        yield made
    finally:
        ray.shutdown()
        made.shutdown()


def test_ray_makes_again_what_a_node_kept(cluster, tmp_path):
    node = cluster.add_node(num_cpus=1)
    flow = flow_of("noted_large -> doubled")
    result = flow.run(str(tmp_path), executor=fastflow.ray())
    cluster.remove_node(node, allow_graceful=False)
    cluster.add_node(num_cpus=1)
    assert result["doubled"].sum() == 2 * MB
    assert tasks.noted(tmp_path, "made") == 2
