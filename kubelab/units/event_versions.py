"""Events have two faces over one store: core/v1 and events.k8s.io/v1.

    core/v1            involvedObject  message  source            count            reportingComponent   ...
    events.k8s.io/v1   regarding       note     deprecatedSource  deprecatedCount  reportingController  ...

Invariant: what is stored is core/v1; converting there and back loses nothing.
Models:    pkg/apis/events/v1/conversion.go of kube-apiserver
"""

from __future__ import annotations

from kubelab.machinery.request import Obj
from kubelab.units import event_validation

NEW_OF_CORE = {"involvedObject": "regarding", "message": "note", "source": "deprecatedSource",
               "firstTimestamp": "deprecatedFirstTimestamp", "lastTimestamp": "deprecatedLastTimestamp",
               "count": "deprecatedCount", "reportingComponent": "reportingController"}
CORE_OF_NEW = {new: core for core, new in NEW_OF_CORE.items()}
LEFT_OUT_EMPTY = frozenset({"reportingComponent", "reportingInstance"})  # core/v1 shows them all the same
GROUP = "events.k8s.io"
STRICTER = {"validate": event_validation.validate_new, "validate_update": event_validation.validate_new_update,
            "validate_name": "subdomain", "meta_looks": (1, 0)}


def to_new(event: Obj) -> Obj:
    """Show a stored Event as events.k8s.io/v1."""
    if "involvedObject" not in event:  # a bookmark
        return {**event, "apiVersion": f"{GROUP}/v1"}
    out = {NEW_OF_CORE.get(key, key): value for key, value in event.items() if value or key not in LEFT_OUT_EMPTY}
    return {**out, "apiVersion": f"{GROUP}/v1"}


def to_core(event: Obj) -> Obj:
    """Make what is stored of an events.k8s.io/v1 Event."""
    out = {CORE_OF_NEW.get(key, key): value for key, value in event.items()}
    return {**out, "apiVersion": "v1"}
