"""Admin access to devices: only where the namespace is marked for it.

    claim or template with exactly.adminAccess: true ─► namespace labelled resource.kubernetes.io/admin-access=true?

Models:    pkg/registry/resource (AuthorizedForAdmin, which upstream asks while it validates)
"""

from __future__ import annotations

from kubelab.control_plane.apiserver.admission.plugin import NO_OBJ, Attributes, Plugin
from kubelab.machinery.errors import FieldError, forbidden_field, invalid
from kubelab.machinery.request import Obj

LABEL = "resource.kubernetes.io/admin-access"


class DeviceAdminAccess(Plugin):
    name = "DeviceAdminAccess"
    handles = ("CREATE resourceclaims", "CREATE resourceclaimtemplates", "UPDATE resourceclaims/status")

    def validate(self, a: Attributes) -> None:
        errors = _asked(a.obj) if a.operation == "CREATE" else _given(a.obj, a.old)
        if not errors:
            return
        metadata = (self.get("", "namespaces", a.namespace) or NO_OBJ).get("metadata") or NO_OBJ
        if (metadata.get("labels") or NO_OBJ).get(LABEL) != "true":
            raise invalid(a.call.kind.group, a.call.kind.kind, a.name, errors[:1])


def _asked(obj: Obj) -> list[FieldError]:
    spec = obj.get("spec") or NO_OBJ
    devices = (spec.get("spec") or spec).get("devices") or NO_OBJ
    asked = [request.get("exactly") or NO_OBJ for request in devices.get("requests") or ()]
    return [_refusal(f"spec.devices.requests[{i}].adminAccess")
            for i, exactly in enumerate(asked) if exactly.get("adminAccess")]


def _given(new: Obj, old: Obj) -> list[FieldError]:
    had = any(result.get("adminAccess") for result in _results(old))
    return [] if had else [_refusal(f"status.allocation.devices.results[{i}].adminAccess")
                           for i, result in enumerate(_results(new)) if result.get("adminAccess")]


def _results(claim: Obj) -> list[Obj]:
    allocation = (claim.get("status") or NO_OBJ).get("allocation") or NO_OBJ
    return (allocation.get("devices") or NO_OBJ).get("results") or []


def _refusal(field: str) -> FieldError:
    return forbidden_field(field, f"admin access to devices requires the `{LABEL}: true` label on the containing "
                                  "namespace")
