"""Node: a machine that runs pods, as its kubelet reports it.

Models: pkg/registry/core/node of kube-apiserver
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from kubelab.machinery import names
from kubelab.machinery.errors import FieldError, invalid_value, required
from kubelab.machinery.request import Obj
from kubelab.units import rules
from kubelab.units.addresses import cidr_warnings
from kubelab.units.catalogue import Column, Kind
from kubelab.units.columns import AGE, NAME, NONE
from kubelab.units.resource_validation import amount_errors

INFO = ("machineID", "systemUUID", "bootID", "kernelVersion", "osImage", "containerRuntimeVersion", "kubeletVersion",
        "kubeProxyVersion", "operatingSystem", "architecture")
ROLE_PREFIX = "node-role.kubernetes.io/"
EFFECTS = ("NoSchedule", "PreferNoSchedule", "NoExecute")


def _default(node: Obj) -> None:
    spec = node.setdefault("spec", {})
    _default_status(node)
    ranges = spec.get("podCIDRs") or []
    if spec.get("podCIDR") and ranges[:1] != [spec["podCIDR"]]:
        spec["podCIDRs"] = [spec["podCIDR"]]  # the older field is what counts where they differ
    elif ranges:
        spec["podCIDR"] = ranges[0]


def _default_status(node: Obj) -> None:
    """Show what Kubernetes always shows of a node's status; a status may be shared, so a new one is made."""
    status = node.get("status") or {}
    daemon = (status.get("daemonEndpoints") or {}).get("kubeletEndpoint") or {}
    node["status"] = status = {
        **status, "daemonEndpoints": {"kubeletEndpoint": {"Port": 0, **daemon}},
        "nodeInfo": {**dict.fromkeys(INFO, ""), **(status.get("nodeInfo") or {})}}
    if status.get("capacity") and not status.get("allocatable"):
        status["allocatable"] = status["capacity"]


def _drop_removed(node: Obj) -> None:
    """Forget what kubelets once took their settings from."""
    node["spec"].pop("configSource", None)
    if "config" in (node.get("status") or {}):
        node["status"] = {key: value for key, value in node["status"].items() if key != "config"}


def _validate(node: Obj) -> Sequence[FieldError]:
    spec = node.get("spec") or {}
    return [*_taint_errors(spec.get("taints") or ()), *_amount_errors(node.get("status") or {}),
            *_cidr_errors(spec.get("podCIDRs") or ())]


def _amount_errors(status: Obj) -> rules.Errors:
    for key in ("capacity", "allocatable"):
        for name, amount in (status.get(key) or {}).items():
            yield from amount_errors(name, amount, f"status.{key}.{name}")


def _taint_errors(taints: Sequence[Mapping[str, Any]]) -> rules.Errors:
    seen = set()
    for i, taint in enumerate(taints):
        path = f"metadata.taints[{i}]"  # as upstream has it, though taints stand in the spec
        yield from rules.qualified_name(f"{path}.key", taint.get("key", ""))
        wrong = names.label_value_errors(taint.get("value", ""))
        if wrong:
            yield invalid_value(f"{path}.value", taint["value"], ";".join(wrong))
        effect = taint.get("effect", "")
        if not effect:
            yield required(f"{path}.effect")
        elif effect not in EFFECTS:
            yield rules.unsupported(f"{path}.effect", effect, EFFECTS)
        if (taint.get("key"), effect) in seen:
            struct = {"Key": taint.get("key", ""), "Value": taint.get("value", ""), "Effect": effect,
                      "TimeAdded": taint.get("timeAdded")}
            yield FieldError(path, "FieldValueDuplicate", f"Duplicate value: {rules.shown_in_order(struct)}: "
                                                          "taints must be unique by key and effect pair")
        seen.add((taint.get("key"), effect))


def _cidr_errors(cidrs: Sequence[str]) -> rules.Errors:
    for i, value in enumerate(cidrs):
        yield from rules.cidr(f"spec.podCIDRs[{i}]", value)
    if len(cidrs) > 2 or (len(cidrs) == 2 and len({":" in cidr for cidr in cidrs}) == 1):
        yield invalid_value("spec.podCIDRs", list(cidrs), "may specify no more than one CIDR for each IP family")
    yield from rules.unique((f"spec.podCIDRs[{i}]", value) for i, value in enumerate(cidrs))


def _validate_update(new: Obj, old: Obj) -> Sequence[FieldError]:
    """Return what an update, of either part of a node, may not do; taints and amounts are looked at once more."""
    spec, status = new["spec"], new.get("status") or {}
    return [*_amount_errors(status), *_node_address_errors(status.get("addresses") or ()),
            *_frozen_errors(spec, old["spec"]), *_taint_errors(spec.get("taints") or ())]


