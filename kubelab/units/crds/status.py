"""What the status of a CustomResourceDefinition tells: that it is served, and how far its end has come.

Models:    apiextensions-apiserver/pkg/apis/apiextensions, helpers
"""

from __future__ import annotations

from urllib.parse import urlsplit

from kubelab.machinery.meta import set_condition
from kubelab.machinery.request import Obj

APPROVAL = "api-approved.kubernetes.io"
_SEE = ", see https://github.com/kubernetes/enhancements/pull/1111"
FINALIZER = "customresourcecleanup.apiextensions.k8s.io"


def is_established(crd: Obj) -> bool:
    return any(c["type"] == "Established" and c["status"] == "True"
               for c in (crd.get("status") or {}).get("conditions") or ())


def mark_terminating(crd: Obj, now: float) -> Obj:
    """Return the status of a CRD whose deletion was asked for."""
    return terminating(crd, True, "InstanceDeletionPending", "CustomResourceDefinition marked for deletion; "
                       "CustomResource deletion will begin soon", now)


def terminating(crd: Obj, is_so: bool, reason: str, message: str, now: float) -> Obj:
    """Return the status with another word on how far the deletion has come."""
    conditions = [dict(c) for c in (crd.get("status") or {}).get("conditions") or ()]
    set_condition(conditions, condition("Terminating", is_so, reason, message), now)
    return {**(crd.get("status") or {}), "conditions": conditions}


def condition(type_: str, status: bool, reason: str, message: str) -> Obj:
    return {"type": type_, "status": str(status), "lastTransitionTime": None, "reason": reason, "message": message}


def approval(crd: Obj) -> tuple[str, str]:
    """Return how a definition in a group of the Kubernetes project stands to its approval, and what to say of it."""
    given = (crd["metadata"].get("annotations") or {}).get(APPROVAL) or ""
    if not given:
        return "missing", f'protected groups must have approval annotation "{APPROVAL}"{_SEE}'
    if given.startswith("unapproved"):
        return "unapproved", f'not approved: "{given}"'
    parts = urlsplit(given)
    if parts.scheme and parts.netloc:
        return "approved", f"approved in {given}"
    return "invalid", (f'protected groups must have approval annotation "{APPROVAL}" with either a URL or a reason '
                       f'starting with "unapproved"{_SEE}')
