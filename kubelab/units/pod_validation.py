"""What a pod may look like, and what of it may change once it exists.

    spec_errors ─┬─ volume_validation     the volumes
                 ├─ container_validation  containers, their ports, variables, probes, resources
                 └─ placement_validation  affinity, tolerations, spread

Models:   ValidatePodSpec and ValidatePodUpdate of pkg/apis/core/validation
Left out: Windows, dynamic resource claims
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Any

from kubelab.machinery.errors import FieldError, duplicate, invalid_value, required
from kubelab.machinery.request import Obj
from kubelab.units import rules
from kubelab.units.container_validation import (
    app_armor_errors,
    container_errors,
    host_port_errors,
    init_container_errors,
    seccomp_errors,
)
from kubelab.units.placement_validation import affinity_errors, spread_errors, toleration_errors
from kubelab.units.volume_validation import check_volumes

RESTART_POLICIES = ("Always", "OnFailure", "Never")
DNS_POLICIES = ("ClusterFirstWithHostNet", "ClusterFirst", "Default", "None")
_SYSCTL = r"^([a-z0-9]([-_a-z0-9]*[a-z0-9])?[\./])*[a-z0-9]([-_a-z0-9]*[a-z0-9])?$"
SYSTEMS = ("linux", "windows")
MAX_DNS_SERVERS = 3

UPDATABLE = (
    "pod updates may not change fields other than `spec.containers[*].image`,`spec.initContainers[*].image`,"
    "`spec.activeDeadlineSeconds`,`spec.tolerations` (only additions to existing tolerations),"
    "`spec.terminationGracePeriodSeconds` (allow it to be set to 1 if it was previously negative)")


def validate(pod: Obj) -> Sequence[FieldError]:
    errors = list(spec_errors(pod["spec"], "spec"))
    if pod["spec"].get("ephemeralContainers") and not pod["metadata"].get("resourceVersion"):
        errors.append(rules.forbidden("spec.ephemeralContainers", "cannot be set on create"))
    if pod["spec"].get("schedulingGates") and pod["spec"].get("nodeName"):
        errors.append(rules.forbidden("spec.nodeName", "cannot be set until all schedulingGates have been cleared"))
    return errors


def spec_errors(spec: Obj, path: str) -> rules.Errors:
    """What is wrong with a pod's spec, in a pod or in a template at `path`."""
    volumes, wrong = check_volumes(spec.get("volumes") or (), f"{path}.volumes")
    yield from wrong
    yield from container_errors(spec, volumes, f"{path}.containers")
    yield from init_container_errors(spec, volumes, path)
    yield from host_port_errors(spec, path)
    yield from rules.one_of(f"{path}.restartPolicy", spec.get("restartPolicy"), RESTART_POLICIES)
    yield from rules.one_of(f"{path}.dnsPolicy", spec.get("dnsPolicy"), DNS_POLICIES)
    yield from rules.label_map(f"{path}.nodeSelector", spec.get("nodeSelector"))
    if spec.get("hostPID") and spec.get("shareProcessNamespace"):
        yield invalid_value(f"{path}.securityContext.shareProcessNamespace", True,
                            "ShareProcessNamespace and HostPID cannot both be enabled")
    yield from _security_errors(spec.get("securityContext") or {}, f"{path}.securityContext")
    for i, secret in enumerate(spec.get("imagePullSecrets") or ()):
        if not secret.get("name"):
            yield required(f"{path}.imagePullSecrets[{i}].name")
    yield from affinity_errors(spec.get("affinity") or {}, f"{path}.affinity")
    yield from _dns_errors(spec, f"{path}.dnsConfig")
    for i, gate in enumerate(spec.get("readinessGates") or ()):
        yield from rules.qualified_name(f"{path}.readinessGates[{i}].conditionType", gate.get("conditionType", ""))
    yield from _gate_errors(spec.get("schedulingGates") or (), f"{path}.schedulingGates")
    yield from spread_errors(spec.get("topologySpreadConstraints") or (), f"{path}.topologySpreadConstraints")
    yield from _name_errors(spec, path)
    yield from toleration_errors(spec.get("tolerations") or (), f"{path}.tolerations")
    yield from _system_errors(spec.get("os"), f"{path}.os")
    for i, alias in enumerate(spec.get("hostAliases") or ()):
        yield from rules.ip_address(f"{path}.hostAliases[{i}].ip", alias.get("ip", ""))
        for j, host in enumerate(alias.get("hostnames") or ()):
            yield from rules.subdomain_name(f"{path}.hostAliases[{i}].hostnames[{j}]", host)
    for field in ("priorityClassName", "runtimeClassName"):
        if spec.get(field):
            yield from rules.subdomain_name(f"{path}.{field}", spec[field])
    if spec.get("preemptionPolicy") is not None:
        yield from rules.one_of(f"{path}.preemptionPolicy", spec["preemptionPolicy"], ("PreemptLowerPriority", "Never"))


