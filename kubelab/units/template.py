"""The pod template inside a workload: its defaults, its validation, and the manifest a notebook writes.

Models: the PodTemplateSpec parts of pkg/apis/core and pkg/apis/apps
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from kubelab.machinery import names, selectors
from kubelab.machinery.errors import invalid_value
from kubelab.machinery.request import Obj
from kubelab.units import rules
from kubelab.units.pod import container
from kubelab.units.pods.annotations import annotation_errors
from kubelab.units.pods.validation import spec_errors


def template_errors(path: str, template: Obj) -> rules.Errors:
    """What is wrong with a template, whoever holds it."""
    meta = template.get("metadata") or {}
    yield from names.validate_labels(meta.get("labels"), f"{path}.labels")  # upstream leaves "metadata" out here
    yield from names.validate_annotations(meta.get("annotations"), f"{path}.annotations")
    yield from annotation_errors(meta.get("annotations"), template.get("spec") or {}, f"{path}.annotations")
    yield from spec_errors(template.get("spec") or {}, f"{path}.spec")
    if (template.get("spec") or {}).get("ephemeralContainers"):
        yield rules.forbidden(f"{path}.spec.ephemeralContainers", "ephemeral containers not allowed in pod template")


def workload_template_errors(template: Obj, selector: Mapping[str, Any] | None,
                             kind: str = "ReplicaSet") -> rules.Errors:
    """What is wrong with the template of a workload that keeps pods running for ever.

    Nothing can be matched with an ill-formed selector, which is refused elsewhere; some kinds look no further then.
    """
    path, policy = "spec.template", (template.get("spec") or {}).get("restartPolicy")
    sound = selector is None or kind == "ReplicationController" or not list(rules.label_selector("", selector))
    if sound:
        yield from unmatched(selector, template)
    if sound or kind == "DaemonSet":
        yield from template_errors(path, template)
    elif kind == "ReplicaSet":
        return
    if policy not in (None, "Always"):
        yield rules.unsupported(f"{path}.spec.restartPolicy", policy, ("Always",))
    if (template.get("spec") or {}).get("activeDeadlineSeconds") is not None:
        yield rules.forbidden(f"{path}.spec.activeDeadlineSeconds",
                              f"activeDeadlineSeconds in {kind} is not Supported")


def unmatched(selector: Mapping[str, Any] | None, template: Obj) -> rules.Errors:
    """A workload that would not know the pods it makes."""
    labels = (template.get("metadata") or {}).get("labels")
    if not matches(selector, labels or {}):
        yield invalid_value("spec.template.metadata.labels", labels or None,
                            "`selector` does not match template `labels`")


def matches(selector: Mapping[str, Any] | None, labels: Mapping[str, str]) -> bool:
    """An empty selector is refused elsewhere; a missing one matches nothing."""
    if selector is None:
        return False
    if not selector.get("matchLabels") and not selector.get("matchExpressions"):
        return True
    return selectors.from_label_selector(dict(selector)).matches(dict(labels))


def workload(api_version: str, kind: str, name: str, image: str, replicas: int, labels: Mapping[str, str] | None,
             namespace: str | None, of_container: Mapping[str, Any]) -> Obj:
    """Write the manifest of a workload with one container, as a person would."""
    own = dict(labels) if labels is not None else {"app": name}
    meta: Obj = {"name": name, "labels": own}
    if namespace:
        meta["namespace"] = namespace
    template = {"metadata": {"labels": dict(own)}, "spec": {"containers": [container(name, image, **of_container)]}}
    selector: Obj = dict(own) if kind == "ReplicationController" else {"matchLabels": dict(own)}
    return {"apiVersion": api_version, "kind": kind, "metadata": meta,
            "spec": {"replicas": replicas, "selector": selector, "template": template}}
