"""VolumeBinding: a pod waits until the claims it names exist and are bound.

Models:    pkg/scheduler/framework/plugins/volumebinding
Left out:  choosing a volume by the node: what binds a claim does so at once
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from kubelab.control_plane.scheduler.cache import Cache
from kubelab.control_plane.scheduler.framework import SKIP, ClusterEvent, Plugin, Rejection
from kubelab.control_plane.scheduler.nodeinfo import PodInfo

UNBOUND = Rejection(("pod has unbound immediate PersistentVolumeClaims",), helpless=True)


def claims_of(pod: PodInfo) -> Iterator[str]:
    for volume in pod.spec.get("volumes") or ():
        claim = (volume.get("persistentVolumeClaim") or {}).get("claimName")
        if claim:
            yield claim


class VolumeBinding(Plugin):
    name = "VolumeBinding"

    def pre_filter(self, pod: PodInfo, cache: Cache) -> Any:
        for name in claims_of(pod):
            claim = cache.claims.get(f"{pod.namespace}/{name}")
            if claim is None:
                return Rejection((f'persistentvolumeclaim "{name}" not found',), helpless=True)
            if "deletionTimestamp" in claim["metadata"]:
                return Rejection((f'persistentvolumeclaim "{name}" is being deleted',), helpless=True)
            if not claim["spec"].get("volumeName"):
                return UNBOUND
        return SKIP

    def hint(self, pod: PodInfo, event: ClusterEvent) -> bool:
        if event.kind != "PersistentVolumeClaim" or event.new is None:
            return False
        meta = event.new["metadata"]
        return meta["namespace"] == pod.namespace and meta["name"] in claims_of(pod)
