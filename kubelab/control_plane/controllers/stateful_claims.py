"""Whose the claims of a StatefulSet's pods are: nobody's, the set's, or those of a pod that was scaled away.

    persistentVolumeClaimRetentionPolicy   while the pod is wanted   once it is scaled away
    whenDeleted: Delete                    the set's                 the set's
    whenScaled:  Delete                    nobody's                  the pod's: the claim goes when it has gone
    both                                   the set's                 the pod's

Invariant: pure functions; a claim that somebody else controls is left to that one.
Models:    pkg/controller/statefulset, stateful_set_utils.go (updateClaimOwnerRefForSetAndPod)
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from kubelab.machinery.meta import controller_of, owner_reference
from kubelab.machinery.request import Obj


def claim_name(template: Obj, stateful: Obj, ordinal: int) -> str:
    return f"{template['metadata']['name']}-{stateful['metadata']['name']}-{ordinal}"


def claims_of(stateful: Obj, ordinal: int) -> list[Obj]:
    """Make the volume claims of one pod."""
    selected = (stateful["spec"]["selector"].get("matchLabels")) or {}
    made = []
    for template in stateful["spec"].get("volumeClaimTemplates") or ():
        metadata: dict[str, Any] = {
            "name": claim_name(template, stateful, ordinal), "namespace": stateful["metadata"]["namespace"],
            "labels": {**(template["metadata"].get("labels") or {}), **selected},
            "annotations": dict(template["metadata"].get("annotations") or {})}
        if deleted_with(stateful, "whenDeleted"):
            metadata["ownerReferences"] = [_set_reference(stateful)]
        made.append({"apiVersion": "v1", "kind": "PersistentVolumeClaim", "metadata": metadata,
                     "spec": template["spec"]})
    return made


def deleted_with(stateful: Obj, when: str) -> bool:
    return (stateful["spec"].get("persistentVolumeClaimRetentionPolicy") or {}).get(when) == "Delete"


def owners_of(claim: Obj, stateful: Obj, pod: Obj, wanted: bool) -> list[Obj]:
    """Return what the owners of a pod's claim should be; `wanted`: the pod's number is still one of the set's."""
    references: list[Obj] = claim["metadata"].get("ownerReferences") or []
    controller, ours = controller_of(claim), {stateful["metadata"]["uid"], pod["metadata"].get("uid")}
    others = [reference for reference in references if reference["uid"] not in ours]
    if controller is not None and controller["uid"] not in ours:
        return others
    if deleted_with(stateful, "whenScaled") and not wanted:
        owner = owner_reference(pod, "Pod", "v1")
    elif deleted_with(stateful, "whenDeleted"):
        owner = _set_reference(stateful)
    else:
        return others
    return references if owner in references and len(references) == len(others) + 1 else [*others, owner]


def _set_reference(stateful: Obj) -> Obj:
    return owner_reference(stateful, "StatefulSet", "apps/v1")


def is_left_over(claim: Obj, pod_name: str, pods: Iterable[str]) -> bool:
    """Say whether a claim belongs to an earlier pod of that name, and is about to follow it; `pods`: uids there are."""
    return any(reference["kind"] == "Pod" and reference["name"] == pod_name and reference["uid"] not in pods
               for reference in claim["metadata"].get("ownerReferences") or ())
