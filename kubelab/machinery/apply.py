"""Server-side apply: a manager sends all it wants of an object, and the server keeps the wishes of many apart.

    sent ─► merge over live ─► prune what its manager sent last time and nobody owns now ─► conflicts? ─► owned

Invariant: a field has two owners only while both applied the same value; else there is a Conflict, or force.
Models:    k8s.io/apimachinery/pkg/util/managedfields, sigs.k8s.io/structured-merge-diff (merge.Updater)
"""

from __future__ import annotations

import orjson

from kubelab.machinery import typed
from kubelab.machinery.errors import ApiError, bad_request
from kubelab.machinery.fieldset import (
    ANY,
    FieldSet,
    difference,
    intersection,
    paths,
    to_fieldset,
    union,
    with_named,
)
from kubelab.machinery.meta import copy_obj
from kubelab.machinery.ownership import (
    blank,
    compared,
    identity_of,
    ignored_by,
    in_order,
    new_entry,
    track_update,
    tracked,
)
from kubelab.machinery.request import Obj
from kubelab.machinery.schema import Node, compiled

__all__ = ["LAST_APPLIED", "apply", "conflict_error", "track_update"]

BEFORE_FIRST_APPLY = "before-first-apply"
LAST_APPLIED = "kubectl.kubernetes.io/last-applied-configuration"


def apply(live: Obj | None, applied: Obj, manager: str, force: bool, now: str, *, subresource: str = "",
          node: Node | None = None) -> Obj:
    """Return the object after `applied` is put over `live` in the name of `manager`, managedFields included.

    The result is fresh; it is `live` itself when nothing changed.

    Raises: Conflict (every field that another manager owns with another value), BadRequest.
    """
    node = node or compiled(applied["apiVersion"], applied["kind"]) or ANY
    _check_applied(node, applied)
    ignored = ignored_by(node, subresource)
    sent = {name: part for name, part in copy_obj(applied).items() if name != ignored}
    entry = new_entry(manager, "Apply", applied["apiVersion"], subresource, now)
    entry["fieldsV1"] = to_fieldset(node, tracked(sent, ignored))
    if not entry["fieldsV1"].get("f:metadata", True):
        del entry["fieldsV1"]["f:metadata"]
    if live is None:
        new = sent | {"metadata": dict(sent.get("metadata") or {})}
        if entry["fieldsV1"]:
            new["metadata"]["managedFields"] = [entry]
        return new
    entries = live["metadata"].get("managedFields") or _first_entries(live, node, now)
    return _applied_over(live, sent, entries, entry, force, node, ignored)


def _check_applied(node: Node, applied: Obj) -> None:
    wrong = typed.errors_of(node, applied)
    if wrong:
        meta, (group, _, version) = applied.get("metadata") or {}, applied["apiVersion"].rpartition("/")
        said = wrong[0] if len(wrong) == 1 else "errors:\n" + "\n".join(f"  {text}" for text in wrong)
        raise bad_request(f"failed to create typed patch object ({meta.get('namespace', '')}/{meta.get('name', '')}; "
                          f"{group + '/' if group else '/'}{version}, Kind={applied['kind']}): {said}")


def _applied_over(live: Obj, sent: Obj, entries: list[Obj], entry: Obj, force: bool, node: Node,
                  ignored: str | None) -> Obj:
    builtin = compiled(sent["apiVersion"], sent["kind"])
    identity = identity_of(entry)
    last = next((e for e in entries if identity_of(e) == identity), None)
    others = [e for e in entries if e is not last]
    bare = _bare(live)
    new: Obj = typed.merged(node, bare, sent)
    if last is not None and last["fieldsV1"]:
        new = _pruned(node, new, last["fieldsV1"], [to_fieldset(node, sent), *(e["fieldsV1"] for e in others)])
    changed, removed = compared(node, bare, new, ignored)
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
    if not changed and not removed:  # an apply that leaves the object as it is leaves its time too
        entry = {**entry, "time": (last or {}).get("time")}
        entry = last if last == entry else {name: part for name, part in entry.items() if part is not None}
    if entry["fieldsV1"]:
        kept.append(entry)
    if entry["manager"] == "kubectl":
        _keep_last_applied(new, live, sent)
    kept = in_order(kept)
    if new == bare and kept == entries:
        return live
    new = copy_obj(new if node is builtin else typed.filled(new, bare))
    if kept:
        new["metadata"]["managedFields"] = kept
    return new


def _bare(obj: Obj) -> Obj:
    return obj | {"metadata": {name: part for name, part in obj["metadata"].items() if name != "managedFields"}}


def _first_entries(live: Obj, node: Node, now: str) -> list[Obj]:
    """Give an object without managedFields the manager that stands for everybody before the first apply."""
    entry = new_entry(BEFORE_FIRST_APPLY, "Update", live["apiVersion"], "", now)
    fields, _ = compared(node, blank(live["apiVersion"], live["kind"]), live, None)
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
    return out if "metadata" in out else {**out, "metadata": {}}


def conflict_error(conflicts: list[tuple[Obj, FieldSet]]) -> ApiError:
    """Say which fields are whose, in Kubernetes' words."""
    by_manager = [(_manager_said(entry), list(paths(found)))
                  for entry, found in sorted(conflicts, key=lambda c: orjson.dumps(identity_of(c[0])))]
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
    """Drop conflicts over fields that kubectl itself applied, from the client side, and that are as it left them."""
    before = _last_applied(live)
    if before is None:
        return conflicts
    changed, removed = compared(node, before, live, None)
    own = difference(difference(to_fieldset(node, before), changed), removed)
    return [(entry, rest) for entry, found in conflicts if (rest := difference(found, own))]


def _keep_last_applied(new: Obj, live: Obj, sent: Obj) -> None:
    """Where kubectl applied from the client side before, keep its annotation in step for the way back."""
    if _last_applied(live) is None:
        return
    meta = dict(sent.get("metadata") or {})
    annotations = {k: v for k, v in (meta.get("annotations") or {}).items() if k != LAST_APPLIED}
    config = {**sent, "metadata": {**meta, "annotations": annotations}}
    text = orjson.dumps(config, option=orjson.OPT_SORT_KEYS).decode() + "\n"
    merged = {**(new["metadata"].get("annotations") or {}), LAST_APPLIED: text}
    new["metadata"] = {**new["metadata"], "annotations": merged}
