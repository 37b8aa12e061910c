"""What an object takes of a ResourceQuota: the one count that admission charges and the quota controller checks.

    usage_of(Kind, pod)       ─► {"pods": 1, "count/pods": 1, "requests.cpu": 1/4, ...}
    counts(quota, Kind, pod)  ─► whether its scopes are about this pod

Models:    pkg/quota/v1/evaluator/core
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from fractions import Fraction
from typing import Any

from kubelab.machinery.quantity import parse
from kubelab.machinery.request import Obj
from kubelab.units.claim_validation import CLASS_ANNOTATION
from kubelab.units.pods.resources import Amounts, pod_amounts

COMPUTE = ("cpu", "memory", "ephemeral-storage")
LEGACY = frozenset({"configmaps", "secrets", "replicationcontrollers", "resourcequotas", "services",
                    "persistentvolumeclaims"})  # counted under their bare names too
OF_PODS = frozenset({"pods", *COMPUTE, *(f"{which}.{name}" for which in ("requests", "limits") for name in COMPUTE)})
OF_SERVICES = frozenset({"services.nodeports", "services.loadbalancers"})
MUST_STATE = frozenset({"cpu", "memory", "requests.cpu", "requests.memory", "limits.cpu", "limits.memory"})
STORAGE = ".storageclass.storage.k8s.io/"


def usage_of(plural: str, group: str, obj: Obj) -> Amounts:
    """Return what one object takes of each resource that a quota may name."""
    out: Amounts = {count_name(plural, group): Fraction(1)}
    if group:
        return out
    if plural in LEGACY:
        out[plural] = Fraction(1)
    special = {"pods": _pod, "services": _service, "persistentvolumeclaims": _claim}.get(plural)
    if special is not None:
        out.update(special(obj))
    return out


def count_name(plural: str, group: str) -> str:
    return f"count/{plural}.{group}" if group else f"count/{plural}"


def concerns(plural: str, group: str, name: str) -> bool:
    """Say whether objects of a kind may take of a resource that a quota names."""
    if name == count_name(plural, group):
        return True
    if group:
        return False
    if plural == "pods":
        return name in OF_PODS or name.startswith(("hugepages-", "requests.hugepages-")) \
            or (name.startswith("requests.") and "/" in name)
    if plural == "persistentvolumeclaims" and (name == "requests.storage" or STORAGE in name):
        return True
    return (name in LEGACY and name == plural) or (plural == "services" and name in OF_SERVICES)


def _pod(pod: Obj) -> Amounts:
    if (pod.get("status") or {}).get("phase") in ("Failed", "Succeeded"):
        return {}  # it is counted as an object, and takes nothing else any more
    return {"pods": Fraction(1), **_compute(pod_amounts(pod["spec"], "requests"), pod_amounts(pod["spec"], "limits"))}


def _compute(requests: Amounts, limits: Amounts) -> Amounts:
    out: Amounts = {}
    for name, amount in requests.items():
        out[f"requests.{name}"] = amount
        if name in COMPUTE or name.startswith("hugepages-"):
            out[name] = amount
    for name, amount in limits.items():
        if name in COMPUTE:
            out[f"limits.{name}"] = amount
    return out


def _service(service: Obj) -> Amounts:
    spec = service.get("spec") or {}
    type_, ports = spec.get("type"), spec.get("ports") or ()
    if type_ == "NodePort":
        return {"services.nodeports": Fraction(len(ports))}
    if type_ == "LoadBalancer":
        asked = [p for p in ports if p.get("nodePort") or spec.get("allocateLoadBalancerNodePorts") is not False]
        return {"services.loadbalancers": Fraction(1), "services.nodeports": Fraction(len(asked))}
    return {}


def _claim(claim: Obj) -> Amounts:
    spec, notes = claim.get("spec") or {}, claim["metadata"].get("annotations") or {}
    asked = ((spec.get("resources") or {}).get("requests") or {}).get("storage")
    given = ((claim.get("status") or {}).get("allocatedResources") or {}).get("storage")
    out = {} if asked is None else {"requests.storage": max(parse(asked), parse(given or 0))}
    class_ = notes.get(CLASS_ANNOTATION, spec.get("storageClassName"))
    if class_:
        name = class_ + STORAGE
        out |= {name + key: amount for key, amount in (*out.items(), ("persistentvolumeclaims", Fraction(1)))}
    return out


def unstated(pod: Obj, required: Iterable[str]) -> str:
    """Return which containers leave open what a quota counts, as `cpu for: a,b; memory for: b`."""
    missing: dict[str, list[str]] = {}
    wanted = MUST_STATE & set(required)
    spec = pod["spec"]
    for container in (*spec["containers"], *(spec.get("initContainers") or ())):
        resources = container.get("resources") or {}
        stated = _compute(*({name: Fraction(0) for name in resources.get(which) or ()}
                            for which in ("requests", "limits")))
        for name in wanted - stated.keys():
            missing.setdefault(name, []).append(container["name"])
    return "; ".join(f"{name} for: {','.join(sorted(missing[name]))}" for name in sorted(missing))


# ── scopes ───────────────────────────────────────────────────────────────────────────────────────────────────

def counts(quota: Obj, plural: str, group: str, obj: Obj) -> bool:
    """Say whether every scope of a quota is about this object."""
    spec = quota.get("spec") or {}
    rules: list[Obj] = [{"scopeName": scope, "operator": "Exists"} for scope in spec.get("scopes") or ()]
    rules += (spec.get("scopeSelector") or {}).get("matchExpressions") or ()
    if not rules:
        return True
    if group:
        return False
    if plural == "persistentvolumeclaims":
        name = (obj.get("spec") or {}).get("volumeAttributesClassName") or ""
        return all(rule["scopeName"] == "VolumeAttributesClass" and _named(rule, name) for rule in rules)
    return plural == "pods" and all(_in_scope(rule, obj) for rule in rules)


def _in_scope(rule: Mapping[str, Any], pod: Obj) -> bool:
    scope = rule["scopeName"]
    if scope == "PriorityClass":
        return _named(rule, pod["spec"].get("priorityClassName") or "")
    test = SCOPES.get(scope)
    return test is not None and test(pod)


def _named(rule: Mapping[str, Any], name: str) -> bool:
    operator, values = rule.get("operator"), rule.get("values") or ()
    return {"In": name in values, "NotIn": name not in values, "Exists": bool(name),
            "DoesNotExist": not name}.get(str(operator), False)


def _ends(pod: Obj) -> bool:
    return pod["spec"].get("activeDeadlineSeconds") is not None


def _best_effort(pod: Obj) -> bool:
    return bool((pod.get("status") or {}).get("qosClass") == "BestEffort")


def _crosses_namespaces(pod: Obj) -> bool:
    affinity = pod["spec"].get("affinity") or {}
    for which in ("podAffinity", "podAntiAffinity"):
        of = affinity.get(which) or {}
        terms = [*(of.get("requiredDuringSchedulingIgnoredDuringExecution") or ()),
                 *(t["podAffinityTerm"] for t in of.get("preferredDuringSchedulingIgnoredDuringExecution") or ())]
        if any(term.get("namespaces") or term.get("namespaceSelector") is not None for term in terms):
            return True
    return False


SCOPES: dict[str, Callable[[Obj], bool]] = {
    "Terminating": _ends, "NotTerminating": lambda pod: not _ends(pod),
    "BestEffort": _best_effort, "NotBestEffort": lambda pod: not _best_effort(pod),
    "CrossNamespacePodAffinity": _crosses_namespaces,
}
