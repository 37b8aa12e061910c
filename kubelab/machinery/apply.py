"""Who owns which field: managedFields kept up on every write, and server-side apply built on them.

    create, update, patch ─► track_update: what changed is now its writer's, and no one else's
    apply ─► merge what is sent ─► prune what its manager sent last time and nobody owns ─► conflicts? ─► owned

Invariant: a leaf field that a write changes belongs to that write's manager alone; sharing needs equal values applied.
Models:    k8s.io/apimachinery/pkg/util/managedfields
Left out:  conversion of sets between versions of a group (each kind here has one version)
"""

from __future__ import annotations

from functools import lru_cache
from typing import Any

import orjson

from kubelab.machinery import typed
from kubelab.machinery.errors import ApiError, bad_request
from kubelab.machinery.fieldset import (
    ANY,
    FieldSet,
    compare,
    difference,
    intersection,
    paths,
    to_fieldset,
    union,
    with_named,
)
from kubelab.machinery.meta import copy_obj
from kubelab.machinery.request import Obj
from kubelab.machinery.schema import Node, compiled

MAX_UPDATE_MANAGERS = 10
ANCIENT = "ancient-changes"
BEFORE_FIRST_APPLY = "before-first-apply"
LAST_APPLIED = "kubectl.kubernetes.io/last-applied-configuration"

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


@lru_cache(maxsize=None)
def _blank(api_version: str, kind: str) -> Obj:
    """Return what an object of this kind is before anything is said of it: Go's zero value."""
    node = compiled(api_version, kind)
    blank = _blank_struct(node) if node is not None else {}
    if kind == "Event":
        blank |= {"reportingComponent": "", "reportingInstance": ""}
    return blank


def _blank_struct(node: Node) -> Obj:
    out: Obj = {}
    for name, child in node.fields.items():
        by_value = name in node.required or (node.struct, name) in _BY_VALUE or \
            child.struct == "ObjectMeta" or (name in ("spec", "status") and child.struct == f"{node.struct}{name.title()}")
        if child.kind == "struct" and by_value:
            out[name] = _blank_struct(child)
        elif name in node.required:
            out[name] = _ZERO.get(child.kind)
    return out


def _compared(node: Node, old: Obj, new: Obj, ignored: str | None) -> tuple[FieldSet, FieldSet]:
    """Return (changed or added, removed) of what is tracked at all."""
    changed: FieldSet = {}
    removed: FieldSet = {}
    compare(node, _tracked(old, ignored), _tracked(new, ignored), changed, removed)
    return changed, removed


def _tracked(obj: Obj, ignored: str | None) -> Obj:
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
    before = _blank(new["apiVersion"], new["kind"]) if old is None else old
    changed, removed = _compared(node, before, new, _IGNORED.get(subresource))
    if changed or removed:
        entry = _entry(manager, operation, new["apiVersion"], subresource, now)
        entries = _updated(entries, entry, changed, removed)
    if entries:
        meta["managedFields"] = entries
    return new


def _entries_before(old: Obj | None, given: Any, subresource: str) -> list[Obj]:
    """Return the entries to go on from: a client may set them itself, and [{}] resets them."""
    live: list[Obj] = (old or {}).get("metadata", {}).get("managedFields") or []
    if subresource or not given or not isinstance(given, list) or given is live:
        return live
    if given == [{}]:
        return []
    legible = all(isinstance(entry, dict) and isinstance(entry.get("fieldsV1"), dict) for entry in given)
    return given if legible else live


def _entry(manager: str, operation: str, api_version: str, subresource: str, now: str) -> Obj:
    entry: Obj = {"manager": manager or "unknown", "operation": operation, "apiVersion": api_version, "time": now,
                  "fieldsType": "FieldsV1", "fieldsV1": {}}
    return entry | {"subresource": subresource} if subresource else entry


def _identity(entry: Obj) -> tuple[str, str, str, str]:
    """Return what makes two entries one; an applier is the same whatever version it applies in."""
    operation = entry.get("operation", "")
    version = "" if operation == "Apply" else entry.get("apiVersion", "")
    return entry.get("manager", ""), operation, version, entry.get("subresource", "")


