"""What a Service may look like.

Models: ValidateService of pkg/apis/core/validation
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from kubelab.machinery.errors import FieldError, duplicate, invalid_value, required
from kubelab.machinery.request import Obj
from kubelab.units import rules

TYPES = ("ClusterIP", "ExternalName", "LoadBalancer", "NodePort")
FAMILIES = ("IPv4", "IPv6")
POLICIES = ("PreferDualStack", "RequireDualStack", "SingleStack")
KUBELET_PORT = 10250


def headless(spec: Obj) -> bool:
    return spec.get("clusterIPs") == ["None"] or spec.get("clusterIP") == "None"


def has_node_ports(spec: Obj) -> bool:
    return spec.get("type") in ("NodePort", "LoadBalancer")


def externally_accessible(spec: Obj) -> bool:
    return has_node_ports(spec) or (spec.get("type") == "ClusterIP" and bool(spec.get("externalIPs")))


def needs_health_check(spec: Obj) -> bool:
    return spec.get("type") == "LoadBalancer" and spec.get("externalTrafficPolicy") == "Local"


def validate(service: Obj) -> Sequence[FieldError]:
    spec = service["spec"]
    return [
        *_type_errors(spec), *_port_errors(spec), *rules.label_map("spec.selector", spec.get("selector")),
        *_affinity_errors(spec), *_address_errors(spec), *_external_ip_errors(spec),
        *rules.one_of("spec.type", spec.get("type"), TYPES), *_port_conflicts(spec), *_balancer_errors(spec),
        *_policy_errors(spec),
    ]


def validate_update(new: Obj, old: Obj) -> Sequence[FieldError]:
    return list(_update_errors(new["spec"], old["spec"]))


def _update_errors(new: Obj, old: Obj) -> rules.Errors:
    if "ExternalName" in (new.get("type"), old.get("type")):
        return
    before, after = old.get("clusterIPs") or [], new.get("clusterIPs") or []
    for i in range(min(len(before), 2)):
        if i >= len(after) and i == 0:
            yield invalid_value("spec.clusterIPs[0]", after, "primary clusterIP can not be unset")
        elif i < len(after) and after[i] != before[i]:
            yield invalid_value(f"spec.clusterIPs[{i}]", after, "may not change once set")
    if old.get("loadBalancerClass") != new.get("loadBalancerClass") and old.get("type") == "LoadBalancer" \
            and new.get("type") == "LoadBalancer":
        yield invalid_value("spec.loadBalancerClass", new.get("loadBalancerClass"), "may not change once set")


def _type_errors(spec: Obj) -> rules.Errors:
    kind = spec.get("type")
    if not spec.get("ports") and not headless(spec) and kind != "ExternalName":
        yield required("spec.ports")
    if kind == "LoadBalancer":
        for i, port in enumerate(spec.get("ports") or ()):
            if port.get("port") == KUBELET_PORT:
                yield invalid_value(f"spec.ports[{i}]", KUBELET_PORT,
                                    f"may not expose port {KUBELET_PORT} externally since it is used by kubelet")
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


def _address_errors(spec: Obj) -> rules.Errors:
    if spec.get("type") == "ExternalName":
        return
    ips, families, policy = spec.get("clusterIPs") or [], spec.get("ipFamilies") or [], spec.get("ipFamilyPolicy")
    if spec.get("clusterIP") and ips and ips[0] != spec["clusterIP"]:
        yield invalid_value("spec.clusterIPs", ips, "first value must match `clusterIP`")
    if not spec.get("clusterIP") and ips:
        yield required("spec.clusterIP", "must be set when `clusterIPs` is set")
    for i, family in enumerate(families):
        if family not in FAMILIES:
            yield rules.unsupported(f"spec.ipFamilies[{i}]", family, FAMILIES)
        elif family == "IPv6" and not headless(spec):
            yield invalid_value(f"spec.ipFamilies[{i}]", family, "not configured on this cluster")
    yield from rules.unique((f"spec.ipFamilies[{i}]", f) for i, f in enumerate(families))
    if policy is not None and policy not in POLICIES:
        yield rules.unsupported("spec.ipFamilyPolicy", policy, POLICIES)
    elif policy == "RequireDualStack" and not headless(spec):
        yield invalid_value("spec.ipFamilyPolicy", policy, "this cluster is not configured for dual-stack services")
    if len(ips) > 2:
        yield invalid_value("spec.clusterIPs", ips, "may only hold up to 2 values")
    for i, ip in enumerate(ips):
        if ip == "None":
            if len(ips) > 1:
                yield invalid_value(f"spec.clusterIPs[{i}]", ip, "None must be the first and only value")
        else:
            yield from rules.ip_address(f"spec.clusterIPs[{i}]", ip)


def _external_ip_errors(spec: Obj) -> rules.Errors:
    for i, ip in enumerate(spec.get("externalIPs") or ()):
        path = f"spec.externalIPs[{i}]"
        yield from rules.special_ip(path, ip) if rules.is_ip(ip) else rules.ip_address(path, ip)


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


def _balancer_errors(spec: Obj) -> rules.Errors:
    balancer, only = spec.get("type") == "LoadBalancer", "may only be used when `type` is 'LoadBalancer'"
    ranges = spec.get("loadBalancerSourceRanges") or ()
    if ranges:
        if not balancer:
            yield rules.forbidden("spec.LoadBalancerSourceRanges", only)
        for i, value in enumerate(ranges):
            yield from rules.cidr(f"spec.LoadBalancerSourceRanges[{i}]", value)
    if spec.get("allocateLoadBalancerNodePorts") is not None and not balancer:
        yield rules.forbidden("spec.allocateLoadBalancerNodePorts", only)
    if spec.get("loadBalancerClass") is not None:
        if not balancer:
            yield rules.forbidden("spec.loadBalancerClass", only)
        yield from rules.qualified_name("spec.loadBalancerClass", spec["loadBalancerClass"])


def _policy_errors(spec: Obj) -> rules.Errors:
    external = spec.get("externalTrafficPolicy")
    if externally_accessible(spec):
        yield from rules.one_of("spec.externalTrafficPolicy", external, ("Cluster", "Local"))
    elif external:
        yield invalid_value("spec.externalTrafficPolicy", external,
                            "may only be set for externally-accessible services")
    health = spec.get("healthCheckNodePort")
    if health and not needs_health_check(spec):
        yield invalid_value("spec.healthCheckNodePort", health,
                            "may only be set when `type` is 'LoadBalancer' and `externalTrafficPolicy` is 'Local'")
    if spec.get("type") in ("ClusterIP", "NodePort", "LoadBalancer"):
        yield from rules.one_of("spec.internalTrafficPolicy", spec.get("internalTrafficPolicy"), ("Cluster", "Local"))
    distribution = spec.get("trafficDistribution")
    if distribution is not None:
        choices = ("PreferClose", "PreferSameNode", "PreferSameZone")
        yield from rules.one_of("spec.trafficDistribution", distribution, choices)
