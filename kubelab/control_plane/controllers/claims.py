"""Whose is this object: adoption and release by selector and controller reference.

    owned by me, selector matches   ─► keep
    owned by me, no longer matches  ─► release (take the reference off)
    owned by nobody, matches        ─► adopt (put the reference on), unless either is being deleted

Invariant: an object never has two controllers: the API server refuses the second, and we never try.
Models:    pkg/controller/controller_ref_manager.go
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterable
from dataclasses import dataclass

from kubelab.client.client import Client, Resource
from kubelab.machinery.errors import ApiError
from kubelab.machinery.meta import controller_of, is_terminating, owner_reference
from kubelab.machinery.request import Obj
from kubelab.machinery.selectors import Selector
from kubelab.units.catalogue import Kind


@dataclass(frozen=True, slots=True)
class Claims:
    """What to do about each candidate."""

    kept: list[Obj]
    adopted: list[Obj]
    released: list[Obj]


def sort_claims(owner: Obj, selector: Selector, candidates: Iterable[Obj]) -> Claims:
    """Decide which of the candidates belong to `owner`."""
    claims, uid, dying = Claims([], [], []), owner["metadata"]["uid"], is_terminating(owner)
    for obj in candidates:
        controller = controller_of(obj)
        matches = selector.matches(obj["metadata"].get("labels") or {})
        if controller is not None:
            if controller["uid"] != uid:
                continue
            if matches:
                claims.kept.append(obj)
            elif not dying:
                claims.released.append(obj)
        elif matches and not dying and not is_terminating(obj):
            claims.adopted.append(obj)
    return claims


async def claim(client: Client, kind: Kind, owner: Obj, selector: Selector, resource: Resource,
                candidates: Iterable[Obj]) -> list[Obj]:
    """Adopt and release as decided; return what belongs to `owner` afterwards."""
    claims = sort_claims(owner, selector, candidates)
    if claims.adopted:
        await _still_there(client, kind, owner)
    await asyncio.gather(*(_release(client, owner, resource, obj) for obj in claims.released))
    adopted = await asyncio.gather(*(_adopt(client, kind, owner, resource, obj) for obj in claims.adopted))
    return claims.kept + [obj for obj in adopted if obj is not None]


async def _still_there(client: Client, kind: Kind, owner: Obj) -> None:
    """Ask the API server itself before adopting: the informer may show an owner that is gone."""
    meta = owner["metadata"]
    fresh = await client.get(kind, meta["name"], meta["namespace"])
    if fresh["metadata"]["uid"] != meta["uid"] or is_terminating(fresh):
        raise ApiError(409, "Conflict", f"original {kind.kind} {meta['namespace']}/{meta['name']} is gone")


async def _adopt(client: Client, kind: Kind, owner: Obj, resource: Resource, obj: Obj) -> Obj | None:
    meta = obj["metadata"]
    reference = owner_reference(owner, kind.kind, kind.api_version)
    patch = {"metadata": {"uid": meta["uid"], "ownerReferences": [*(meta.get("ownerReferences") or ()), reference]}}
    return await _patched(client, resource, obj, patch)


async def _release(client: Client, owner: Obj, resource: Resource, obj: Obj) -> Obj | None:
    meta = obj["metadata"]
    left = [o for o in meta.get("ownerReferences") or () if o["uid"] != owner["metadata"]["uid"]]
    return await _patched(client, resource, obj, {"metadata": {"uid": meta["uid"], "ownerReferences": left or None}})


async def _patched(client: Client, resource: Resource, obj: Obj, patch: Obj) -> Obj | None:
    meta = obj["metadata"]
    patch["metadata"]["resourceVersion"] = meta["resourceVersion"]  # someone else's change first: look again
    try:
        return await client.patch(resource, meta["name"], patch, meta.get("namespace"))
    except ApiError as error:
        if error.code in (404, 422):  # gone, or another one of the same name
            return None
        raise
