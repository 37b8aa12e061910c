"""Which spoke a message travels."""

from __future__ import annotations

import pytest

from kubelab.machinery.journal import Entry
from kubelab.views.messages import spoke_of_entry, spoke_of_event


@pytest.mark.parametrize(("seam", "actor", "spoke"), [
    ("request", "system:kube-scheduler", ("scheduler", "in")),
    ("request", "system:kube-controller-manager", ("controllers", "in")),
    ("request", "system:node:node-2", ("node-2", "in")),
    ("request", "kubernetes-admin", ("kubectl", "in")),
    ("request", "system:kube-proxy", ("proxy", "in")),
    ("request", "system:dns", ("dns", "in")),
    ("request", "system:apiserver", None),
    ("watch", "system:kube-scheduler", ("scheduler", "out")),
    ("write", "kubernetes-admin", ("etcd", "out")),
    ("reconcile", "deployment-controller", None),
    ("container", "kubelet/node-1", None),
])
def test_spoke_of_journal_entry(seam: str, actor: str, spoke: object) -> None:
    """A request goes in on its sender's spoke, a delivery out, a write on to etcd; inner work crosses none."""
    assert spoke_of_entry(Entry(1, 0.0, seam, "create", "pods/default/a", actor, None, None)) == spoke


@pytest.mark.parametrize(("obj", "spoke"), [
    ({"kind": "Pod", "spec": {"nodeName": "node-1"}, "metadata": {"name": "a", "managedFields": [
        {"manager": "kube-scheduler", "time": "2026-01-01T00:00:00Z"},
        {"manager": "kubelet", "time": "2026-01-01T00:00:05Z"}]}}, ("node-1", "in")),
    ({"kind": "ReplicaSet", "metadata": {"name": "a", "managedFields": [
        {"manager": "kube-controller-manager", "time": "2026-01-01T00:00:05Z"}]}}, ("controllers", "in")),
    ({"kind": "Pod", "metadata": {"name": "a"}}, None),
])
def test_spoke_of_watch_event(obj: dict[str, object], spoke: object) -> None:
    """On a cluster without a journal the last writer tells the way; nothing is invented where nobody is named."""
    assert spoke_of_event(obj) == spoke
