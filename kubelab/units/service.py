"""Service: one stable name and address in front of pods that come and go.

Models:   pkg/registry/core/service and pkg/apis/core/v1 defaults of kube-apiserver
Left out: choosing a cluster IP or a node port, which needs the API server's allocators
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from kubelab.machinery.request import Obj
from kubelab.units import service_validation as validation
from kubelab.units import status_validation, warnings
from kubelab.units.catalogue import Column, Kind
from kubelab.units.columns import AGE, NAME, NONE, addresses_text, labels_text
from kubelab.units.service_addresses import default_families, normalise_ips


def _default(service: Obj) -> None:
    spec = service.setdefault("spec", {})
    kind = spec["type"] = spec.get("type") or "ClusterIP"
    affinity = spec["sessionAffinity"] = spec.get("sessionAffinity") or "None"
    if affinity == "None":
        spec.pop("sessionAffinityConfig", None)
    elif affinity == "ClientIP":
        client = spec.setdefault("sessionAffinityConfig", {}).setdefault("clientIP", {})
        client.setdefault("timeoutSeconds", 10800)
    for port in spec.get("ports") or ():
        port["protocol"] = port.get("protocol") or "TCP"
        if not port.get("targetPort"):
            port["targetPort"] = port.get("port", 0)
    if validation.externally_accessible(spec) and not spec.get("externalTrafficPolicy"):
        spec["externalTrafficPolicy"] = "Cluster"
    if kind in ("ClusterIP", "NodePort", "LoadBalancer"):
        spec.setdefault("internalTrafficPolicy", "Cluster")
    if kind == "LoadBalancer":
        spec.setdefault("allocateLoadBalancerNodePorts", True)
    if "loadBalancer" not in (service.get("status") or {}):
        service["status"] = {"loadBalancer": {}, **(service.get("status") or {})}


def _default_status(service: Obj) -> None:
    """A load balancer that has an address is a virtual one, unless it says otherwise; a status may be shared."""
    ingress = ((service.get("status") or {}).get("loadBalancer") or {}).get("ingress") or []
    if service["spec"].get("type") == "LoadBalancer" and any(p.get("ip") and not p.get("ipMode") for p in ingress):
        shown = [{**p, "ipMode": "VIP"} if p.get("ip") and not p.get("ipMode") else p for p in ingress]
        balancer = {**service["status"]["loadBalancer"], "ingress": shown}
        service["status"] = {**service["status"], "loadBalancer": balancer}


def _prepare_create(service: Obj) -> None:
    spec = service["spec"]
    service["status"] = {"loadBalancer": {}}
    if spec.get("clusterIP") and not spec.get("clusterIPs"):
        spec["clusterIPs"] = [spec["clusterIP"]]
    default_families(spec)


def _prepare_update(new: Obj, old: Obj) -> None:
    """Carry over what was allocated and the writer left out; drop what only the old type needed."""
    normalise_ips(new["spec"], old["spec"])
    _keep_allocated(new["spec"], old["spec"])
    default_families(new["spec"], old["spec"])
    _drop_unneeded(new["spec"], old["spec"])
    if new["spec"]["type"] != "LoadBalancer" and (new.get("status") or {}).get("loadBalancer"):
        new["status"] = {**new["status"], "loadBalancer": {}}  # that it goes takes time, which nobody needs to see


def _keep_allocated(new: Obj, old: Obj) -> None:
    if validation.has_node_ports(new) and validation.has_node_ports(old):
        taken = {p.get("nodePort") for p in new.get("ports") or ()}
        before = {p.get("name", ""): p.get("nodePort") for p in old.get("ports") or ()}
        for port in new.get("ports") or ():
            known = before.get(port.get("name", ""))
            if not port.get("nodePort") and known and known not in taken:
                port["nodePort"] = known
                taken.add(known)
    if validation.needs_health_check(new) and validation.needs_health_check(old) and old.get("healthCheckNodePort"):
        new["healthCheckNodePort"] = new.get("healthCheckNodePort") or old["healthCheckNodePort"]


def _drop_unneeded(new: Obj, old: Obj) -> None:
    def drop(field: str, needed: bool) -> None:
        if not needed and new.get(field) == old.get(field):
            new.pop(field, None)

    internal = new["type"] != "ExternalName"
    for field in ("clusterIP", "clusterIPs", "ipFamilies", "ipFamilyPolicy"):
        drop(field, internal)
    drop("externalTrafficPolicy", validation.externally_accessible(new))
    drop("allocateLoadBalancerNodePorts", new["type"] == "LoadBalancer")
    drop("loadBalancerClass", new["type"] == "LoadBalancer")
    drop("healthCheckNodePort", validation.needs_health_check(new))
    if validation.has_node_ports(old) and not validation.has_node_ports(new):
        before, after = ({p.get("nodePort") for p in spec.get("ports") or ()} for spec in (old, new))
        if after <= before | {None, 0}:
            for port in new.get("ports") or ():
                port.pop("nodePort", None)


def _ports_text(service: Obj) -> str:
    def one(port: Mapping[str, Any]) -> str:
        outside = f":{port['nodePort']}" if port.get("nodePort") else ""
        return f"{port['port']}{outside}/{port.get('protocol', 'TCP')}"

    return ",".join(one(p) for p in service["spec"].get("ports") or ()) or NONE


def _external_ip(service: Obj) -> str:
    spec = service["spec"]
    given = list(spec.get("externalIPs") or ())
    kind = spec.get("type")
    if kind in ("ClusterIP", "NodePort"):
        return ",".join(given) or NONE
    if kind == "LoadBalancer":
        balancer = addresses_text(((service.get("status") or {}).get("loadBalancer") or {}).get("ingress"))
        return ",".join(([balancer] if balancer else []) + given) or "<pending>"
    return str(spec.get("externalName", "")) if kind == "ExternalName" else "<unknown>"


def _cluster_ip(service: Obj) -> str:
    spec = service["spec"]
    return str((spec.get("clusterIPs") or [spec.get("clusterIP")])[0] or NONE)


def _fields(service: Obj) -> Mapping[str, str]:
    spec = service.get("spec") or {}
    return {"spec.clusterIP": spec.get("clusterIP", ""), "spec.type": spec.get("type", "")}


SERVICE = Kind(
    "Service", "services", short_names=("svc",), categories=("all",), subresources=frozenset({"status", "proxy"}),
    default=_default, default_status=_default_status, prepare_create=_prepare_create,
    prepare_update=_prepare_update,
    validate=validation.validate, validate_update=validation.validate_update, update_first=True, validate_name="label",
    validate_part=status_validation.load_balancer,
    warnings=warnings.service,
    columns=(
        NAME,
        Column("Type", lambda o, now: o["spec"].get("type", ""), path="spec.type"),
        Column("Cluster-IP", lambda o, now: _cluster_ip(o), path="spec.clusterIP"),
        Column("External-IP", lambda o, now: _external_ip(o), path="spec.externalIPs"),
        Column("Port(s)", lambda o, now: _ports_text(o), path="spec.ports"),
        AGE,
        Column("Selector", lambda o, now: labels_text(o["spec"].get("selector")), priority=1, path="spec.selector"),
    ),
    selectable=_fields, selectable_keys=("spec.clusterIP", "spec.type"),
)


def Service(
    name: str, *, port: int | Mapping[str, Any] | Sequence[int | Mapping[str, Any]] = 80,
    target_port: int | str | None = None, selector: Mapping[str, str] | None = None, type: str = "ClusterIP",
    node_port: int | None = None, namespace: str | None = None,
) -> Obj:
    """Write the manifest of a service for the pods labelled `app: <name>`.

    `port` is a number, a port as it stands in a manifest, or a list of these; `target_port` is the container's port
    where it differs.
    """
    many = [port] if isinstance(port, (int, Mapping)) else list(port)
    ports: list[Obj] = [dict(p) if isinstance(p, Mapping) else {"port": p} for p in many]
    for written in ports:
        if target_port is not None:
            written["targetPort"] = target_port
        if node_port is not None:
            written["nodePort"] = node_port
        if len(ports) > 1:
            written.setdefault("name", f"port-{written['port']}")
    spec: Obj = {"selector": dict(selector) if selector is not None else {"app": name}, "ports": ports}
    if type != "ClusterIP":
        spec = {"type": type} | spec
    meta = {"name": name} | ({"namespace": namespace} if namespace else {})
    return {"apiVersion": "v1", "kind": "Service", "metadata": meta, "spec": spec}
