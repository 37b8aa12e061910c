"""Who owns which field: managedFields, kept up on every write.

    create, update, patch ─► compare(old, new) ─► changed: now the writer's, and no one else's
                                              └─► removed: nobody's

Invariant: entries that a write leaves alone are the same dicts before and after; none is changed in place.
Models:    k8s.io/apimachinery/pkg/util/managedfields
Left out:  conversion of sets between versions of a group (each kind here has one version)
"""

from __future__ import annotations

from functools import cache
from typing import Any

import orjson

from kubelab.machinery.fieldset import ANY, FieldSet, compare, difference, union
from kubelab.machinery.request import Obj
from kubelab.machinery.schema import Node, compiled

MAX_UPDATE_MANAGERS = 10
ANCIENT = "ancient-changes"

_UNTRACKED = frozenset({"name", "namespace", "creationTimestamp", "selfLink", "uid", "clusterName", "generation",
                        "managedFields", "resourceVersion"})  # of metadata: the server's, or the object's identity
_IGNORED = {"": "status", "status": "spec"}  # what a write to this subresource cannot change
# Structs that Go holds by value are there, empty, in an object that says nothing, and so are never "added".
# Besides required fields these are:
_BY_VALUE = frozenset({
    ("DeploymentSpec", "strategy"), ("ReplicaSetSpec", "template"), ("PodTemplateSpec", "spec"),
    ("StatefulSetSpec", "updateStrategy"), ("DaemonSetSpec", "updateStrategy"), ("JobTemplateSpec", "spec"),
    ("ServiceStatus", "loadBalancer"), ("IngressStatus", "loadBalancer"), ("NodeStatus", "daemonEndpoints"),
    ("NodeDaemonEndpoints", "kubeletEndpoint"), ("NodeStatus", "nodeInfo"), ("Event", "source"),
    ("PersistentVolumeClaimSpec", "resources"), ("NetworkPolicySpec", "podSelector"),
})
_ZERO = {"string": "", "int32": 0, "int64": 0, "number": 0, "boolean": False}


@cache
def blank(api_version: str, kind: str) -> Obj:
    """Return what an object of this kind is before anything is said of it: Go's zero value."""
    node = compiled(api_version, kind)
    out = _blank_struct(node) if node is not None else {}
    return out | {"reportingComponent": "", "reportingInstance": ""} if kind == "Event" else out


def _blank_struct(node: Node) -> Obj:
    out: Obj = {}
    for name, child in node.fields.items():
        usual = child.struct in ("ObjectMeta", f"{node.struct}Spec", f"{node.struct}Status")
        if child.kind == "struct" and (usual or name in node.required or (node.struct, name) in _BY_VALUE):
            out[name] = _blank_struct(child)
        elif name in node.required:
            out[name] = _ZERO.get(child.kind)
    return out


def ignored_by(node: Node, subresource: str) -> str | None:
    """Return the part of an object that a write to this subresource, or to the object itself, cannot change."""
    return _IGNORED.get(subresource) if node.status_apart else None


def compared(node: Node, old: Obj, new: Obj, ignored: str | None) -> tuple[FieldSet, FieldSet]:
    """Return (changed or added, removed) of what is tracked at all."""
    changed: FieldSet = {}
    removed: FieldSet = {}
    compare(node, tracked(old, ignored), tracked(new, ignored), changed, removed)
    return changed, removed


def tracked(obj: Obj, ignored: str | None) -> Obj:
    out = {name: part for name, part in obj.items() if name not in ("apiVersion", "kind", ignored)}
    out["metadata"] = {name: part for name, part in (obj.get("metadata") or {}).items() if name not in _UNTRACKED}
    return out


def track_update(old: Obj | None, new: Obj, manager: str, operation: str, subresource: str, now: str,
                 node: Node | None = None) -> Obj:
    """Set `new`'s managedFields for a write that is no apply; `new` is the writer's own, `old` the stored object.

    Call it on create before the server fills in what is its own. `now` is a timestamp.
    """
    meta = new["metadata"]
    entries = _entries_before(old, meta.pop("managedFields", None), subresource)
    if old is not None and not entries:
        return new  # an object that was never tracked, or was reset to that, stays so until it is applied to
    node = node or compiled(new["apiVersion"], new["kind"]) or ANY
    before = blank(new["apiVersion"], new["kind"]) if old is None else old
    changed, removed = compared(node, before, new, ignored_by(node, subresource))
    if changed or removed:
        entry = new_entry(manager, operation, new["apiVersion"], subresource, now)
        entries = _updated(entries, entry, changed, removed)
    if entries:
        meta["managedFields"] = entries
    return new


