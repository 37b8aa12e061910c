"""ReplicationController controller: the same loop as the ReplicaSet's, with the selector as a plain map.

Invariant: Pods are created or deleted here, never edited.
Models:    kube-controller-manager, replicationcontroller-controller
Left out:  nothing a user can see
"""

from __future__ import annotations

from kubelab.control_plane.controllers.replicas import ReplicaController
from kubelab.machinery.request import Obj
from kubelab.machinery.selectors import Selector, from_label_selector


class ReplicationControllerController(ReplicaController):
    resource = "replicationcontrollers"
    counts_terminating = False

    def selector_of(self, owner: Obj) -> Selector:
        return from_label_selector({"matchLabels": owner["spec"].get("selector") or {}})