def _updated(entries: list[Obj], entry: Obj, changed: FieldSet, removed: FieldSet) -> list[Obj]:
    """Give `changed` to the writer of `entry` and take it, and what was removed, from everybody else."""
    out: list[Obj] = []
    identity = _identity(entry)
    mine = changed
    for other in entries:
        fields = difference(other["fieldsV1"], removed) if removed else other["fieldsV1"]
        if _identity(other) == identity:
            mine = union(fields, changed) if changed else fields
            entry = {**other, "time": entry["time"]} if changed else other
            continue
        fields = difference(fields, changed) if changed else fields
        if fields is other["fieldsV1"]:
            out.append(other)
        elif fields:
            out.append({**other, "fieldsV1": fields})
    if mine:
        out.append({**entry, "fieldsV1": mine})
    return _sorted(_capped(out))


def _sorted(entries: list[Obj]) -> list[Obj]:
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


def apply(live: Obj | None, applied: Obj, manager: str, force: bool, now: str, *, subresource: str = "",
          node: Node | None = None) -> Obj:
    """Return the object after `applied` is put over `live` in the name of `manager`, managedFields included.

    The result is fresh; it is `live` itself when nothing changed.

    Raises: Conflict (every field that another manager owns with another value), BadRequest.
    """
    node = node or compiled(applied["apiVersion"], applied["kind"]) or ANY
    _check_applied(node, applied)
    ignored = _IGNORED.get(subresource)
    sent = {name: part for name, part in copy_obj(applied).items() if name != ignored}
    entry = _entry(manager, "Apply", applied["apiVersion"], subresource, now)
    entry["fieldsV1"] = to_fieldset(node, _tracked(sent, ignored))
    if not entry["fieldsV1"].get("f:metadata", True):
        del entry["fieldsV1"]["f:metadata"]
    if live is None:
        new = sent | {"metadata": dict(sent.get("metadata") or {})}
        if entry["fieldsV1"]:
            new["metadata"]["managedFields"] = [entry]
        return new
    return _applied_over(live, sent, entry, force, node, ignored)


def _check_applied(node: Node, applied: Obj) -> None:
    wrong = typed.errors_of(node, applied)
    if wrong:
        meta, (group, _, version) = applied.get("metadata") or {}, applied["apiVersion"].rpartition("/")
        said = wrong[0] if len(wrong) == 1 else "errors:\n" + "\n".join(f"  {text}" for text in wrong)
        raise bad_request(f"failed to create typed patch object ({meta.get('namespace', '')}/{meta.get('name', '')}; "
                          f"{group + '/' if group else '/'}{version}, Kind={applied['kind']}): {said}")


def _applied_over(live: Obj, sent: Obj, entry: Obj, force: bool, node: Node, ignored: str | None) -> Obj:
    entries: list[Obj] = live["metadata"].get("managedFields") or _first_entries(live, node, entry["time"])
    identity = _identity(entry)
    last = next((e for e in entries if _identity(e) == identity), None)
    others = [e for e in entries if e is not last]
    bare = _bare(live)
    new: Obj = typed.merged(node, bare, sent)
    if last is not None and last["fieldsV1"]:
        new = _pruned(node, new, last["fieldsV1"], [entry["fieldsV1"], *(e["fieldsV1"] for e in others)])
    changed, removed = _compared(node, bare, new, ignored)
    conflicts = [(e, found) for e in others if (found := intersection(e["fieldsV1"], changed))]
    if conflicts and not force:
        conflicts = _not_by_last_applied(conflicts, live, node) if entry["manager"] == "kubectl" else conflicts
        if conflicts:
            raise conflict_error(conflicts)
    kept: list[Obj] = []
    for other in others:
        fields = difference(difference(other["fieldsV1"], changed), removed)
        if fields:
            kept.append(other if fields is other["fieldsV1"] else {**other, "fieldsV1": fields})
    if last is not None and not changed and not removed and last["fieldsV1"] == entry["fieldsV1"]:
        entry = last
    if entry["fieldsV1"]:
        kept.append(entry)
    if entry["manager"] == "kubectl":
        _keep_last_applied(new, live, sent)
    kept = _sorted(kept)
    if new == bare and kept == entries:
        return live
    new = copy_obj(new)
    new["metadata"]["managedFields"] = kept
    return new


