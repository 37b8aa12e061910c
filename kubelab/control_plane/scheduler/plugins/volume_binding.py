"""VolumeBinding: a pod waits until the claims it names exist.

Models:    pkg/scheduler/framework/plugins/volumebinding
Left out:  volumes themselves: as long as the catalogue has no PersistentVolumeClaim, no claim can be found
"""

from __future__ import annotations

from typing import Any

from kubelab.control_plane.scheduler.cache import Cache
from kubelab.control_plane.scheduler.framework import SKIP, ClusterEvent, Plugin, Rejection
from kubelab.control_plane.scheduler.nodeinfo import PodInfo


class VolumeBinding(Plugin):
    name = "VolumeBinding"

    def pre_filter(self, pod: PodInfo, cache: Cache) -> Any:
        for volume in pod.spec.get("volumes") or ():
            claim = (volume.get("persistentVolumeClaim") or {}).get("claimName")
            if claim:
                return Rejection((f'persistentvolumeclaim "{claim}" not found',), helpless=True)
        return SKIP

    def hint(self, pod: PodInfo, event: ClusterEvent) -> bool:
        return False
