"""ReplicaSet controller: keep `spec.replicas` live Pods for each ReplicaSet.

    Pod event ─► its owner's key ─┐
    RS event ──► its own key ─────┴─► workqueue ─► reconcile(key) ─► API

Invariant: Pods are created or deleted here, never edited.
Models:    kube-controller-manager, replicaset-controller
Left out:  nothing a user can see
"""

from __future__ import annotations

from kubelab.control_plane.controllers.replicas import ReplicaController


class ReplicaSetController(ReplicaController):
    resource = "replicasets.apps"