def _bare(obj: Obj) -> Obj:
    return obj | {"metadata": {name: part for name, part in obj["metadata"].items() if name != "managedFields"}}


def _first_entries(live: Obj, node: Node, now: str) -> list[Obj]:
    """Give an object without managedFields the manager that stands for everybody before the first apply."""
    entry = _entry(BEFORE_FIRST_APPLY, "Update", live["apiVersion"], "", now)
    fields, _ = _compared(node, _blank(live["apiVersion"], live["kind"]), live, None)
    return [entry | {"fieldsV1": fields}] if fields else []


def _pruned(node: Node, new: Obj, last: FieldSet, owned: list[FieldSet]) -> Obj:
    """Take away what the manager applied last time, unless it, or anybody else, still owns it."""
    last = with_named(last, node)
    there = with_named(to_fieldset(node, new), node)
    cut = typed.without(node, new, last)
    managed: FieldSet = {}
    for fields in owned:
        managed = union(managed, fields)
    left = with_named(to_fieldset(node, cut), node)
    cut = typed.without(node, new, difference(there, union(left, with_named(managed, node))))
    left = with_named(to_fieldset(node, cut), node)
    out: Obj = typed.without(node, new, intersection(difference(there, left), last))
    return {"metadata": {}, **out}


def conflict_error(conflicts: list[tuple[Obj, FieldSet]]) -> ApiError:
    """Say which fields are whose, in Kubernetes' words."""
    by_manager = [(_manager_said(entry), list(paths(found)))
                  for entry, found in sorted(conflicts, key=lambda c: orjson.dumps(_identity(c[0])))]
    causes = [{"reason": "FieldManagerConflict", "message": f"conflict with {who}", "field": path}
              for who, fields in by_manager for path in fields]
    if len(causes) == 1:
        message = f"Apply failed with 1 conflict: {causes[0]['message']}: {causes[0]['field']}"
    else:
        lines = [line for who, fields in by_manager for line in (f"conflicts with {who}:", *(f"- {f}" for f in fields))]
        message = f"Apply failed with {len(causes)} conflicts: " + "\n".join(lines)
    return ApiError(409, "Conflict", message, {"causes": causes})


def _manager_said(entry: Obj) -> str:
    said = orjson.dumps(entry.get("manager", "")).decode()
    if entry.get("subresource"):
        said += f" with subresource {orjson.dumps(entry['subresource']).decode()}"
    return f"{said} using {entry.get('apiVersion', '')}" if entry.get("operation") == "Update" else said


def _last_applied(obj: Obj) -> Obj | None:
    text = (obj["metadata"].get("annotations") or {}).get(LAST_APPLIED)
    try:
        value = orjson.loads(text) if text else None
    except orjson.JSONDecodeError:
        return None
    return value if isinstance(value, dict) else None


def _not_by_last_applied(conflicts: list[tuple[Obj, FieldSet]], live: Obj,
                         node: Node) -> list[tuple[Obj, FieldSet]]:
    """Drop conflicts over fields that kubectl itself applied from the client side, and that still are as it left them."""
    before = _last_applied(live)
    if before is None:
        return conflicts
    changed, removed = _compared(node, before, live, None)
    own = difference(difference(to_fieldset(node, before), changed), removed)
    return [(entry, rest) for entry, found in conflicts if (rest := difference(found, own))]


def _keep_last_applied(new: Obj, live: Obj, sent: Obj) -> None:
    """Where kubectl applied from the client side before, keep its annotation in step for the way back."""
    if _last_applied(live) is None:
        return
    meta = dict(sent.get("metadata") or {})
    annotations = {k: v for k, v in (meta.get("annotations") or {}).items() if k != LAST_APPLIED}
    text = orjson.dumps({**sent, "metadata": {**meta, "annotations": annotations}}, option=orjson.OPT_SORT_KEYS).decode()
    merged = {**(new["metadata"].get("annotations") or {}), LAST_APPLIED: text + "\n"}
    new["metadata"] = {**new["metadata"], "annotations": merged}