def _system_errors(system: Obj | None, path: str) -> rules.Errors:
    if system is not None and not system.get("name"):
        yield required(f"{path}.name", "cannot be empty")
    elif system is not None and system["name"] not in SYSTEMS:
        yield rules.unsupported(path, system["name"], SYSTEMS)


def _name_errors(spec: Obj, path: str) -> rules.Errors:
    if spec.get("serviceAccountName"):
        yield from rules.subdomain_name(f"{path}.serviceAccountName", spec["serviceAccountName"])
    if spec.get("nodeName"):
        yield from rules.subdomain_name(f"{path}.nodeName", spec["nodeName"])
    yield from rules.in_range(f"{path}.activeDeadlineSeconds", spec.get("activeDeadlineSeconds"), 1, rules.MAX_INT32)
    for field in ("hostname", "subdomain"):
        if spec.get(field):
            yield from rules.label_name(f"{path}.{field}", spec[field])


def _security_errors(context: Obj, path: str) -> rules.Errors:
    for field in ("fsGroup", "runAsUser", "runAsGroup"):
        yield from rules.in_range(f"{path}.{field}", context.get(field), 0, rules.MAX_INT32)
    for i, group in enumerate(context.get("supplementalGroups") or ()):
        yield from rules.in_range(f"{path}.supplementalGroups[{i}]", group, 0, rules.MAX_INT32)
    seen = set()
    for i, sysctl in enumerate(context.get("sysctls") or ()):
        name, field = sysctl.get("name", ""), f"{path}.sysctls[{i}].name"
        if not name:
            yield required(field)
        elif len(name) > 253 or not re.match(_SYSCTL, name):
            yield invalid_value(field, name, f"must have at most 253 characters and match regex {_SYSCTL}")
        elif name in seen:
            yield duplicate(field, name)
        seen.add(name)
    policy = context.get("fsGroupChangePolicy")
    if policy is not None and policy not in ("OnRootMismatch", "Always"):
        yield rules.unsupported(f"{path}.fsGroupChangePolicy", policy, ("Always", "OnRootMismatch"))
    yield from seccomp_errors(context.get("seccompProfile"), f"{path}.seccompProfile")
    yield from app_armor_errors(context.get("appArmorProfile"), f"{path}.appArmorProfile")
    for field, choices in (("supplementalGroupsPolicy", ("Merge", "Strict")),
                           ("seLinuxChangePolicy", ("MountOption", "Recursive"))):
        if context.get(field) is not None:
            yield from rules.one_of(f"{path}.{field}", context[field], choices)