def _entries_before(old: Obj | None, given: Any, subresource: str) -> list[Obj]:
    """Return the entries to go on from: a client may set them itself, and [] or [{}] resets them."""
    live: list[Obj] = (old or {}).get("metadata", {}).get("managedFields") or []
    if subresource or not isinstance(given, list) or given == live:
        return live
    if given in ([], [{}]):
        return []
    return given if all(_is_legible(entry) for entry in given) else live


def _is_legible(entry: Any) -> bool:
    return isinstance(entry, dict) and _is_fieldset(entry.get("fieldsV1")) and entry.get("fieldsType") == "FieldsV1" \
        and entry.get("operation") in ("Apply", "Update") and bool(entry.get("apiVersion")) \
        and all(isinstance(entry.get(key, ""), str) for key in ("manager", "apiVersion", "time", "subresource"))


def _is_fieldset(fields: Any) -> bool:
    return isinstance(fields, dict) and all(
        (key == "." or (key[:2] in ("f:", "i:") or _is_json(key))) and _is_fieldset(below)
        for key, below in fields.items())


def _is_json(element: str) -> bool:
    """Read the element of a list: k:{"name":"web"} by its keys, v:"x" by its value."""
    try:
        read = orjson.loads(element[2:])
    except orjson.JSONDecodeError:
        return False
    return element.startswith("v:") or (element.startswith("k:") and isinstance(read, dict))


def new_entry(manager: str, operation: str, api_version: str, subresource: str, now: str) -> Obj:
    entry: Obj = {"manager": manager or "unknown", "operation": operation, "apiVersion": api_version, "time": now,
                  "fieldsType": "FieldsV1", "fieldsV1": {}}
    if subresource == "scale":
        del entry["time"]  # upstream translates a Scale's entries into its parent's, and the times do not come along
    return entry | {"subresource": subresource} if subresource else entry


def identity_of(entry: Obj) -> tuple[str, str, str, str]:
    """Return what makes two entries one; an applier is the same whatever version it applies in."""
    operation = entry.get("operation", "")
    version = "" if operation == "Apply" else entry.get("apiVersion", "")
    return entry.get("manager", ""), operation, version, entry.get("subresource", "")


def _updated(entries: list[Obj], entry: Obj, changed: FieldSet, removed: FieldSet) -> list[Obj]:
    """Give `changed` to the writer of `entry` and take it, and what was removed, from everybody else."""
    out: list[Obj] = []
    identity = identity_of(entry)
    mine = changed
    for other in entries:
        fields = difference(other["fieldsV1"], removed) if removed else other["fieldsV1"]
        if identity_of(other) == identity:
            mine = union(fields, changed) if changed else fields
            entry = {**other, **({"time": entry["time"]} if "time" in entry else {})} if changed else other
            continue
        fields = difference(fields, changed) if changed else fields
        if fields is other["fieldsV1"]:
            out.append(other)
        elif fields:
            out.append({**other, "fieldsV1": fields})
    if mine:
        out.append({**entry, "fieldsV1": mine})
    return in_order(_capped(out))


def in_order(entries: list[Obj]) -> list[Obj]:
    return sorted(entries, key=lambda e: (e.get("operation", ""), e.get("time", ""), e.get("manager", ""),
                                          e.get("apiVersion", ""), e.get("subresource", "")))


def _capped(entries: list[Obj]) -> list[Obj]:
    """Merge the oldest updaters into one once there are too many to keep apart."""
    updaters = [entry for entry in entries if entry.get("operation") == "Update"]
    surplus = len(updaters) - MAX_UPDATE_MANAGERS
    if surplus <= 0:
        return entries
    oldest = sorted(updaters, key=lambda e: (e.get("manager") != ANCIENT, e.get("time", ""), e.get("manager", "")))
    bucketed = oldest[:surplus + 1]
    fields: FieldSet = {}
    for entry in bucketed:
        fields = union(fields, entry["fieldsV1"])
    ancient = {**bucketed[-1], "manager": ANCIENT, "fieldsV1": fields}
    ancient.pop("subresource", None)
    return [entry for entry in entries if not any(entry is old for old in bucketed)] + [ancient]
