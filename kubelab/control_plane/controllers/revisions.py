"""ControllerRevisions: the templates that a StatefulSet or DaemonSet has had, so that it can go back to one.

    template ─► equal to a stored one? ─┬─ yes ─► that one, with the newest number
                                        └─ no ──► a new one: <owner>-<hash of the template>

Invariant: a revision is found by its template, never by its name; numbers only grow.
Models:    pkg/controller/history
"""

from __future__ import annotations

from collections.abc import Collection, Sequence

from kubelab.client.client import Client
from kubelab.machinery.errors import ApiError
from kubelab.machinery.meta import hash_of, owner_reference
from kubelab.machinery.request import Obj
from kubelab.units.catalogue import Kind

RESOURCE = "controllerrevisions.apps"


def data_of(owner: Obj) -> Obj:
    """Write a template down as the patch that brings it back."""
    return {"spec": {"template": {"$patch": "replace", **owner["spec"]["template"]}}}


def revision_from(owner: Obj, kind: Kind, number: int, hash_label: str, collisions: int = 0) -> Obj:
    """Make the revision of an owner's current template."""
    data, meta = data_of(owner), owner["metadata"]
    digest = hash_of([data, collisions] if collisions else data)
    labels = {**(owner["spec"]["template"]["metadata"].get("labels") or {}), hash_label: digest}
    metadata = {"name": f"{meta['name']}-{digest}", "namespace": meta["namespace"], "labels": labels,
                "annotations": dict(meta.get("annotations") or {}),
                "ownerReferences": [owner_reference(owner, kind.kind, kind.api_version)]}
    return {"apiVersion": "apps/v1", "kind": "ControllerRevision", "metadata": metadata, "data": data,
            "revision": number}


def in_order(revisions: Sequence[Obj]) -> list[Obj]:
    """Sort revisions, oldest first."""
    return sorted(revisions, key=lambda r: (r.get("revision", 0), r["metadata"].get("creationTimestamp", ""),
                                            r["metadata"]["name"]))


async def current_revision(client: Client, owner: Obj, kind: Kind, known: Sequence[Obj], hash_label: str) -> Obj:
    """Return the stored revision of the owner's template; make it, or renumber it when it is back in use."""
    ordered, data = in_order(known), data_of(owner)
    newest = ordered[-1].get("revision", 0) if ordered else 0
    equal = [revision for revision in ordered if revision.get("data") == data]
    if equal:
        found = equal[-1]
        if found.get("revision", 0) == newest:
            return found
        return await client.update(RESOURCE, {**found, "revision": newest + 1})
    for collisions in range(8):
        made = revision_from(owner, kind, newest + 1, hash_label, collisions)
        try:
            return await client.create(RESOURCE, made, owner["metadata"]["namespace"])
        except ApiError as error:
            if error.code != 409:
                raise
            stored = await client.get(RESOURCE, made["metadata"]["name"], owner["metadata"]["namespace"])
            if stored.get("data") == data:
                return stored
    raise ApiError(409, "AlreadyExists", f"no free name for a revision of {owner['metadata']['name']}")


def to_forget(revisions: Sequence[Obj], live: Collection[str], limit: int) -> list[Obj]:
    """Return the oldest of those that nobody uses (by name), beyond `limit` that are kept; below 0 all are."""
    if limit < 0:
        return []
    unused = [revision for revision in in_order(revisions) if revision["metadata"]["name"] not in live]
    return unused[:max(0, len(unused) - limit)]


async def forget(client: Client, revisions: Sequence[Obj], live: Collection[str], limit: int) -> None:
    """Delete revisions beyond the history limit."""
    for revision in to_forget(revisions, live, limit):
        try:
            await client.delete(RESOURCE, revision["metadata"]["name"], revision["metadata"]["namespace"])
        except ApiError as error:
            if error.code != 404:
                raise
