"""Claims: a pod waits until those it names exist and are bound."""

from __future__ import annotations

from typing import Any

import pytest

from kubelab.control_plane.scheduler.cache import Cache
from kubelab.control_plane.scheduler.framework import SKIP, ClusterEvent
from kubelab.control_plane.scheduler.nodeinfo import PodInfo
from kubelab.control_plane.scheduler.plugins.volume_binding import VolumeBinding

POD = PodInfo({"metadata": {"name": "p", "namespace": "default", "uid": "u"}, "spec": {"containers": [], "volumes": [
    {"name": "v", "persistentVolumeClaim": {"claimName": "data"}}]}})


def claim(name: str = "data", volume: str = "", **meta: Any) -> dict[str, Any]:
    return {"metadata": {"name": name, "namespace": "default", **meta}, "spec": {"volumeName": volume}}


@pytest.mark.parametrize(("there", "reason"), [
    (None, 'persistentvolumeclaim "data" not found'),
    (claim(), "pod has unbound immediate PersistentVolumeClaims"),
    (claim(deletionTimestamp="x"), 'persistentvolumeclaim "data" is being deleted'),
    (claim(volume="disk"), None),
])
def test_a_claim_has_to_be_there_and_bound(there: Any, reason: str | None) -> None:
    """What is missing is told in Kubernetes' words."""
    cache = Cache()
    if there is not None:
        cache.claims["default/data"] = there
    found = VolumeBinding().pre_filter(POD, cache)
    assert (None if found is SKIP else found.reasons[0]) == reason


def test_only_its_own_claims_wake_a_pod() -> None:
    """Another claim's news is none."""
    hint = VolumeBinding().hint
    assert hint(POD, ClusterEvent("PersistentVolumeClaim", "update", claim()))
    assert not hint(POD, ClusterEvent("PersistentVolumeClaim", "update", claim("other")))