def _dns_errors(spec: Obj, path: str) -> rules.Errors:
    config = spec.get("dnsConfig")
    servers = (config or {}).get("nameservers") or ()
    if spec.get("dnsPolicy") == "None":
        if config is None:
            yield required(path, "must provide `dnsConfig` when `dnsPolicy` is None")
            return
        if not servers:
            yield required(f"{path}.nameservers", "must provide at least one DNS nameserver when `dnsPolicy` is None")
    if len(servers) > MAX_DNS_SERVERS:
        yield invalid_value(f"{path}.nameservers", list(servers),
                            f"must not have more than {MAX_DNS_SERVERS} nameservers")
    for i, server in enumerate(servers):
        yield from rules.ip_address(f"{path}.nameservers[{i}]", server)
    for i, search in enumerate((config or {}).get("searches") or ()):
        if search != ".":
            yield from rules.subdomain_name(f"{path}.searches[{i}]", search.removesuffix("."))
    for i, option in enumerate((config or {}).get("options") or ()):
        if not option.get("name"):
            yield required(f"{path}.options[{i}]", "must not be empty")


def _gate_errors(gates: Sequence[Mapping[str, Any]], path: str) -> rules.Errors:
    seen = set()
    for i, gate in enumerate(gates):
        name = gate.get("name", "")
        if name in seen:
            yield duplicate(f"{path}[{i}]", name)
        seen.add(name)
        yield from rules.qualified_name(f"{path}[{i}].name", name)


def validate_update(new: Obj, old: Obj) -> Sequence[FieldError]:
    return list(_update_errors(new["spec"], old["spec"]))


def _update_errors(new: Obj, old: Obj) -> rules.Errors:
    for key in ("containers", "initContainers"):
        if len(new.get(key) or ()) != len(old.get(key) or ()):
            yield rules.forbidden(f"spec.{key}", "pod updates may not add or remove containers")
            return
    after, before = new.get("activeDeadlineSeconds"), old.get("activeDeadlineSeconds")
    if before is not None and after != before:
        if after is None:
            yield invalid_value("spec.activeDeadlineSeconds", None,
                                "must not update from a positive integer to nil value")
        elif after > before:
            yield invalid_value("spec.activeDeadlineSeconds", after, "must be less than or equal to previous value")
    if not _tolerations_only_added(new.get("tolerations") or [], old.get("tolerations") or []):
        yield rules.forbidden("spec.tolerations",
                              "existing toleration can not be modified except its tolerationSeconds")
    gates = {g["name"] for g in old.get("schedulingGates") or ()}
    for i, gate in enumerate(new.get("schedulingGates") or ()):
        if gate["name"] not in gates:
            yield rules.forbidden(f"spec.schedulingGates[{i}]",
                                  f"only deletion is allowed, but found new scheduling gate '{gate['name']}'")
    changed = _frozen_changes(new, old)
    if changed:
        yield rules.forbidden("spec", UPDATABLE + "\n" + changed)


def _tolerations_only_added(new: Sequence[Obj], old: Sequence[Obj]) -> bool:
    def bare(toleration: Obj) -> Obj:
        return {k: v for k, v in toleration.items() if k != "tolerationSeconds"}

    known = [bare(t) for t in new]
    return all(bare(t) in known for t in old)


def _frozen(spec: Obj) -> Obj:
    """Return what of a spec nobody may change any more."""
    out = {k: v for k, v in spec.items() if k not in ("activeDeadlineSeconds", "tolerations", "schedulingGates")}
    for key in ("containers", "initContainers"):
        if key in out:
            out[key] = [{k: v for k, v in c.items() if k != "image"} for c in out[key]]
    if out.get("terminationGracePeriodSeconds", 0) < 0:
        out["terminationGracePeriodSeconds"] = 1
    if spec.get("schedulingGates"):  # a gated pod may still be narrowed down
        for key in ("nodeSelector", "affinity"):
            out.pop(key, None)
    return out


def _frozen_changes(new: Obj, old: Obj) -> str:
    """Return the difference between what is and what was frozen, as a unified diff, or ""."""
    after, before = _frozen(new), _frozen(old)
    if old.get("schedulingGates"):
        for key in ("nodeSelector", "affinity"):
            after.pop(key, None)
    if after == before:
        return ""
    import difflib
    import json

    was, becomes = (json.dumps(x, indent=1, sort_keys=True).splitlines() for x in (before, after))
    lines = list(difflib.unified_diff(was, becomes, lineterm="", n=3))
    return "\n".join(lines[2:]) + "\n"
