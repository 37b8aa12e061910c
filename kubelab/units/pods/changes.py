"""What of a pod may change once it exists: its images, its deadline, more tolerations; while it is gated, its place.

    new ─► what may change is put back as it was ─► munged ─► still not the old one? ─► refused, with the difference

Models: ValidatePodUpdate of pkg/apis/core/validation
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from kubelab.machinery import quantity
from kubelab.machinery.errors import FieldError, invalid_value, required
from kubelab.machinery.request import Obj
from kubelab.units import go_shapes, rules
from kubelab.units.placement_validation import REQUIRED, toleration_errors
from kubelab.units.pods.annotations import annotation_changes
from kubelab.units.pods.containers import image_errors

UPDATABLE = (
    "pod updates may not change fields other than `spec.containers[*].image`,`spec.initContainers[*].image`,"
    "`spec.activeDeadlineSeconds`,`spec.tolerations` (only additions to existing tolerations),"
    "`spec.terminationGracePeriodSeconds` (allow it to be set to 1 if it was previously negative)")


def validate_update(new: Obj, old: Obj) -> Sequence[FieldError]:
    """Return what may not change, in a pod that was looked at as a new one is already."""
    return [*annotation_changes(new, old, "metadata.annotations"), *_spec_changes(new["spec"], old["spec"])]


def _spec_changes(new: Obj, old: Obj) -> rules.Errors:
    for key in ("containers", "initContainers"):
        if len(new.get(key) or ()) != len(old.get(key) or ()):
            yield rules.forbidden(f"spec.{key}", "pod updates may not add or remove containers")
            return
        for i, one in enumerate(new.get(key) or ()):
            if not one.get("image"):
                yield required(f"spec.{key}[{i}].image")
            yield from image_errors(one, f"spec.{key}[{i}]")
    deadline = list(_deadline_changes(new.get("activeDeadlineSeconds"), old.get("activeDeadlineSeconds")))
    yield from deadline
    if deadline and new.get("activeDeadlineSeconds") is not None:
        return
    yield from _toleration_changes(new.get("tolerations") or [], old.get("tolerations") or [])
    after, before = ([gate.get("name", "") for gate in spec.get("schedulingGates") or ()] for spec in (new, old))
    for i, gate in enumerate(after):
        if gate not in before:
            yield rules.forbidden(f"spec.schedulingGates[{i}].name",
                                  f"only deletion is allowed, but found new scheduling gate '{gate}'")
    if old.get("schedulingGates"):
        yield from _place_changes(new, old)
    difference = spec_difference(old, _munged(new, old))
    if difference:
        yield rules.forbidden("spec", f"{UPDATABLE}\n{difference}")


def _deadline_changes(new: int | None, old: int | None) -> rules.Errors:
    field = "spec.activeDeadlineSeconds"
    if new is None:
        if old is not None:
            yield invalid_value(field, None, "must not update from a positive integer to nil value")
    elif not 0 <= new <= rules.MAX_INT32:
        yield from rules.in_range(field, new, 0, rules.MAX_INT32)
    elif old is not None and old < new:
        yield invalid_value(field, new, "must be less than or equal to previous value")


def _toleration_changes(new: Sequence[Obj], old: Sequence[Obj]) -> rules.Errors:
    def bare(toleration: Obj) -> Obj:
        return {k: v for k, v in toleration.items() if k != "tolerationSeconds"}

    known = [bare(t) for t in new]
    if all(bare(t) in known for t in old):
        yield from toleration_errors(new, "spec.tolerations")
    else:
        yield rules.forbidden("spec.tolerations",
                              "existing toleration can not be modified except its tolerationSeconds")


def _place_changes(new: Obj, old: Obj) -> rules.Errors:
    """A pod that is held back may be narrowed down to fewer nodes, not let onto others."""
    selector, before = new.get("nodeSelector"), old.get("nodeSelector") or {}
    if any((selector or {}).get(key) != value for key, value in before.items()):
        yield invalid_value("spec.nodeSelector", selector,
                            "only additions to spec.nodeSelector are allowed (no mutations or deletions)")
    terms, known = (((spec.get("affinity") or {}).get("nodeAffinity") or {}).get(REQUIRED) or {} for spec in (new, old))
    after, were = terms.get("nodeSelectorTerms") or [], known.get("nodeSelectorTerms") or []
    field = f"spec.affinity.nodeAffinity.{REQUIRED}.nodeSelectorTerms"
    if were and len(after) != len(were):
        yield rules.invalid_struct(field, [go_shapes.printed(go_shapes.NODE_TERM, term) for term in after] or None,
                                   "no additions/deletions to non-empty NodeSelectorTerms list are allowed")
        return
    for i, (term, was) in enumerate(zip(after, were, strict=False)):
        if not _only_added(term, was):
            yield rules.invalid_struct(f"{field}[{i}]", go_shapes.printed(go_shapes.NODE_TERM, term),
                                       "only additions are allowed (no mutations or deletions)")


def _only_added(new: Obj, old: Obj) -> bool:
    parts = [(new.get(key) or [], old.get(key) or []) for key in ("matchExpressions", "matchFields")]
    if not any(before for _, before in parts):
        return not any(after for after, _ in parts)
    return all(after[:len(before)] == before for after, before in parts)


def _munged(new: Obj, old: Obj) -> Obj:
    """Return the new spec with what may change as it was."""
    put_back = ["activeDeadlineSeconds", "schedulingGates", "tolerations"]
    if old.get("terminationGracePeriodSeconds", 0) < 0 and new.get("terminationGracePeriodSeconds") == 1:
        put_back.append("terminationGracePeriodSeconds")
    if old.get("schedulingGates"):
        put_back.append("nodeSelector")
    out = {**{k: v for k, v in new.items() if k not in put_back}, **{k: old[k] for k in put_back if k in old}}
    for key in ("containers", "initContainers"):
        if new.get(key):
            out[key] = [{**one, "image": was.get("image", "")} for one, was in zip(new[key], old[key], strict=True)]
    if old.get("schedulingGates"):
        node = (old.get("affinity") or {}).get("nodeAffinity")
        affinity = {k: v for k, v in (new.get("affinity") or {}).items() if k != "nodeAffinity"}
        out["affinity"] = {**affinity, **({} if node is None else {"nodeAffinity": node})} or None
    return out


def spec_difference(old: Obj, new: Obj) -> str:
    """Return the difference of two specs as upstream shows it, "" when they mean the same."""
    if old == new:
        return ""  # as nearly always: the long way takes as long as the rest of a patch
    before, after = go_shapes.pod_spec(old), go_shapes.pod_spec(new)
    if _meaning(before) == _meaning(after):
        return ""
    return go_shapes.difference(before, after)


def _meaning(value: Any, key: str = "") -> Any:
    """Return a value without what is empty, and with amounts that are equal written alike."""
    if isinstance(value, dict):
        inside = {k: _meaning(v, k) for k, v in value.items()}
        if key in ("Limits", "Requests", "Overhead"):
            inside = {k: quantity.canonical(v) for k, v in inside.items()}
        return {k: v for k, v in inside.items() if v not in (None, {}, [])}
    return [_meaning(v) for v in value] if isinstance(value, list) else value
