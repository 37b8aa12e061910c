"""What Kubernetes fills in where a pod's author said nothing; pods and pod templates share most of it.

    manifest ─► spec_defaults (pods and templates) ─► pod_defaults (pods only: requests, host ports, service links)

Invariant: an author's own words are never changed.
Models:    pkg/apis/core/v1/defaults.go
"""

from __future__ import annotations

import re
from collections.abc import Iterator

from kubelab.machinery import quantity
from kubelab.machinery.request import Obj
from kubelab.units.claim_validation import claim_spec_defaults
from kubelab.units.pods.resources import amounts, container_amounts, written
from kubelab.units.volume_sources import source_defaults

FILE_MODE = 0o644
WHEN = "DuringSchedulingIgnoredDuringExecution"
WHOLE_PODS = ("cpu", "memory")  # what may be asked for a pod as a whole
_PART = r"[a-z0-9]+(?:(?:\.|_|__|-+)[a-z0-9]+)*"
_HOST = (r"(?:localhost|[A-Za-z0-9-]*[A-Z][A-Za-z0-9-]*|[A-Za-z0-9-]+(?:\.[A-Za-z0-9-]+)+|[A-Za-z0-9-]+(?=:)"
         r"|\[[0-9a-fA-F:]+\])")
_IMAGE = re.compile(rf"(?:{_HOST}(?::[0-9]+)?/)?{_PART}(?:/{_PART})*(?::(?P<tag>\w[\w.-]{{0,127}}))?"
                    r"(?:@(?P<digest>[A-Za-z]\w*(?:[-_+.][A-Za-z]\w*)*:[0-9a-fA-F]{32,}))?")


def containers(spec: Obj) -> Iterator[Obj]:
    """Walk through init containers, containers and ephemeral containers."""
    for key in ("initContainers", "containers", "ephemeralContainers"):
        yield from spec.get(key) or ()


def template_defaults(template: Obj) -> None:
    template.setdefault("metadata", {})
    spec_defaults(template.setdefault("spec", {}))


def spec_defaults(spec: Obj) -> None:
    """Fill in what pods and pod templates have in common."""
    spec["restartPolicy"] = spec.get("restartPolicy") or "Always"
    spec["dnsPolicy"] = spec.get("dnsPolicy") or "ClusterFirst"
    spec["schedulerName"] = spec.get("schedulerName") or "default-scheduler"
    spec.setdefault("terminationGracePeriodSeconds", 30)
    spec.setdefault("securityContext", {})
    account = spec.get("serviceAccountName") or spec.get("serviceAccount")
    if account:
        spec["serviceAccountName"] = spec["serviceAccount"] = account
    for container in containers(spec):
        _container(container)
    for volume in spec.get("volumes") or ():
        _volume(volume)


def pod_defaults(pod: Obj) -> None:
    """Fill in a pod: the common part and what only pods have."""
    spec = pod.setdefault("spec", {})
    spec_defaults(spec)
    spec.setdefault("enableServiceLinks", True)
    if spec["terminationGracePeriodSeconds"] < 0:
        spec["terminationGracePeriodSeconds"] = 1
    for container in (*(spec.get("initContainers") or ()), *(spec.get("containers") or ())):
        _requests_from_limits(container)
        if spec.get("hostNetwork"):
            for port in container.get("ports") or ():
                port["hostPort"] = port.get("hostPort") or port.get("containerPort", 0)
    if spec.get("resources"):
        _pod_level(spec, spec["resources"])


def select_own_labels(pod: Obj) -> None:
    """Let selectors that name labels of the pod itself ask for the values that these have, or for others."""
    labels, spec = pod["metadata"].get("labels") or {}, pod["spec"]
    terms = list(spec.get("topologySpreadConstraints") or ())
    for kind in ("podAffinity", "podAntiAffinity"):
        affinity = (spec.get("affinity") or {}).get(kind) or {}
        terms += [one.get("podAffinityTerm") or {} for one in affinity.get(f"preferred{WHEN}") or ()]
        terms += affinity.get(f"required{WHEN}") or ()
    for term in terms:
        selector = term.get("labelSelector")
        for field, operator in (("matchLabelKeys", "In"), ("mismatchLabelKeys", "NotIn")):
            for key in term.get(field) or () if selector is not None else ():
                rule = {"key": key, "operator": operator, "values": [labels.get(key)]}
                if key in labels and rule not in selector.setdefault("matchExpressions", []):
                    selector["matchExpressions"].append(rule)


def _requests_from_limits(container: Obj) -> None:
    resources = container["resources"]
    if resources.get("limits"):
        resources["requests"] = {**resources["limits"], **(resources.get("requests") or {})}


