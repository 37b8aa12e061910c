"""PriorityClass and RuntimeClass: names that a pod may give for how important it is, and for what it runs in.

Models: pkg/registry/{scheduling,node}, pkg/apis/{scheduling,node} of kube-apiserver
"""

from __future__ import annotations

from collections.abc import Sequence

from kubelab.machinery.errors import FieldError
from kubelab.machinery.request import Obj
from kubelab.units import rules
from kubelab.units.catalogue import Column, Kind
from kubelab.units.columns import AGE, NAME
from kubelab.units.placement_validation import toleration_errors
from kubelab.units.resource_validation import resource_errors

SYSTEM = {"system-cluster-critical": 2_000_000_000, "system-node-critical": 2_000_001_000}
HIGHEST_FOR_USERS = 1_000_000_000
PREEMPTION_POLICIES = ("PreemptLowerPriority", "Never")


def _default_priority(priority: Obj) -> None:
    priority.setdefault("value", 0)
    priority.setdefault("preemptionPolicy", "PreemptLowerPriority")


def _validate_priority(priority: Obj) -> Sequence[FieldError]:
    """Say what is wrong with one that is new; of one that was there, nothing else may change."""
    return [] if priority["metadata"].get("resourceVersion") else list(_priority_errors(priority))


def _priority_errors(priority: Obj) -> rules.Errors:
    name, value = priority["metadata"].get("name") or "", priority.get("value", 0)
    if name.startswith("system-"):
        why = f"{name} is not a known system priority class"
        if name in SYSTEM and value != SYSTEM[name]:
            why = f"value of {name} PriorityClass must be {SYSTEM[name]}"
        elif name in SYSTEM and priority.get("globalDefault"):
            why = f"globalDefault of {name} PriorityClass must be false"
        elif name in SYSTEM:
            why = ""
        if why:
            yield rules.forbidden("metadata.name", "priority class names with 'system-' prefix are reserved for "
                                                   f"system use only. error: {why}")
    elif value > HIGHEST_FOR_USERS:
        yield rules.forbidden("value", f"maximum allowed value of a user defined priority is {HIGHEST_FOR_USERS}")
    yield from rules.known("preemptionPolicy", priority.get("preemptionPolicy"), PREEMPTION_POLICIES)


def _priority_update(new: Obj, old: Obj) -> Sequence[FieldError]:
    moved = [rules.forbidden("value", "may not be changed in an update.")] \
        if new.get("value") != old.get("value") else []
    return [*moved, *rules.immutable("preemptionPolicy", new.get("preemptionPolicy"), old.get("preemptionPolicy"))]


PRIORITY_CLASS = Kind(
    "PriorityClass", "priorityclasses", group="scheduling.k8s.io", namespaced=False, short_names=("pc",),
    generation=True, default=_default_priority, validate=_validate_priority, validate_update=_priority_update,
    columns=(
        NAME,
        Column("Value", lambda o, now: o.get("value", 0), type="integer", path="value"),
        Column("Global-Default", lambda o, now: bool(o.get("globalDefault")), type="boolean", path="globalDefault"),
        AGE,
        Column("PreemptionPolicy", lambda o, now: o.get("preemptionPolicy") or "", path="preemptionPolicy"),
    ),
)


def _validate_runtime(runtime: Obj) -> Sequence[FieldError]:
    return list(_runtime_errors(runtime))


def _runtime_errors(runtime: Obj) -> rules.Errors:
    yield from rules.label_name("handler", runtime.get("handler", ""))
    if runtime.get("overhead") is not None:
        yield from resource_errors({"limits": runtime["overhead"].get("podFixed") or {}}, "overhead")
    scheduling = runtime.get("scheduling") or {}
    yield from rules.label_map("scheduling.nodeSelector", scheduling.get("nodeSelector"))
    yield from toleration_errors(scheduling.get("tolerations") or (), "scheduling.tolerations")


def _runtime_update(new: Obj, old: Obj) -> Sequence[FieldError]:
    return list(rules.immutable("handler", new.get("handler"), old.get("handler")))


RUNTIME_CLASS = Kind(
    "RuntimeClass", "runtimeclasses", group="node.k8s.io", namespaced=False,
    validate=_validate_runtime, validate_update=_runtime_update,
    columns=(NAME, Column("Handler", lambda o, now: o.get("handler", "")), AGE),  # upstream describes it with nothing
)
