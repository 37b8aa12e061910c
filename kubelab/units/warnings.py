"""Warnings: what is allowed but unwise, told to the writer in a header (`Warning: 299`).

    metadata.name: this is used in Pod names and hostnames, ...
    spec.containers[0].env[1]: hides previous definition of "A", which may be dropped when using apply

Invariant: nothing here refuses anything; an update that leaves the spec alone is not warned about what was there.
Models:    pkg/api/{pod,service,persistentvolume,persistentvolumeclaim}/warnings.go of kube-apiserver
Left out:  overlapping paths in projected volumes
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Any

from kubelab.machinery import names, quantity
from kubelab.machinery.request import Obj
from kubelab.units.addresses import cidr_warnings, ip_warnings

Warnings = Iterator[str]
USE = 'deprecated since {}; use "{}" instead'
LABELS = {
    "beta.kubernetes.io/arch": USE.format("v1.14", "kubernetes.io/arch"),
    "beta.kubernetes.io/os": USE.format("v1.14", "kubernetes.io/os"),
    "beta.kubernetes.io/instance-type": USE.format("v1.17", "node.kubernetes.io/instance-type"),
    "failure-domain.beta.kubernetes.io/region": USE.format("v1.17", "topology.kubernetes.io/region"),
    "failure-domain.beta.kubernetes.io/zone": USE.format("v1.17", "topology.kubernetes.io/zone"),
    "app.kubernetes.io/created-by": "deprecated since v1.9",
    "scheduler.alpha.kubernetes.io/preferAvoidPods": "deprecated since v1.22; use Taints and Tolerations instead",
    "node-role.kubernetes.io/master": 'use "node-role.kubernetes.io/control-plane" instead',
}
ANNOTATIONS = {
    "scheduler.alpha.kubernetes.io/critical-pod": 'non-functional in v1.16+; use the "priorityClassName" field instead',
    "seccomp.security.alpha.kubernetes.io/pod": 'non-functional in v1.27+; use the "seccompProfile" field instead',
}
VOLUMES = {
    "gitRepo": "deprecated in v1.11", "scaleIO": "deprecated in v1.16, non-functional in v1.22+",
    **dict.fromkeys(("flocker", "storageos", "quobyte"), "deprecated in v1.22, non-functional in v1.25+"),
    "photonPersistentDisk": "deprecated in v1.11, non-functional in v1.16+",
    "glusterfs": "deprecated in v1.25, non-functional in v1.26+",
    **dict.fromkeys(("rbd", "cephfs"), "deprecated in v1.28, non-functional in v1.31+"),
}
NO_SELECTOR = "a null labelSelector results in matching no pod"
NEGATIVE = "must be >= 0; negative values are invalid and will be treated as 1"
IN_NAMES = ("this is used in Pod names and hostnames, which can result in surprising behavior; a DNS label is "
            "recommended")
IN_HOSTNAME = ("this is used in the Pod's hostname, which can result in surprising behavior; a DNS label is "
               "recommended")
MOUNT_OPTIONS = "volume.beta.kubernetes.io/mount-options"
STORAGE_ANNOTATION = "volume.beta.kubernetes.io/storage-class"
TOPOLOGY_HINTS = "service.kubernetes.io/topology-aware-hints"
INGRESS_ANNOTATION = "kubernetes.io/ingress.class"


def workload(*path: str, named: bool = True,
             also: Callable[[Obj], Iterable[str]] = lambda obj: ()) -> Callable[[Obj, Obj | None], Iterable[str]]:
    """Return the warnings of a kind that has a pod template at `path`, and names its pods after itself if `named`.

    `also`: what else there is to say whenever the template is looked at.
    """
    prefix = ".".join(path) + "."

    def found(new: Obj, old: Obj | None) -> Iterable[str]:
        if old is None and named:
            yield from _named(new, IN_NAMES)
        if old is None or new["metadata"].get("generation") != old["metadata"].get("generation"):
            template: Any = new
            for key in path:
                template = template.get(key) or {}
            yield from also(new)
            yield from _pod(prefix, template)

    return found


def pod(new: Obj, old: Obj | None) -> Iterable[str]:
    """Return the warnings of a pod."""
    if old is None:
        yield from _named(new, IN_HOSTNAME)
    if old is None or new["spec"] != old["spec"]:
        yield from _pod("", new)


def _named(obj: Obj, why: str) -> Warnings:
    errors = names.dns1123_label_errors(obj["metadata"].get("name") or "")
    if errors:
        yield f"metadata.name: {why}: [{' '.join(errors)}]"


def _pod(prefix: str, template: Obj) -> Warnings:
    spec, path = template.get("spec") or {}, f"{prefix}spec"
    yield from _labels(f"{path}.nodeSelector", spec.get("nodeSelector") or {})
    if spec.get("affinity"):
        yield from _affinity(f"{path}.affinity", spec["affinity"])
    for i, spread in enumerate(spec.get("topologySpreadConstraints") or ()):
        where, key = f"{path}.topologySpreadConstraints[{i}]", spread.get("topologyKey")
        if key in LABELS:
            yield f"{where}.topologyKey: {LABELS[key]}"
        if spread.get("labelSelector") is None:
            yield f"{where}.labelSelector: {NO_SELECTOR}"
    for key in (template.get("metadata") or {}).get("annotations") or ():
        if key in ANNOTATIONS:
            yield f"{prefix}metadata.annotations[{key}]: {ANNOTATIONS[key]}"
    for i, secret in enumerate(spec.get("imagePullSecrets") or ()):
        if not secret.get("name"):
            yield f'{path}.imagePullSecrets[{i}].name: invalid empty name ""'
    for i, volume in enumerate(spec.get("volumes") or ()):
        yield from (f"{path}.volumes[{i}].{key}: {VOLUMES[key]}" for key in volume if key in VOLUMES)
    if (spec.get("terminationGracePeriodSeconds") or 0) < 0:
        yield f"{path}.terminationGracePeriodSeconds: {NEGATIVE}"
    yield from _containers(path, spec)


def _labels(path: str, selector: Mapping[str, str]) -> Warnings:
    yield from (f"{path}[{key}]: {LABELS[key]}" for key in selector if key in LABELS)


def _node_term(path: str, term: Obj, *, values: bool) -> Warnings:
    """Say which labels are called otherwise today and, where `values`, which no node can have."""
    for i, rule in enumerate(term.get("matchExpressions") or ()):
        key = rule.get("key", "")
        if key in LABELS:
            yield f"{path}.matchExpressions[{i}].key: {key} is {LABELS[key]}"
        for j, value in enumerate(rule.get("values") or () if values else ()):
            for why in names.label_value_errors(value):
                yield f"{path}.matchExpressions[{i}].values[{j}]: {value} is invalid, {why}"


def _affinity(path: str, affinity: Obj) -> Warnings:
    node = affinity.get("nodeAffinity") or {}
    required, preferred = (f"{when}DuringSchedulingIgnoredDuringExecution" for when in ("required", "preferred"))
    terms = [(f"{path}.nodeAffinity.{required}.nodeSelectorTerms[{i}]", term)
             for i, term in enumerate((node.get(required) or {}).get("nodeSelectorTerms") or ())]
    terms += [(f"{path}.nodeAffinity.{preferred}[{i}].preference", one.get("preference") or {})
              for i, one in enumerate(node.get(preferred) or ())]
    for where, term in terms:
        yield from _node_term(where, term, values=where.endswith(".preference"))
    for kind in ("podAffinity", "podAntiAffinity"):
        pods = affinity.get(kind) or {}
        found = [(f"{path}.{kind}.{required}[{i}]", term) for i, term in enumerate(pods.get(required) or ())]
        found += [(f"{path}.{kind}.{preferred}[{i}].podAffinityTerm", one.get("podAffinityTerm") or {})
                  for i, one in enumerate(pods.get(preferred) or ())]
        for where, term in found:
            if term.get("labelSelector") is None:
                yield f"{where}.labelSelector: {NO_SELECTOR}"
            if term.get("topologyKey") in LABELS:
                yield f"{where}.topologyKey: {LABELS[term['topologyKey']]}"


def _containers(path: str, spec: Obj) -> Warnings:
    for key in ("initContainers", "containers"):
        for i, container in enumerate(spec.get(key) or ()):
            where = f"{path}.{key}[{i}]"
            yield from _ports(where, container.get("ports") or ())
            yield from _env(where, container.get("env") or ())
            for part, amounts in (container.get("resources") or {}).items():
                if part in ("limits", "requests"):
                    yield from _fractions(f"{where}.resources.{part}", amounts, ("memory", "ephemeral-storage"))


def _ports(path: str, ports: Iterable[Obj]) -> Warnings:
    seen: dict[tuple[Any, ...], int] = {}
    for i, port in enumerate(ports):
        key = tuple(port.get(name) for name in ("containerPort", "protocol", "hostPort", "hostIP"))
        if key in seen:
            yield f"{path}.ports[{i}]: duplicate port definition with {path}.ports[{seen[key]}]"
        seen.setdefault(key, i)


def _env(path: str, env: Iterable[Obj]) -> Warnings:
    seen: dict[str, list[str]] = {}
    for i, variable in enumerate(env):
        name, value = variable.get("name", ""), str(variable.get("value", ""))
        hidden = seen.setdefault(name, [])
        if hidden and not any(f"$({name})" in value for _ in hidden):  # one that builds on the other hides nothing
            yield f'{path}.env[{i}]: hides previous definition of "{name}", which may be dropped when using apply'
        hidden.append(value)


def _fractions(path: str, amounts: Mapping[str, Any] | None, keys: Iterable[str]) -> Warnings:
    for key in keys:
        amount = (amounts or {}).get(key)
        if amount is not None and quantity.parse(amount).denominator != 1:
            yield f'{path}[{key}]: fractional byte value "{quantity.canonical(amount)}" is invalid, must be an integer'


def service(new: Obj, old: Obj | None) -> Iterable[str]:
    """Return the warnings of a Service: fields that its type ignores, and what is written in an older way."""
    spec, notes = new["spec"], new["metadata"].get("annotations") or {}
    headless, named = spec.get("clusterIP") == "None", spec.get("type") == "ExternalName"
    if TOPOLOGY_HINTS in notes:
        yield f"annotation {TOPOLOGY_HINTS} is deprecated, please use service.kubernetes.io/topology-mode instead"
    if not headless:
        for i, ip in enumerate(spec.get("clusterIPs") or ()):
            yield from ip_warnings(f"spec.clusterIPs[{i}]", ip)
    elif spec.get("type") == "ClusterIP":
        for field, given in (("loadBalancerIP", spec.get("loadBalancerIP")), ("externalIPs", spec.get("externalIPs")),
                             ("SessionAffinity", spec.get("sessionAffinity", "None") != "None")):
            if given:
                yield f"spec.{field} is ignored for headless services"
    for i, ip in enumerate(spec.get("externalIPs") or ()):
        yield from ip_warnings(f"spec.externalIPs[{i}]", ip)
    if spec.get("externalIPs") and not headless and not named:
        yield "spec.externalIPs is deprecated and may no longer be implemented in some clusters"
    yield from ip_warnings("spec.loadBalancerIP", spec.get("loadBalancerIP") or "")
    for i, cidr in enumerate(spec.get("loadBalancerSourceRanges") or ()):
        yield from cidr_warnings(f"spec.loadBalancerSourceRanges[{i}]", cidr)
    if named and spec.get("externalIPs"):
        yield 'spec.externalIPs is ignored when spec.type is "ExternalName"'
    if not named and spec.get("externalName"):
        yield 'spec.externalName is ignored when spec.type is not "ExternalName"'
    if spec.get("trafficDistribution") == "PreferClose":
        yield 'spec.trafficDistribution: "PreferClose" is deprecated; use "PreferSameZone"'


def ingress(new: Obj, old: Obj | None) -> Iterable[str]:
    """Return the warnings of an Ingress."""
    if old is None and INGRESS_ANNOTATION in (new["metadata"].get("annotations") or {}):
        yield f"annotation \"{INGRESS_ANNOTATION}\" is deprecated, please use 'spec.ingressClassName' instead"


def claim(new: Obj, old: Obj | None) -> Iterable[str]:
    """Return the warnings of a PersistentVolumeClaim."""
    yield from _storage_annotation(new)
    yield from claim_spec(new["spec"], "spec")


def claim_spec(spec: Obj, path: str) -> Warnings:
    """Return the warnings of a claim's spec, in a claim or in a template at `path`."""
    for part in ("requests", "limits"):
        yield from _fractions(f"{path}.resources.{part}", (spec.get("resources") or {}).get(part), ("storage",))


