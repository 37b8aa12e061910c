"""Raft: several members agree on one log, whatever fails. Deterministic, without I/O; begin at node.py."""

from kubelab.control_plane.etcd.raft.membership import ConfChange
from kubelab.control_plane.etcd.raft.node import RaftNode
from kubelab.control_plane.etcd.raft.progress import Progress
from kubelab.control_plane.etcd.raft.roles import TRANSITIONS, Role
from kubelab.control_plane.etcd.raft.types import (
    NOBODY,
    ConfState,
    Dropped,
    Entry,
    HardState,
    Message,
    NotLeader,
    RaftConfig,
    ReadState,
    Ready,
    Snapshot,
    SnapshotMeta,
    SoftState,
)

__all__ = ["NOBODY", "TRANSITIONS", "ConfChange", "ConfState", "Dropped", "Entry", "HardState", "Message", "NotLeader",
           "Progress", "RaftConfig", "RaftNode", "ReadState", "Ready", "Role", "Snapshot", "SnapshotMeta", "SoftState"]
