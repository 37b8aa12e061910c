"""What a pod may look like; `changes.py` has what of it may change once it exists.

    spec_errors ─┬─ volumes               the volumes
                 ├─ containers            containers, their ports, variables, probes, resources
                 ├─ security_context      users, groups, profiles, the operating system
                 └─ placement_validation  affinity, tolerations, spread

Models: ValidatePodSpec and ValidatePodCreate of pkg/apis/core/validation
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Any

from kubelab.machinery.errors import FieldError, duplicate, invalid_value, required
from kubelab.machinery.names import regex_message
from kubelab.machinery.request import Obj
from kubelab.units import rules
from kubelab.units.placement_validation import affinity_errors, spread_errors, toleration_errors
from kubelab.units.pods.annotations import annotation_errors
from kubelab.units.pods.containers import (
    Place,
    container_errors,
    ephemeral_container_errors,
    host_port_errors,
    image_errors,
    init_container_errors,
)
from kubelab.units.pods.security_context import host_user_errors, pod_security_errors, system_errors
from kubelab.units.pods.volumes import check_volumes
from kubelab.units.resource_validation import pod_resource_errors, resource_errors

RESTART_POLICIES = ("Always", "OnFailure", "Never")
DNS_POLICIES = ("ClusterFirstWithHostNet", "ClusterFirst", "Default", "None")
PREEMPTION_POLICIES = ("PreemptLowerPriority", "Never")
MAX_HOSTNAME = 64
MAX_DNS_SERVERS, MAX_SEARCHES, MAX_SEARCH_TEXT = 3, 32, 2048
_SEARCH_LABEL = "_?[a-z0-9]([-_a-z0-9]*[a-z0-9])?"
_SEARCH = rf"{_SEARCH_LABEL}(\.{_SEARCH_LABEL})*"
BAD_SEARCH = regex_message(
    "a lowercase RFC 1123 subdomain must consist of lower case alphanumeric characters, '_', '-' or '.', and must "
    "start and end with an alphanumeric character", _SEARCH, "example.com")


def validate(pod: Obj) -> Sequence[FieldError]:
    """Return what is wrong with a pod, a new one or one that is changed."""
    spec, meta = pod["spec"], pod["metadata"]
    errors = [*annotation_errors(meta.get("annotations"), spec, "metadata.annotations"),
              *spec_errors(spec, "spec", meta.get("name") or ""), *_only_pod_errors(spec)]
    if not meta.get("resourceVersion"):
        errors += _create_errors(spec)
    return errors


def _only_pod_errors(spec: Obj) -> rules.Errors:
    """What templates may leave open."""
    if not spec.get("serviceAccountName"):
        for i, volume in enumerate(spec.get("volumes") or ()):
            for j, source in enumerate((volume.get("projected") or {}).get("sources") or ()):
                if source.get("serviceAccountToken") is not None:
                    yield rules.forbidden(f"spec.volumes[{i}].projected.sources[{j}].serviceAccountToken",
                                          "must not be specified when serviceAccountName is not set")
    for key in ("containers", "initContainers"):
        for i, one in enumerate(spec.get(key) or ()):
            yield from image_errors(one, f"spec.{key}[{i}]")


def _create_errors(spec: Obj) -> rules.Errors:
    if spec.get("ephemeralContainers"):
        yield rules.forbidden("spec.ephemeralContainers", "cannot be set on create")
    if spec.get("schedulingGates") and spec.get("nodeName"):
        yield rules.forbidden("spec.nodeName", "cannot be set until all schedulingGates have been cleared")


def spec_errors(spec: Obj, path: str, pod: str | None = None) -> rules.Errors:
    """What is wrong with a spec at `path`, of the pod with this name, "" while it has none, or of a template."""
    volumes, wrong = check_volumes(spec.get("volumes") or (), f"{path}.volumes", pod)
    place = Place(spec, path, volumes)
    yield from wrong
    yield from _claim_errors(spec.get("resourceClaims") or (), f"{path}.resourceClaims")
    yield from container_errors(place)
    yield from init_container_errors(place)
    yield from ephemeral_container_errors(place)
    yield from pod_resource_errors(spec, f"{path}.resources")
    yield from host_port_errors(place, in_pod=pod is not None)
    yield from rules.one_of(f"{path}.restartPolicy", spec.get("restartPolicy"), RESTART_POLICIES)
    yield from rules.one_of(f"{path}.dnsPolicy", spec.get("dnsPolicy"), DNS_POLICIES)
    yield from rules.label_map(f"{path}.nodeSelector", spec.get("nodeSelector"))
    yield from pod_security_errors(spec, f"{path}.securityContext")
    yield from affinity_errors(spec.get("affinity") or {}, f"{path}.affinity")
    yield from _dns_errors(spec, f"{path}.dnsConfig")
    for i, gate in enumerate(spec.get("readinessGates") or ()):
        yield from rules.qualified_name(f"{path}.readinessGates[{i}].conditionType", gate.get("conditionType", ""))
    yield from _gate_errors(spec.get("schedulingGates") or (), f"{path}.schedulingGates")
    yield from spread_errors(spec.get("topologySpreadConstraints") or (), f"{path}.topologySpreadConstraints")
    yield from host_user_errors(spec, path)
    yield from _name_errors(spec, path)
    yield from toleration_errors(spec.get("tolerations") or (), f"{path}.tolerations")
    yield from _alias_errors(spec.get("hostAliases") or (), f"{path}.hostAliases")
    yield from _class_errors(spec, path)
    yield from resource_errors({"limits": spec.get("overhead")}, f"{path}.overhead")
    yield from system_errors(spec, path)


def _claim_errors(claims: Sequence[Obj], path: str) -> rules.Errors:
    seen = set()
    for i, claim in enumerate(claims):
        field, name = f"{path}[{i}]", claim.get("name", "")
        if not name:
            yield required(f"{field}.name")
        elif name in seen:
            yield duplicate(f"{field}.name", name)
        else:
            yield from rules.label_name(f"{field}.name", name)
        seen.add(name)
        of, template = claim.get("resourceClaimName"), claim.get("resourceClaimTemplateName")
        struct = {"Name": name, "ResourceClaimName": of, "ResourceClaimTemplateName": template}
        if of is not None and template is not None:
            yield rules.invalid_struct(field, struct, "at most one of `resourceClaimName` or "
                                                      "`resourceClaimTemplateName` may be specified")
        elif of is None and template is None:
            yield rules.invalid_struct(field, struct, "must specify one of: `resourceClaimName`, "
                                                      "`resourceClaimTemplateName`")
        for key in ("resourceClaimName", "resourceClaimTemplateName"):
            if claim.get(key) is not None:
                yield from rules.subdomain_name(f"{field}.{key}", claim[key])


def _name_errors(spec: Obj, path: str) -> rules.Errors:
    for field in ("serviceAccountName", "nodeName"):
        if spec.get(field):
            yield from rules.subdomain_name(f"{path}.{field}", spec[field])
    yield from rules.in_range(f"{path}.activeDeadlineSeconds", spec.get("activeDeadlineSeconds"), 1, rules.MAX_INT32)
    for field in ("hostname", "subdomain"):
        if spec.get(field):
            yield from rules.label_name(f"{path}.{field}", spec[field])
    if spec.get("hostnameOverride") is not None:
        yield from rules.subdomain_name(f"{path}.hostnameOverride", spec["hostnameOverride"])
        if len(spec["hostnameOverride"]) > MAX_HOSTNAME:
            yield rules.too_long(f"{path}.hostnameOverride", MAX_HOSTNAME)


def _alias_errors(aliases: Sequence[Obj], path: str) -> rules.Errors:
    for i, alias in enumerate(aliases):
        yield from rules.ip_address(f"{path}[{i}].ip", alias.get("ip", ""))
        for j, host in enumerate(alias.get("hostnames") or ()):
            yield from rules.subdomain_name(f"{path}[{i}].hostnames[{j}]", host)


def _class_errors(spec: Obj, path: str) -> rules.Errors:
    if spec.get("priorityClassName"):
        yield from rules.subdomain_name(f"{path}.priorityClassName", spec["priorityClassName"])
    if spec.get("runtimeClassName") is not None:
        yield from rules.subdomain_name(f"{path}.runtimeClassName", spec["runtimeClassName"])
    if spec.get("preemptionPolicy") is not None:
        yield from rules.one_of(f"{path}.preemptionPolicy", spec["preemptionPolicy"], PREEMPTION_POLICIES)


def _dns_errors(spec: Obj, path: str) -> rules.Errors:
    config = spec.get("dnsConfig")
    servers, searches = ((config or {}).get(key) or [] for key in ("nameservers", "searches"))
    if spec.get("dnsPolicy") == "None":
        if config is None:
            yield required(path, "must provide `dnsConfig` when `dnsPolicy` is None")
            return
        if not servers:
            yield required(f"{path}.nameservers", "must provide at least one DNS nameserver when `dnsPolicy` is None")
            return
    if len(servers) > MAX_DNS_SERVERS:
        yield invalid_value(f"{path}.nameservers", servers, f"must not have more than {MAX_DNS_SERVERS} nameservers")
    for i, server in enumerate(servers):
        yield from rules.ip_address(f"{path}.nameservers[{i}]", server)
    if len(searches) > MAX_SEARCHES:
        yield invalid_value(f"{path}.searches", searches, f"must not have more than {MAX_SEARCHES} search paths")
    if len(" ".join(searches)) > MAX_SEARCH_TEXT:
        yield invalid_value(f"{path}.searches", searches, f"must not have more than {MAX_SEARCH_TEXT} characters "
                                                          "(including spaces) in the search list")
    for i, search in enumerate(searches):
        yield from _search_errors(search, f"{path}.searches[{i}]")
    for i, option in enumerate((config or {}).get("options") or ()):
        if not option.get("name"):
            yield required(f"{path}.options[{i}]", "must not be empty")


def _search_errors(search: str, path: str) -> rules.Errors:
    name = search.removesuffix(".")
    if search == ".":
        return
    if len(name) > 253:
        yield invalid_value(path, name, "must be no more than 253 characters")
    if not re.fullmatch(_SEARCH, name):
        yield invalid_value(path, name, BAD_SEARCH)


def _gate_errors(gates: Sequence[Mapping[str, Any]], path: str) -> rules.Errors:
    seen = set()
    for i, gate in enumerate(gates):
        name = gate.get("name", "")
        yield from rules.qualified_name(f"{path}[{i}]", name)
        if name in seen:
            yield duplicate(f"{path}[{i}]", name)
        seen.add(name)
