"""Revisions: which ReplicaSet carries the current template, what the others are called, which are forgotten.

Invariant: a ReplicaSet is found by its template, never by its name; revision numbers only grow.
Models:    pkg/controller/deployment/util, deployment_util.go
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from kubelab.control_plane.controllers.deployment_sizes import DESIRED, MAX, created, max_surge, replicas, size
from kubelab.machinery.meta import hash_of, is_terminating, owner_reference
from kubelab.machinery.request import Obj

REVISION = "deployment.kubernetes.io/revision"
HISTORY = "deployment.kubernetes.io/revision-history"
HASH_LABEL = "pod-template-hash"
NOT_COPIED = {"kubectl.kubernetes.io/last-applied-configuration", REVISION, HISTORY, DESIRED, MAX,
              "deprecated.deployment.rollback.to"}


def template_of(rs: Obj) -> Obj:
    """Return the ReplicaSet's template as the Deployment wrote it: without the hash label."""
    template: Obj = rs["spec"]["template"]
    meta = template.get("metadata") or {}
    labels = {key: value for key, value in (meta.get("labels") or {}).items() if key != HASH_LABEL}
    return {**template, "metadata": {**meta, "labels": labels}}


def split(deployment: Obj, sets: Sequence[Obj]) -> tuple[Obj | None, list[Obj]]:
    """Return the ReplicaSet of the current template, the oldest if there are several, and all others."""
    template = deployment["spec"]["template"]
    wanted = {**template, "metadata": {"labels": {}, **(template.get("metadata") or {})}}
    new = next((rs for rs in sorted(sets, key=created) if template_of(rs) == wanted), None)
    return new, [rs for rs in sets if rs is not new]


def revision_of(obj: Obj) -> int:
    text = (obj["metadata"].get("annotations") or {}).get(REVISION, "0")
    return int(text) if text.isdigit() else 0


def next_revision(olds: Sequence[Obj]) -> int:
    return max((revision_of(rs) for rs in olds), default=0) + 1


def replica_annotations(deployment: Obj) -> dict[str, str]:
    want = replicas(deployment)
    return {DESIRED: str(want), MAX: str(want + max_surge(deployment))}


def new_set_annotations(deployment: Obj, existing: Obj | None, revision: int) -> dict[str, str]:
    """Return what the new ReplicaSet's annotations should be; rolled back to, it remembers its earlier numbers."""
    found: dict[str, str] = dict((existing["metadata"].get("annotations") or {}) if existing else {})
    theirs = deployment["metadata"].get("annotations") or {}
    found |= {key: value for key, value in theirs.items() if key not in NOT_COPIED}
    old = found.get(REVISION)
    if int(old or 0) < revision:
        found[REVISION] = str(revision)
        if old:
            found[HISTORY] = f"{found[HISTORY]},{old}" if found.get(HISTORY) else old
    if existing is None:
        found |= replica_annotations(deployment)
    return found


def new_set(deployment: Obj, count: int, revision: int) -> Obj:
    """Make the ReplicaSet of the Deployment's current template."""
    meta, spec = deployment["metadata"], deployment["spec"]
    template = spec["template"]
    collisions = (deployment.get("status") or {}).get("collisionCount")
    digest = hash_of([template, collisions] if collisions else template)
    labels = {**((template.get("metadata") or {}).get("labels") or {}), HASH_LABEL: digest}
    selector = spec["selector"]
    body: dict[str, Any] = {
        "replicas": count,
        "selector": {**selector, "matchLabels": {**(selector.get("matchLabels") or {}), HASH_LABEL: digest}},
        "template": {**template, "metadata": {**(template.get("metadata") or {}), "labels": labels}},
    }
    if spec.get("minReadySeconds"):
        body["minReadySeconds"] = spec["minReadySeconds"]
    return {"apiVersion": "apps/v1", "kind": "ReplicaSet", "spec": body, "metadata": {
        "name": f"{meta['name']}-{digest}", "namespace": meta["namespace"], "labels": labels,
        "annotations": new_set_annotations(deployment, None, revision),
        "ownerReferences": [owner_reference(deployment, "Deployment", "apps/v1")]}}


def forgotten(deployment: Obj, olds: Sequence[Obj]) -> list[Obj]:
    """Return the old, empty ReplicaSets beyond spec.revisionHistoryLimit, oldest revision first."""
    limit = deployment["spec"].get("revisionHistoryLimit")
    if limit is None:
        return []
    alive = sorted((rs for rs in olds if not is_terminating(rs)), key=lambda rs: (revision_of(rs), created(rs)))
    surplus = alive[:max(len(alive) - limit, 0)]
    return [rs for rs in surplus
            if not size(rs) and not (rs.get("status") or {}).get("replicas")
            and rs["metadata"].get("generation", 0) <= (rs.get("status") or {}).get("observedGeneration", 0)]
