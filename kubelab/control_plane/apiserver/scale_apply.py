"""Server-side apply to /scale: who owns `spec.replicas` is told in the words of a Scale, and back in its parent's.

    parent's managedFields ─► those of a Scale ─► apply ─► the parent's: one path, moved from owner to owner

Invariant: no field but the replicas changes its owner.
Models:    k8s.io/apiserver/pkg/util/managedfields/scalehandler.go
"""

from __future__ import annotations

from kubelab.control_plane.apiserver.call import Call
from kubelab.machinery import apply, jsonpath
from kubelab.machinery.fieldset import FieldSet, difference, intersection
from kubelab.machinery.meta import copy_obj
from kubelab.machinery.ownership import identity_of, in_order
from kubelab.machinery.request import Obj
from kubelab.units.scale import SCALE, scale_of, with_replicas

IN_SCALE: FieldSet = {"f:spec": {"f:replicas": {}}}


def applied(call: Call, parent: Obj, sent: Obj, force: bool, stamp: str, paths: Obj | None) -> Obj:
    """Return a fresh parent with the applied Scale's replicas and their owner. Raises `Conflict`."""
    way = jsonpath.names(paths["specReplicasPath"]) or [] if paths is not None else ["spec", "replicas"]
    place = _fields(way)
    entries = parent["metadata"].get("managedFields") or []
    owners = [{**entry, "apiVersion": SCALE.api_version, "fieldsV1": IN_SCALE} for entry in entries
              if intersection(entry["fieldsV1"], place)]
    scale = scale_of(parent, paths)
    scale["metadata"]["managedFields"] = owners
    merged = apply.apply(scale, sent, call.manager, force, stamp, subresource=call.subresource)
    new = with_replicas(copy_obj(parent), merged, paths)
    after = {_who(entry): entry for entry in merged["metadata"].get("managedFields") or ()
             if intersection(entry["fieldsV1"], IN_SCALE)}
    kept = []
    for entry in entries:
        if _who(entry) in after or not intersection(entry["fieldsV1"], place):
            after.pop(_who(entry), None)
            kept.append(entry)
        elif fields := difference(entry["fieldsV1"], place):  # another took the replicas from it
            kept.append({**entry, "fieldsV1": fields})
    kept += [{**entry, "apiVersion": parent["apiVersion"], "fieldsV1": place} for entry in after.values()]
    new["metadata"]["managedFields"] = in_order(kept)
    return new


def _fields(way: list[str]) -> FieldSet:
    fields: FieldSet = {}
    for name in reversed(way):
        fields = {f"f:{name}": fields}
    return fields


def _who(entry: Obj) -> tuple[object, ...]:
    return identity_of({**entry, "apiVersion": ""})
