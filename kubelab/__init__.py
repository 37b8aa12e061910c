"""kubelab: Kubernetes that you can open.

    from kubelab import Cluster, Deployment, Service
    cluster = Cluster(nodes=3)
    cluster.apply(Deployment("web", image="nginx", replicas=3), Service("web", port=80))
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

__version__ = "0.1.0"

if TYPE_CHECKING:
    from kubelab.cluster import Cluster as Cluster
    from kubelab.units import (
        ConfigMap as ConfigMap,
    )
    from kubelab.units import (
        CronJob as CronJob,
    )
    from kubelab.units import (
        DaemonSet as DaemonSet,
    )
    from kubelab.units import (
        Deployment as Deployment,
    )
    from kubelab.units import (
        Ingress as Ingress,
    )
    from kubelab.units import (
        Job as Job,
    )
    from kubelab.units import (
        Namespace as Namespace,
    )
    from kubelab.units import (
        Pod as Pod,
    )
    from kubelab.units import (
        ReplicaSet as ReplicaSet,
    )
    from kubelab.units import (
        Secret as Secret,
    )
    from kubelab.units import (
        Service as Service,
    )
    from kubelab.units import (
        StatefulSet as StatefulSet,
    )

_UNITS = ("ConfigMap", "CronJob", "DaemonSet", "Deployment", "Ingress", "Job", "Namespace", "Pod", "ReplicaSet",
          "Secret", "Service", "StatefulSet")
__all__ = ["Cluster", *_UNITS]


def __getattr__(name: str) -> Any:
    """Import a room when its first name is asked for, so that `import kubelab` costs next to nothing."""
    if name == "Cluster":
        from kubelab.cluster import Cluster

        return Cluster
    if name in _UNITS:
        from kubelab import units

        return getattr(units, name)
    raise AttributeError(f"module 'kubelab' has no attribute {name!r}")


def load_ipython_extension(shell: Any) -> None:
    """Give a notebook %kubectl and %%apply: `%load_ext kubelab`."""
    from kubelab.magics import register

    register(shell)
