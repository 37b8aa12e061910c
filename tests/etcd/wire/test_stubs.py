"""The messages of etcd's protocol."""

from __future__ import annotations

import subprocess
import sys

from kubelab.control_plane.etcd.wire import stubs as pb

BESIDE = """
import sys
{first}
{second}
theirs = etcd3aio._protobuf.PutRequest(key=b"a", value=b"1").SerializeToString()
assert theirs == pb.PutRequest(key=b"a", value=b"1").SerializeToString()
from google.protobuf import descriptor_pool
assert descriptor_pool.Default().FindMessageTypeByName("mvccpb.KeyValue") is not pb.KeyValue.DESCRIPTOR
"""
THEIRS, OURS = "import etcd3aio._protobuf", "from kubelab.control_plane.etcd.wire import stubs as pb"


def test_another_set_of_stubs_in_the_same_process() -> None:
    """A learner's etcd client may be imported before or after ours: neither sees the other's messages."""
    for first, second in ((THEIRS, OURS), (OURS, THEIRS)):
        done = subprocess.run([sys.executable, "-c", BESIDE.format(first=first, second=second)], capture_output=True,
                              text=True)
        assert done.returncode == 0, done.stderr


def test_the_package_with_the_descriptors_is_not_imported() -> None:
    """Only its bytes are read: no import of it, none of gRPC, and nothing on the path."""
    program = f"{OURS}; import sys; print([m for m in sys.modules if m.startswith(('etcd', 'grpc'))], sys.path[-1])"
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert done.stdout.startswith("[] ") and "proto" not in done.stdout


def test_services_name_their_calls() -> None:
    """Each call has its path and the classes of both directions."""
    assert pb.SERVICES["KV"]["Put"] == ("/etcdserverpb.KV/Put", pb.PutRequest, pb.PutResponse, False, False)
    assert pb.SERVICES["Watch"]["Watch"].server_streaming
    assert {"KV", "Watch", "Lease", "Cluster", "Maintenance", "Auth"} == set(pb.SERVICES)