def _pod_level(spec: Obj, resources: Obj) -> None:
    """Complete what is asked for a pod as a whole by what its containers say, and requests by limits."""
    if not resources.get("limits") and not resources.get("requests"):
        return
    whole = {which: dict(resources.get(which) or {}) for which in ("requests", "limits")}
    of_containers = {which: {name: written(name, amount) for name, amount in container_amounts(spec, which).items()}
                     for which in whole}
    for name, amount in of_containers["limits"].items():
        if name.startswith("hugepages-") and name not in whole["requests"]:
            whole["limits"].setdefault(name, amount)
    if whole["limits"]:
        for name, amount in of_containers["requests"].items():
            if name in WHOLE_PODS:
                whole["requests"].setdefault(name, amount)
        for name, amount in whole["limits"].items():
            if name in WHOLE_PODS or name.startswith("hugepages-"):
                whole["requests"].setdefault(name, amount)
    elif whole["requests"]:
        limited = [amounts(container, "limits") for container in containers(spec)]
        whole["limits"] = {name: amount for name, amount in of_containers["limits"].items()
                           if name in WHOLE_PODS and all(name in limits for limits in limited)}
    resources |= {which: given for which, given in whole.items() if given}


def _container(container: Obj) -> None:
    container["imagePullPolicy"] = container.get("imagePullPolicy") or pull_policy(container.get("image", ""))
    container["terminationMessagePath"] = container.get("terminationMessagePath") or "/dev/termination-log"
    container["terminationMessagePolicy"] = container.get("terminationMessagePolicy") or "File"
    container.setdefault("resources", {})
    for port in container.get("ports") or ():
        port["protocol"] = port.get("protocol") or "TCP"
    for variable in container.get("env") or ():
        _source(variable.get("valueFrom") or {})
    for key in ("livenessProbe", "readinessProbe", "startupProbe"):
        if container.get(key) is not None:
            _probe(container[key])
    for hook in (container.get("lifecycle") or {}).values():
        if isinstance(hook, dict):
            _http_get(hook)


def pull_policy(image: str) -> str:
    """A tag that moves is pulled each time: `latest`, or none; what is no image's name has no tag at all."""
    found = _IMAGE.fullmatch(image)
    if found is None:
        return "IfNotPresent"
    return "Always" if found["tag"] == "latest" or not (found["tag"] or found["digest"]) else "IfNotPresent"


def _source(source: Obj) -> None:
    if source.get("fieldRef"):
        source["fieldRef"]["apiVersion"] = source["fieldRef"].get("apiVersion") or "v1"
    if source.get("resourceFieldRef"):
        source["resourceFieldRef"].setdefault("divisor", "0")


def _probe(probe: Obj) -> None:
    for key, value in (("timeoutSeconds", 1), ("periodSeconds", 10), ("successThreshold", 1), ("failureThreshold", 3)):
        probe[key] = probe.get(key) or value
    _http_get(probe)
    if probe.get("grpc") is not None:
        probe["grpc"].setdefault("service", "")


def _http_get(handler: Obj) -> None:
    http = handler.get("httpGet")
    if http is not None:
        http["path"] = http.get("path") or "/"
        http["scheme"] = http.get("scheme") or "HTTP"


def _volume(volume: Obj) -> None:
    if len(volume) == 1 and "name" in volume:
        volume["emptyDir"] = {}
    for key in ("secret", "configMap", "downwardAPI", "projected"):
        if volume.get(key) is not None:
            volume[key].setdefault("defaultMode", FILE_MODE)
    source_defaults(volume)
    if volume.get("image") is not None:
        volume["image"]["pullPolicy"] = volume["image"].get("pullPolicy") or pull_policy(
            volume["image"].get("reference", ""))
    template = (volume.get("ephemeral") or {}).get("volumeClaimTemplate")
    if template is not None:
        template.setdefault("metadata", {})
        claim_spec_defaults(template.setdefault("spec", {}))
    sources = [volume.get("downwardAPI") or {}]
    for source in (volume.get("projected") or {}).get("sources") or ():
        sources.append(source.get("downwardAPI") or {})
        if source.get("serviceAccountToken") is not None:
            source["serviceAccountToken"].setdefault("expirationSeconds", 3600)
    for source in sources:
        for item in source.get("items") or ():
            _source(item)


def qos_class(spec: Obj) -> str:
    """Return Guaranteed, Burstable or BestEffort (https://kubernetes.io/docs/concepts/workloads/pods/pod-qos/)."""
    asked, guaranteed = False, True
    for container in (*(spec.get("initContainers") or ()), *(spec.get("containers") or ())):
        resources = container.get("resources") or {}
        limits, requests = resources.get("limits") or {}, resources.get("requests") or {}
        for name in ("cpu", "memory"):
            limit, request = (quantity.parse(r[name]) if name in r else 0 for r in (limits, requests))
            asked = asked or limit > 0 or request > 0
            guaranteed = guaranteed and limit > 0 and limit == request
    return "BestEffort" if not asked else "Guaranteed" if guaranteed else "Burstable"
