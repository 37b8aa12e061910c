"""ReplicationController and ReplicaSet: keep so many copies of one pod running.

Models: pkg/registry/core/replicationcontroller and pkg/registry/apps/replicaset of kube-apiserver
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from kubelab.machinery.errors import FieldError, invalid_value, required
from kubelab.machinery.request import Obj
from kubelab.units import rules, status_validation
from kubelab.units.catalogue import Column, Kind
from kubelab.units.columns import AGE, NAME, labels_text, selector_text, template_columns
from kubelab.units.pods import warnings as pod_warnings
from kubelab.units.pods.defaults import template_defaults
from kubelab.units.template import workload, workload_template_errors


def _default_set(workload: Obj) -> None:
    spec = workload.setdefault("spec", {})
    spec.setdefault("replicas", 1)
    template_defaults(spec.setdefault("template", {}))
    default_status(workload)


def _default_controller(controller: Obj) -> None:
    """The oldest workload takes its selector and its own labels from the template."""
    spec = controller.setdefault("spec", {})
    spec.setdefault("replicas", 1)
    template = spec.get("template")
    if template is not None:
        template_defaults(template)
        labels = template["metadata"].get("labels")
        if labels:
            spec["selector"] = spec.get("selector") or dict(labels)
            controller["metadata"]["labels"] = controller["metadata"].get("labels") or dict(labels)
    default_status(controller)


def default_status(workload: Obj) -> None:
    """Show the count of replicas always; a status may be shared, so a new one is made."""
    if "replicas" not in (workload.get("status") or {}):
        workload["status"] = {"replicas": 0, **(workload.get("status") or {})}


def _prepare_create(workload: Obj) -> None:
    workload["status"] = {"replicas": 0}


def selector_errors(spec: Obj, whose: str = "deployment", unreadable: str = "invalid label selector") -> rules.Errors:
    """What is wrong with a selector that must be there; "deployment" is what is said of a ReplicaSet as well."""
    selector = spec.get("selector")
    if selector is None:
        yield required("spec.selector")
        return
    wrong = list(rules.label_selector("spec.selector", selector))
    yield from wrong
    if wrong:
        yield rules.invalid_selector("spec.selector", selector, unreadable)
    elif is_empty(selector):
        yield invalid_value("spec.selector", {}, f"empty selector is invalid for {whose}")


def is_empty(selector: Obj) -> bool:
    return not selector.get("matchLabels") and not selector.get("matchExpressions")


def _validate_set(workload: Obj) -> Sequence[FieldError]:
    spec = workload["spec"]
    return [*rules.not_negative("spec.replicas", spec.get("replicas")),
            *rules.not_negative("spec.minReadySeconds", spec.get("minReadySeconds")), *selector_errors(spec),
            *workload_template_errors(spec["template"], spec.get("selector"))]


def _validate_controller(controller: Obj) -> Sequence[FieldError]:
    spec = controller["spec"]
    chosen, template = spec.get("selector") or {}, spec.get("template")
    return [*rules.not_negative("spec.minReadySeconds", spec.get("minReadySeconds")),
            *([] if chosen else [required("spec.selector")]),
            *rules.not_negative("spec.replicas", spec.get("replicas")),
            *([required("spec.template")] if template is None else
              workload_template_errors(template, {"matchLabels": chosen}, "ReplicationController"))]


def _same_selector(new: Obj, old: Obj) -> Sequence[FieldError]:
    return list(rules.same_selector("spec.selector", new["spec"].get("selector"), old["spec"].get("selector")))


def _fields(workload: Obj) -> Mapping[str, str]:
    return {"status.replicas": str((workload.get("status") or {}).get("replicas", 0))}


def _count_columns(selector: Column) -> tuple[Column, ...]:
    def status(key: str) -> Any:
        return lambda o, now: (o.get("status") or {}).get(key, 0)

    return (
        NAME,
        Column("Desired", lambda o, now: o["spec"].get("replicas", 0), type="integer", path="spec.replicas"),
        Column("Current", status("replicas"), type="integer", path="status.replicas"),
        Column("Ready", status("readyReplicas"), type="integer", path="status.readyReplicas"),
        AGE, *template_columns(selector),
    )


REPLICA_SET = Kind(
    "ReplicaSet", "replicasets", meta_looks=(1, 0), group="apps", short_names=("rs",), categories=("all",),
    subresources=frozenset({"status", "scale"}), generation=True,
    default=_default_set, default_status=default_status, prepare_create=_prepare_create,
    validate=_validate_set, validate_update=_same_selector,
    validate_part=status_validation.REPLICAS,
    warnings=pod_warnings.workload("spec", "template"),
    columns=_count_columns(Column("Selector", lambda o, now: selector_text(o["spec"].get("selector")), priority=1,
                                  path="spec.selector")),
    selectable=_fields, selectable_keys=("status.replicas",),
)

REPLICATION_CONTROLLER = Kind(
    "ReplicationController", "replicationcontrollers", short_names=("rc",), categories=("all",),
    subresources=frozenset({"status", "scale"}), generation=True,
    default=_default_controller, default_status=default_status, prepare_create=_prepare_create,
    validate=_validate_controller, validate_update=lambda new, old: _validate_controller(new),  # upstream looks twice
    validate_part=status_validation.REPLICAS,
    warnings=pod_warnings.workload("spec", "template"),
    columns=_count_columns(Column("Selector", lambda o, now: labels_text(o["spec"].get("selector")), priority=1,
                                  path="spec.selector")),
    selectable=_fields, selectable_keys=("status.replicas",),
)


def ReplicaSet(name: str, *, image: str, replicas: int = 1, labels: Mapping[str, str] | None = None,
               namespace: str | None = None, **of_container: Any) -> Obj:
    """Write the manifest of a replica set; see `Pod` for `of_container`."""
    return workload("apps/v1", "ReplicaSet", name, image, replicas, labels, namespace, of_container)


def ReplicationController(name: str, *, image: str, replicas: int = 1, labels: Mapping[str, str] | None = None,
                          namespace: str | None = None, **of_container: Any) -> Obj:
    """Write the manifest of a replication controller; see `Pod` for `of_container`."""
    return workload("v1", "ReplicationController", name, image, replicas, labels, namespace, of_container)
