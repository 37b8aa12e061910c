"""ReplicaSet controller: keep `spec.replicas` live Pods for each ReplicaSet.

    Pod event ─► its owner's key ─┐
    RS event ──► its own key ─────┴─► workqueue ─► reconcile(key) ─► API

Invariant: Pods are created or deleted here, never edited.
Models:    kube-controller-manager, replicaset-controller
Left out:  nothing a user can see
"""

from __future__ import annotations

from kubelab.control_plane.controllers.replicas import ReplicaController
from kubelab.machinery.request import Obj
from kubelab.machinery.selectors import Selector, from_label_selector


class ReplicaSetController(ReplicaController):
    resource = "replicasets.apps"

    def selector_of(self, owner: Obj) -> Selector:
        return from_label_selector(owner["spec"]["selector"])
