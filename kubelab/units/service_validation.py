"""What a Service may look like.

Models:   ValidateService and ValidateServiceUpdate of pkg/apis/core/validation
Left out: that a health check port is set, which the API server sees to when it allocates
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from kubelab.machinery.errors import FieldError, duplicate, invalid_value, required
from kubelab.machinery.request import Obj
from kubelab.units import rules
from kubelab.units.service_addresses import address_errors

TYPES = ("ClusterIP", "ExternalName", "LoadBalancer", "NodePort")
ONLY_BALANCER = "may only be used when `type` is 'LoadBalancer'"
TOPOLOGY_HINTS, TOPOLOGY_MODE = "service.kubernetes.io/topology-aware-hints", "service.kubernetes.io/topology-mode"
SOURCE_RANGES = "service.beta.kubernetes.io/load-balancer-source-ranges"


def headless(spec: Obj) -> bool:
    return spec.get("clusterIPs") == ["None"] or spec.get("clusterIP") == "None"


def has_node_ports(spec: Obj) -> bool:
    return spec.get("type") in ("NodePort", "LoadBalancer")


def externally_accessible(spec: Obj) -> bool:
    return has_node_ports(spec) or (spec.get("type") == "ClusterIP" and bool(spec.get("externalIPs")))


def needs_health_check(spec: Obj) -> bool:
    return spec.get("type") == "LoadBalancer" and spec.get("externalTrafficPolicy") == "Local"


def validate(service: Obj) -> Sequence[FieldError]:
    spec, notes = service["spec"], service["metadata"].get("annotations") or {}
    wrong = list(address_errors(spec))
    if wrong:
        return wrong
    return [
        *_topology_errors(notes), *_type_errors(spec), *_port_errors(spec),
        *rules.label_map("spec.selector", spec.get("selector")), *_affinity_errors(spec), *_external_ip_errors(spec),
        *rules.one_of("spec.type", spec.get("type"), TYPES), *_port_conflicts(spec), *_range_errors(spec, notes),
        *_balancer_errors(spec), *_class_errors(spec), *_external_policy_errors(spec), *_internal_policy_errors(spec),
    ]


def validate_update(new: Obj, old: Obj) -> Sequence[FieldError]:
    spec = new["spec"]
    if list(address_errors(spec)):
        return ()
    return [*_update_errors(spec, old["spec"]), *_class_errors(spec), *_health_port_errors(spec, old["spec"])]


def _update_errors(new: Obj, old: Obj) -> rules.Errors:
    if "ExternalName" in (new.get("type"), old.get("type")):
        return
    before, after = old.get("clusterIPs") or [], new.get("clusterIPs") or []
    for i in range(min(len(before), 2)):
        if i >= len(after) and i == 0:
            yield invalid_value("spec.clusterIPs[0]", after or None, "primary clusterIP can not be unset")
        elif i < len(after) and after[i] != before[i]:
            yield invalid_value(f"spec.clusterIPs[{i}]", after, "may not change once set")
    if old.get("loadBalancerClass") != new.get("loadBalancerClass") and old.get("type") == "LoadBalancer" \
            and new.get("type") == "LoadBalancer":
        yield invalid_value("spec.loadBalancerClass", new.get("loadBalancerClass"), "may not change once set")


def _health_port_errors(new: Obj, old: Obj) -> rules.Errors:
    if needs_health_check(new) and needs_health_check(old) \
            and (new.get("healthCheckNodePort") or 0) != (old.get("healthCheckNodePort") or 0):
        yield rules.forbidden("spec.healthCheckNodePort", "field is immutable")


def _topology_errors(notes: Obj) -> rules.Errors:
    if TOPOLOGY_MODE in notes and notes.get(TOPOLOGY_HINTS, notes[TOPOLOGY_MODE]) != notes[TOPOLOGY_MODE]:
        yield invalid_value(f"metadata.annotations[{TOPOLOGY_MODE}]", notes[TOPOLOGY_MODE],
                            f"must match annotations[{TOPOLOGY_HINTS}] when both are specified")


def _type_errors(spec: Obj) -> rules.Errors:
    kind = spec.get("type")
    if not spec.get("ports") and not headless(spec) and kind != "ExternalName":
        yield required("spec.ports")
    if has_node_ports(spec) and headless(spec):
        yield invalid_value("spec.clusterIPs[0]", "None", f"may not be set to 'None' for {kind} services")
    if kind == "ExternalName":
        for field in ("clusterIPs", "ipFamilies", "ipFamilyPolicy"):
            if spec.get(field):
                yield rules.forbidden(f"spec.{field}", "may not be set for ExternalName services")
        name = str(spec.get("externalName", "")).removesuffix(".")
        yield from rules.subdomain_name("spec.externalName", name) if name else [required("spec.externalName")]


def _port_errors(spec: Obj) -> rules.Errors:
    ports, names = spec.get("ports") or (), set()
    for i, port in enumerate(ports):
        path, name = f"spec.ports[{i}]", port.get("name", "")
        if not name:
            if len(ports) > 1:
                yield required(f"{path}.name")
        else:
            yield from rules.label_name(f"{path}.name", name)
            if name in names:
                yield duplicate(f"{path}.name", name)
            names.add(name)
        yield from rules.port_number(f"{path}.port", port.get("port", 0))
        yield from rules.one_of(f"{path}.protocol", port.get("protocol"), rules.PROTOCOLS)
        yield from rules.port_or_name(f"{path}.targetPort", port.get("targetPort", 0))
        if port.get("appProtocol") is not None:
            yield from rules.qualified_name(f"{path}.appProtocol", port["appProtocol"])


def _affinity_errors(spec: Obj) -> rules.Errors:
    affinity = spec.get("sessionAffinity")
    yield from rules.one_of("spec.sessionAffinity", affinity, ("ClientIP", "None"))
    config = spec.get("sessionAffinityConfig")
    if affinity == "ClientIP":
        timeout = ((config or {}).get("clientIP") or {}).get("timeoutSeconds")
        path = "spec.sessionAffinityConfig.clientIP"
        if timeout is None:
            yield required(f"{path}.timeoutSeconds" if config else "spec.sessionAffinityConfig")
        elif not 1 <= timeout <= 86400:
            yield invalid_value(f"{path}.timeoutSeconds", timeout, "must be greater than 0 and less than 86400")
    elif affinity == "None" and config is not None:
        yield rules.forbidden("spec.sessionAffinityConfig", "must not be set when session affinity is None")


def _external_ip_errors(spec: Obj) -> rules.Errors:
    for i, ip in enumerate(spec.get("externalIPs") or ()):
        path = f"spec.externalIPs[{i}]"
        yield from list(rules.ip_address(path, ip)) or rules.special_ip(path, ip)


def _port_conflicts(spec: Obj) -> rules.Errors:
    ports = list(enumerate(spec.get("ports") or ()))
    if spec.get("type") == "ClusterIP":
        for i, port in ports:
            if port.get("nodePort"):
                yield rules.forbidden(f"spec.ports[{i}].nodePort", "may not be used when `type` is 'ClusterIP'")
    for i, number in _repeated((p.get("protocol"), p["nodePort"], i) for i, p in ports if p.get("nodePort")):
        yield duplicate(f"spec.ports[{i}].nodePort", number)
    for i, number in _repeated((p.get("protocol"), p.get("port", 0), i) for i, p in ports):
        key = {"Name": "", "Protocol": ports[i][1].get("protocol"), "AppProtocol": None, "Port": number,
               "TargetPort": 0, "NodePort": 0}
        yield FieldError(f"spec.ports[{i}]", "FieldValueDuplicate",
                         f"Duplicate value: {rules.shown_in_order(key)}")


def _repeated(ports: Iterable[tuple[str, int, int]]) -> list[tuple[int, int]]:
    """Return (index, number) of every port whose protocol and number came before."""
    seen: set[tuple[str, int]] = set()
    found = []
    for protocol, number, i in ports:
        if (protocol, number) in seen:
            found.append((i, number))
        seen.add((protocol, number))
    return found


def _range_errors(spec: Obj, notes: Obj) -> rules.Errors:
    """Check who may reach a load balancer, from the field or from where older manifests wrote it."""
    ranges, path = spec.get("loadBalancerSourceRanges") or (), "spec.LoadBalancerSourceRanges"
    fields = [(f"{path}[{i}]", value) for i, value in enumerate(ranges)]
    if not ranges and SOURCE_RANGES in notes:
        path = f"metadata.annotations[{SOURCE_RANGES}]"
        fields = [(path, value) for value in notes[SOURCE_RANGES].split(",") if notes[SOURCE_RANGES].strip()]
    elif not ranges:
        return
    if spec.get("type") != "LoadBalancer":
        yield rules.forbidden(path, ONLY_BALANCER)
    for field, value in fields:
        yield from rules.cidr(field, value.strip())


def _balancer_errors(spec: Obj) -> rules.Errors:
    if spec.get("allocateLoadBalancerNodePorts") is not None and spec.get("type") != "LoadBalancer":
        yield rules.forbidden("spec.allocateLoadBalancerNodePorts", ONLY_BALANCER)


def _class_errors(spec: Obj) -> rules.Errors:
    chosen = spec.get("loadBalancerClass")
    if chosen is not None and spec.get("type") == "LoadBalancer":
        yield from rules.qualified_name("spec.loadBalancerClass", chosen)
    elif chosen is not None:
        yield rules.forbidden("spec.loadBalancerClass", ONLY_BALANCER)


def _external_policy_errors(spec: Obj) -> rules.Errors:
    external, health = spec.get("externalTrafficPolicy"), spec.get("healthCheckNodePort")
    if externally_accessible(spec):
        yield from rules.one_of("spec.externalTrafficPolicy", external, ("Cluster", "Local"))
    elif external:
        yield invalid_value("spec.externalTrafficPolicy", external,
                            "may only be set for externally-accessible services")
    if health and not needs_health_check(spec):
        yield invalid_value("spec.healthCheckNodePort", health,
                            "may only be set when `type` is 'LoadBalancer' and `externalTrafficPolicy` is 'Local'")
    elif health:
        yield from rules.port_number("spec.healthCheckNodePort", health)


def _internal_policy_errors(spec: Obj) -> rules.Errors:
    internal = spec.get("internalTrafficPolicy")
    if internal is None and spec.get("type") in ("ClusterIP", "NodePort", "LoadBalancer"):
        yield required("spec.internalTrafficPolicy")
    yield from rules.known("spec.internalTrafficPolicy", internal, ("Cluster", "Local"))
    yield from rules.known("spec.trafficDistribution", spec.get("trafficDistribution"),
                           ("PreferClose", "PreferSameNode", "PreferSameZone"))
