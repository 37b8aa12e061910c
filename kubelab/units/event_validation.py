"""What an Event may look like: little is asked in core/v1, more in events.k8s.io/v1, which is younger.

    core/v1 ────────► validate ──────────────────────────────► namespace of what it is about; new-style fields
    events.k8s.io ──► validate_new, validate_new_update ─────► the same, and nothing of the old style

Invariant: what is wrong is told under the names of core/v1, whichever version was sent.
Models:    pkg/apis/core/validation/events.go
"""

from __future__ import annotations

from collections.abc import Sequence

from kubelab.machinery.errors import FieldError, invalid_value, required
from kubelab.machinery.request import Obj
from kubelab.units import rules

SHORT, NOTE = 128, 1024  # bytes
MISMATCH = "does not match event.namespace"
OLD_STYLE = ("firstTimestamp", "lastTimestamp", "count", "source")
# What never changes, in upstream's order: the reason is looked at twice.
FROZEN = ("involvedObject", "reason", "message", "source", "firstTimestamp", "lastTimestamp", "count", "reason", "type",
          "eventTime", "action", "related", "reportingComponent", "reportingInstance")


def validate(event: Obj) -> Sequence[FieldError]:
    return list(_errors(event))


def validate_new(event: Obj) -> Sequence[FieldError]:
    return [*_errors(event), *_series_errors(event), *_strict_errors(event)]


def validate_new_update(new: Obj, old: Obj) -> Sequence[FieldError]:
    """Return what is wrong with an update: only the series of an event goes on."""
    errors = [*_errors(new), *(_series_errors(new) if new.get("series") != old.get("series") else ())]
    for key in FROZEN:
        field = "reportingController" if key == "reportingComponent" else key
        errors += rules.immutable(field, new.get(key), old.get(key))
    return errors


def _errors(event: Obj) -> rules.Errors:
    about, own = event.get("involvedObject") or {}, event["metadata"].get("namespace", "")
    namespace = about.get("namespace") or ""
    if event.get("eventTime"):  # told in the new way, which asks for more
        if not namespace and own not in ("default", "kube-system"):
            yield invalid_value("involvedObject.namespace", "", MISMATCH)
        yield from _new_errors(event)
    elif namespace != own and (namespace or own not in ("", "default")):
        yield invalid_value("involvedObject.namespace", namespace, MISMATCH)
    yield from rules.subdomain_name("namespace", own)


def _new_errors(event: Obj) -> rules.Errors:
    controller = event.get("reportingComponent") or ""
    if not controller:
        yield required("reportingController")
    yield from rules.qualified_name("reportingController", controller)
    for key in ("reportingInstance", "action", "reason"):
        if not event.get(key):
            yield required(key)
        elif len(event[key].encode()) > SHORT:
            yield invalid_value(key, "", f"can have at most {SHORT} characters")
    if len((event.get("message") or "").encode()) > NOTE:
        yield invalid_value("message", "", f"can have at most {NOTE} characters")


def _series_errors(event: Obj) -> rules.Errors:
    series = event.get("series")
    if series is not None and series.get("count", 0) < 2:
        yield invalid_value("series.count", "", "should be at least 2")
    if series is not None and not series.get("lastObservedTime"):
        yield required("series.lastObservedTime")


def _strict_errors(event: Obj) -> rules.Errors:
    if not event.get("eventTime"):
        yield required("eventTime")
    if event.get("type") not in ("Normal", "Warning"):
        yield invalid_value("type", "", f"has invalid value: {event.get('type', '')}")
    yield from (invalid_value(key, "", "needs to be unset") for key in OLD_STYLE if event.get(key))
