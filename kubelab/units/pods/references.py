"""Which Secrets and ConfigMaps a pod needs: what its node may read.

Models:    pkg/api/pod of kube-apiserver: VisitPodSecretNames, VisitPodConfigmapNames
"""

from __future__ import annotations

from kubelab.machinery.request import Obj


def references(spec: Obj, kind: str) -> set[str]:
    """Return the names of the Secrets ("secret") or ConfigMaps ("configMap") that a pod spec refers to."""
    names: set[str] = set()
    if kind == "secret":
        names.update(ref.get("name", "") for ref in spec.get("imagePullSecrets") or ())
    for volume in spec.get("volumes") or ():
        source = volume.get(kind) or {}
        names.add(source.get("secretName" if kind == "secret" else "name", ""))
        for projected in (volume.get("projected") or {}).get("sources") or ():
            names.add((projected.get(kind) or {}).get("name", ""))
    for container in (*(spec.get("initContainers") or ()), *(spec.get("containers") or ()),
                      *(spec.get("ephemeralContainers") or ())):
        for source in container.get("envFrom") or ():
            names.add((source.get(f"{kind}Ref") or {}).get("name", ""))
        for entry in container.get("env") or ():
            names.add(((entry.get("valueFrom") or {}).get(f"{kind}KeyRef") or {}).get("name", ""))
    names.discard("")
    return names