def _node_address_errors(addresses: Sequence[Obj]) -> rules.Errors:
    for i, address in enumerate(addresses):
        if address in addresses[:i]:
            struct = {"Type": address.get("type", ""), "Address": address.get("address", "")}
            yield FieldError(f"status.addresses[{i}]", "FieldValueDuplicate",
                             f"Duplicate value: {rules.shown_in_order(struct)}")


def _frozen_errors(new: Obj, old: Obj) -> rules.Errors:
    before, after = old.get("podCIDRs") or [], new.get("podCIDRs") or []
    changed = len(before) != len(after) or sum(a != b for a, b in zip(before, after, strict=True))
    for _ in range(changed if before else 0):
        yield rules.forbidden("spec.podCIDRs", 'node updates may not change podCIDR except from "" to valid')
    if old.get("providerID") and new.get("providerID") != old.get("providerID"):
        yield rules.forbidden("spec.providerID", 'node updates may not change providerID except from "" to valid')
    if new.get("externalID", "") != old.get("externalID", ""):
        yield rules.forbidden("spec.externalID", "may not be updated")


def _warnings(new: Obj, old: Obj | None) -> Iterator[str]:
    spec = new.get("spec") or {}
    if spec.get("externalID"):
        yield "spec.externalID: this field is deprecated, and is unused by Kubernetes"
    for i, cidr in enumerate(spec.get("podCIDRs") or ()):
        yield from cidr_warnings(f"spec.podCIDRs[{i}]", cidr)


def status_text(node: Obj) -> str:
    ready = next((c for c in node.get("status", {}).get("conditions") or () if c["type"] == "Ready"), None)
    words = ["Unknown" if ready is None else "Ready" if ready["status"] == "True" else "NotReady"]
    if node.get("spec", {}).get("unschedulable"):
        words.append("SchedulingDisabled")
    return ",".join(words)


def roles_text(node: Obj) -> str:
    found = set()
    for key, value in (node["metadata"].get("labels") or {}).items():
        if key.startswith(ROLE_PREFIX) and len(key) > len(ROLE_PREFIX):
            found.add(key.removeprefix(ROLE_PREFIX))
        elif key == "kubernetes.io/role" and value:
            found.add(value)
    return ",".join(sorted(found)) or NONE


def address(node: Obj, kind: str) -> str:
    found = node.get("status", {}).get("addresses") or ()
    return next((str(a["address"]) for a in found if a["type"] == kind), NONE)


def _info(key: str, missing: str = "<unknown>") -> Any:
    return lambda node, now: node.get("status", {}).get("nodeInfo", {}).get(key) or missing


def _fields(node: Obj) -> Mapping[str, str]:
    return {"spec.unschedulable": "true" if (node.get("spec") or {}).get("unschedulable") else "false"}


NODE = Kind(
    "Node", "nodes", namespaced=False, short_names=("no",), subresources=frozenset({"status", "proxy"}),
    default=_default, default_status=_default_status,
    prepare_create=_drop_removed, prepare_update=lambda new, old: _drop_removed(new),
    validate=_validate, validate_update=_validate_update, warnings=_warnings,
    validate_part=lambda new, old, subresource: _validate_update(new, old),
    columns=(
        NAME,
        Column("Status", lambda o, now: status_text(o), description="The status of the node"),
        Column("Roles", lambda o, now: roles_text(o), description="The roles of the node"),
        AGE,
        Column("Version", _info("kubeletVersion", ""), path="status.nodeInfo.kubeletVersion"),
        Column("Internal-IP", lambda o, now: address(o, "InternalIP"), priority=1, path="status.addresses"),
        Column("External-IP", lambda o, now: address(o, "ExternalIP"), priority=1, path="status.addresses"),
        Column("OS-Image", _info("osImage"), priority=1, path="status.nodeInfo.osImage"),
        Column("Kernel-Version", _info("kernelVersion"), priority=1, path="status.nodeInfo.kernelVersion"),
        Column("Container-Runtime", _info("containerRuntimeVersion"), priority=1,
               path="status.nodeInfo.containerRuntimeVersion"),
    ),
    selectable=_fields, selectable_keys=("spec.unschedulable",),
)


def Node(name: str, *, labels: Mapping[str, str] | None = None, taints: Sequence[Mapping[str, str]] = ()) -> Obj:
    """Write the manifest of a node; in a running cluster its kubelet does this."""
    meta: Obj = {"name": name}
    if labels:
        meta["labels"] = dict(labels)
    spec: Obj = {"taints": [dict(t) for t in taints]} if taints else {}
    return {"apiVersion": "v1", "kind": "Node", "metadata": meta, "spec": spec}
