"""Warnings: what is allowed but unwise, told to the writer in a header (`Warning: 299`); of pods, see `pod_warnings`.

    spec.externalName is ignored when spec.type is not "ExternalName"

Invariant: nothing here refuses anything; an update that leaves the spec alone is not warned about what was there.
Models:    pkg/api/{node,service,persistentvolume,persistentvolumeclaim}/warnings.go of kube-apiserver
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
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
VOLUMES = {
    "gitRepo": "deprecated in v1.11", "scaleIO": "deprecated in v1.16, non-functional in v1.22+",
    **dict.fromkeys(("flocker", "storageos", "quobyte"), "deprecated in v1.22, non-functional in v1.25+"),
    "photonPersistentDisk": "deprecated in v1.11, non-functional in v1.16+",
    "glusterfs": "deprecated in v1.25, non-functional in v1.26+",
    **dict.fromkeys(("rbd", "cephfs"), "deprecated in v1.28, non-functional in v1.31+"),
}
MOUNT_OPTIONS = "volume.beta.kubernetes.io/mount-options"
STORAGE_ANNOTATION = "volume.beta.kubernetes.io/storage-class"
TOPOLOGY_HINTS = "service.kubernetes.io/topology-aware-hints"
INGRESS_ANNOTATION = "kubernetes.io/ingress.class"


def node_term(path: str, term: Obj, *, values: bool) -> Warnings:
    """Say which labels are called otherwise today and, where `values`, which no node can have."""
    for i, rule in enumerate(term.get("matchExpressions") or ()):
        key = rule.get("key", "")
        if key in LABELS:
            yield f"{path}.matchExpressions[{i}].key: {key} is {LABELS[key]}"
        for j, value in enumerate(rule.get("values") or () if values else ()):
            for why in names.label_value_errors(value):
                yield f"{path}.matchExpressions[{i}].values[{j}]: {value} is invalid, {why}"


def fractions(path: str, amounts: Mapping[str, Any] | None, keys: Iterable[str]) -> Warnings:
    """Say of which resources there are parts of a byte."""
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
        yield from fractions(f"{path}.resources.{part}", (spec.get("resources") or {}).get(part), ("storage",))


def volume(new: Obj, old: Obj | None) -> Iterable[str]:
    """Return the warnings of a PersistentVolume."""
    yield from _storage_annotation(new)
    if MOUNT_OPTIONS in (new["metadata"].get("annotations") or {}):
        yield f'metadata.annotations[{MOUNT_OPTIONS}]: deprecated since v1.31; use "mountOptions" attribute instead'
    required = (new["spec"].get("nodeAffinity") or {}).get("required") or {}
    for i, term in enumerate(required.get("nodeSelectorTerms") or ()):
        yield from node_term(f"spec.nodeAffinity.required.nodeSelectorTerms[{i}]", term, values=False)
    if new["spec"].get("persistentVolumeReclaimPolicy") == "Recycle":
        yield ("spec.persistentVolumeReclaimPolicy: The Recycle reclaim policy is deprecated. Instead, the recommended "
               "approach is to use dynamic provisioning.")
    yield from (f"spec.{key}: {VOLUMES[key]}" for key in new["spec"] if key in VOLUMES)


def _storage_annotation(obj: Obj) -> Warnings:
    if STORAGE_ANNOTATION in (obj["metadata"].get("annotations") or {}):
        yield (f"metadata.annotations[{STORAGE_ANNOTATION}]: deprecated since v1.8; use \"storageClassName\" attribute "
               "instead")
