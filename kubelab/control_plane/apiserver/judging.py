"""What is wrong with an object that is about to be stored: its metadata, what its kind asks, what may not change.

    object ─► metadata ─► the rules of its kind ─► what may not change ─► every error at once, or none

Invariant: nothing is stored that has an error, and nothing is refused with a part of its errors.
Models:    k8s.io/apiserver/pkg/registry/rest BeforeCreate, BeforeUpdate: the validation in them
"""

from __future__ import annotations

from collections.abc import Sequence

from kubelab.control_plane.apiserver.call import SPEC_PARTS, STATUS_PARTS, Call
from kubelab.machinery.errors import FieldError, forbidden_field, invalid, invalid_value
from kubelab.machinery.meta import validate_object_meta
from kubelab.machinery.request import Obj
from kubelab.units.catalogue import Kind
from kubelab.units.object_parts import IMMUTABLE

FREE = ("name", "generateName", "labels", "annotations", "ownerReferences", "finalizers")


def validate(call: Call, obj: Obj, old: Obj | None) -> None:
    """Raise `Invalid` with everything that is wrong with an object."""
    kind, subresource, metadata = call.kind, call.subresource, obj["metadata"]
    before = old["metadata"] if old is not None else {}
    errors: list[FieldError] = []
    if old is None or any(metadata.get(key) != before.get(key) for key in FREE):  # else it was valid before
        errors += validate_object_meta(metadata, kind)
    if old is not None:
        looks = kind.meta_looks if kind.own is None and not subresource else (1, 0)
        errors = _as_often(errors, *looks) + _change_errors(metadata, before) * (1 + looks[0])
    errors += _of_kind(kind, obj, old, subresource)
    if errors:
        raise invalid(call.told_group, kind.kind, obj["metadata"].get("name") or "", errors)


def _of_kind(kind: Kind, obj: Obj, old: Obj | None, subresource: str) -> Sequence[FieldError]:
    if kind.own is not None:
        own: Sequence[FieldError] = kind.own.validate(obj, old, of_status=subresource == "status")
        return own
    if subresource in STATUS_PARTS:
        return kind.validate_part(obj, old or {}, subresource)
    if old is None:
        return kind.validate(obj)
    whole = [] if kind.update_alone else kind.validate(obj)
    if subresource in SPEC_PARTS:
        return [*whole, *kind.validate_part(obj, old, subresource)]
    changed = kind.validate_update(obj, old)
    return [*changed, *whole] if kind.update_first else [*whole, *changed]


def _change_errors(new: Obj, old: Obj) -> list[FieldError]:
    """Return what of the metadata may not change: identity and, while the object goes, who holds it."""
    errors = [invalid_value(f"metadata.{key}", new[key], "field is immutable") for key in IMMUTABLE
              if new.get(key) != old.get(key)]
    added = sorted(set(new.get("finalizers") or ()) - set(old.get("finalizers") or ()))
    if not added or "deletionTimestamp" not in old:
        return errors
    names = ", ".join(f'"{name}"' for name in added)
    return [forbidden_field("metadata.finalizers", "no new finalizers can be added if the object is being deleted, "
                            f"found new finalizers []string{{{names}}}"), *errors]


def _as_often(errors: list[FieldError], as_update: int, as_new: int) -> list[FieldError]:
    """Return what is wrong with an update's metadata as often as upstream finds it: twice, and then by kind."""
    finalizers = [e for e in errors if e.field.startswith("metadata.finalizers")]
    others = [e for e in errors if e not in finalizers]
    for_all = [e for e in finalizers if e.field == "metadata.finalizers"]  # not those of core/v1's own names
    return others + for_all + others * (1 + as_update) + errors * as_new
