"""A running cluster's store on the wire."""

from __future__ import annotations

import os
import shutil
import subprocess

import pytest

from kubelab import Cluster


@pytest.mark.etcd
def test_etcdctl_looks_into_a_running_cluster() -> None:
    """etcdctl reads with the cluster's own variables what the API server wrote; without them it is not let in."""
    if shutil.which("etcdctl") is None:
        pytest.skip("Debian's etcd-client is not installed")
    with Cluster(1, runtime="hollow", etcd_listen="127.0.0.1:0", quiet=True) as cluster:
        command = ["etcdctl", "get", "--prefix", "/registry/namespaces/", "--keys-only"]
        done = subprocess.run(command, env=os.environ | cluster.etcd.environment, capture_output=True, text=True)
        assert "/registry/namespaces/default" in done.stdout
        assert cluster.etcd.endpoint.startswith("https://127.0.0.1:")
        assert f"ETCDCTL_ENDPOINTS={cluster.etcd.endpoint}" in cluster.etcd.etcdctl


def test_a_store_that_is_not_on_the_wire_says_how() -> None:
    """Asking for the endpoint names the argument."""
    with Cluster(0, runtime="hollow", quiet=True) as cluster, pytest.raises(RuntimeError, match="etcd_listen="):
        _ = cluster.etcd.endpoint
