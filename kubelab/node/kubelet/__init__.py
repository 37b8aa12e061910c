"""The kubelet: what makes pods of a node's share of the API run, and tells how they do.

    Kubelet ─► PodWorker ─► plan_pod (pure) ─► Containers ─► Runtime
       │          └► pod_status (pure) ─► StatusWriter ─► API
       └ NodeAgent ─► Node, Lease            KubeletServer ─► logs, exec, attach, port-forward
"""

from kubelab.node.kubelet.kubelet import Kubelet

__all__ = ["Kubelet"]
