"""Event: what a component tells people about an object. One store, shown by core/v1 and events.k8s.io/v1.

Models: pkg/registry/core/event of kube-apiserver
"""

from __future__ import annotations

from collections.abc import Mapping

from kubelab.machinery.request import Obj
from kubelab.units import event_validation
from kubelab.units.catalogue import Column, Kind
from kubelab.units.columns import NAME, since

ABOUT = ("kind", "namespace", "name", "uid", "apiVersion", "resourceVersion", "fieldPath")


def _default(event: Obj) -> None:
    """Show the fields that Kubernetes always shows of an Event, empty or not."""
    for key in ("firstTimestamp", "lastTimestamp", "eventTime"):
        event.setdefault(key, None)
    for key in ("reportingComponent", "reportingInstance"):
        event.setdefault(key, "")
    event.setdefault("source", {})


def seen(event: Obj, now: float) -> tuple[str, str, int]:
    """Return when the event was last seen, when first, and how often."""
    first = since(event.get("firstTimestamp") or event.get("eventTime"), now)
    last = since(event["lastTimestamp"], now) if event.get("lastTimestamp") else first
    series = event.get("series")
    if series:
        return since(series.get("lastObservedTime"), now), first, series.get("count", 0)
    return last, first, event.get("count") or 1


def target(event: Obj) -> str:
    about = event.get("involvedObject") or {}
    kind = str(about.get("kind", "")).lower()
    return f"{kind}/{about['name']}" if about.get("name") else kind


def source(event: Obj) -> str:
    told: Obj = event.get("source") or {}
    component = told.get("component") or event.get("reportingComponent", "")
    instance = told.get("host") or event.get("reportingInstance", "")
    return f"{component}, {instance}" if instance else component


def _fields(event: Obj) -> Mapping[str, str]:
    about = event.get("involvedObject") or {}
    return {f"involvedObject.{key}": about.get(key, "") for key in ABOUT} | {
        "reason": event.get("reason", ""),
        "reportingComponent": event.get("reportingComponent", ""),
        "source": (event.get("source") or {}).get("component") or event.get("reportingComponent", ""),
        "type": event.get("type", ""),
    }


EVENT = Kind(
    "Event", "events", meta_looks=(0, 0), short_names=("ev",), default=_default, validate=event_validation.validate,
    validate_name="path",
    columns=(
        Column("Last Seen", lambda o, now: seen(o, now)[0], path="lastTimestamp"),
        Column("Type", lambda o, now: o.get("type", ""), path="type"),
        Column("Reason", lambda o, now: o.get("reason", ""), path="reason"),
        Column("Object", lambda o, now: target(o), path="involvedObject"),
        Column("Subobject", lambda o, now: (o.get("involvedObject") or {}).get("fieldPath", ""), priority=1,
               path="involvedObject.fieldPath"),
        Column("Source", lambda o, now: source(o), priority=1, path="source"),
        Column("Message", lambda o, now: o.get("message", "").strip(), path="message"),
        Column("First Seen", lambda o, now: seen(o, now)[1], priority=1, path="firstTimestamp"),
        Column("Count", lambda o, now: seen(o, now)[2], priority=1, path="count"),
        Column("Name", NAME.cell, format="name", priority=1, path="metadata.name"),
    ),
    selectable=_fields,
    selectable_keys=(*(f"involvedObject.{key}" for key in ABOUT), "reason", "reportingComponent", "source", "type"),
)