def volume(new: Obj, old: Obj | None) -> Iterable[str]:
    """Return the warnings of a PersistentVolume."""
    yield from _storage_annotation(new)
    if MOUNT_OPTIONS in (new["metadata"].get("annotations") or {}):
        yield f'metadata.annotations[{MOUNT_OPTIONS}]: deprecated since v1.31; use "mountOptions" attribute instead'
    required = (new["spec"].get("nodeAffinity") or {}).get("required") or {}
    for i, term in enumerate(required.get("nodeSelectorTerms") or ()):
        yield from _node_term(f"spec.nodeAffinity.required.nodeSelectorTerms[{i}]", term, values=False)
    if new["spec"].get("persistentVolumeReclaimPolicy") == "Recycle":
        yield ("spec.persistentVolumeReclaimPolicy: The Recycle reclaim policy is deprecated. Instead, the recommended "
               "approach is to use dynamic provisioning.")
    yield from (f"spec.{key}: {VOLUMES[key]}" for key in new["spec"] if key in VOLUMES)


def _storage_annotation(obj: Obj) -> Warnings:
    if STORAGE_ANNOTATION in (obj["metadata"].get("annotations") or {}):
        yield (f"metadata.annotations[{STORAGE_ANNOTATION}]: deprecated since v1.8; use \"storageClassName\" attribute "
               "instead")
