"""Networks, endpoints, storage and leases: what is refused, what stays and what is warned of, in Kubernetes' words."""

from __future__ import annotations

from typing import Any

import pytest

from kubelab import units

from .test_cluster_kinds import NET, STORE, obj, policy
from .test_validation import complete, errors, updated

SLICE = "discovery.k8s.io/v1"
TEXT = "a lowercase RFC 1123 subdomain must consist of"


def ingress(rule: dict[str, Any] | None = None, notes: dict[str, str] | None = None, **spec: Any) -> dict[str, Any]:
    backend = {"service": {"name": "a", "port": {"number": 80}}}
    found = obj(NET, "Ingress", spec={"defaultBackend": backend, **spec, **({"rules": [rule]} if rule else {})})
    found["metadata"]["annotations"] = notes or {}
    return found


def path(**fields: Any) -> dict[str, Any]:
    one = {"path": "/", "pathType": "Prefix", "backend": {"service": {"name": "a", "port": {"number": 80}}}}
    return ingress({"http": {"paths": [one | fields]}})


def endpoint_slice(kind: str = "IPv4", ports: Any = None, **endpoint: Any) -> dict[str, Any]:
    return obj(SLICE, "EndpointSlice", addressType=kind, ports=ports or [],
               endpoints=[{"addresses": ["10.1.2.3"], **endpoint}])


def block(cidr: str, *without: str) -> dict[str, Any]:
    return policy(ingress=[{"from": [{"ipBlock": {"cidr": cidr, "except": list(without)}}]}])


def topologies(*terms: dict[str, list[str]]) -> dict[str, Any]:
    return obj(STORE, "StorageClass", provisioner="p", allowedTopologies=[
        {"matchLabelExpressions": [{"key": k, "values": v} for k, v in term.items()]} for term in terms])


def attachment(name: str = "p") -> dict[str, Any]:
    return obj(STORE, "VolumeAttachment", spec={
        "attacher": "a", "nodeName": "n", "source": {"persistentVolumeName": name}})


RULE, HOP = "spec.rules[0]", "spec.rules[0].http.paths[0]"
REFUSED = [
    (ingress({"host": "10.0.0.1"}), [f'{RULE}.host: Invalid value: "10.0.0.1": must be a DNS name, not an IP address']),
    (path(pathType="X"), [f'{HOP}.pathType: Unsupported value: "X": supported values: "Exact", '
                          '"ImplementationSpecific", "Prefix"']),
    (path(pathType=None, path="x"), [f"{HOP}.pathType: Required value: pathType must be specified"]),
    (path(path="/a/.."), [f"{HOP}.path: Invalid value: \"/a/..\": cannot end with '/..'"]),
    (path(backend={}), [f'{HOP}.backend: Invalid value: "": resource or service backend is required']),
    (path(backend={"resource": {"kind": "a/b", "name": ""}}), [
        f"{HOP}.backend.resource.kind: Invalid value: \"a/b\": may not contain '/'",
        f"{HOP}.backend.resource.name: Required value"]),
    (path(backend={"service": {"name": "a", "port": {"name": "http", "number": 80}}}), [
        f'{HOP}.backend: Invalid value: "": cannot set both port name & port number']),
    (ingress(notes={"kubernetes.io/ingress.class": "a"}, ingressClassName="b"), [
        'annotations.kubernetes.io/ingress.class: Invalid value: "a": must match `ingressClassName` when both are '
        "specified"]),
    (ingress(notes={"kubernetes.io/ingress.class": "a"}, ingressClassName="a"), []),
    (obj(NET, "IngressClass", spec={"controller": "a.b/c", "parameters": {
        "apiGroup": "X", "kind": "K", "name": "n", "scope": "Namespace"}}), [
        f'spec.parameters.apiGroup: Invalid value: "X": {TEXT}',
        "spec.parameters.namespace: Required value: `parameters.scope` is set to 'Namespace'"]),
    (block("10.0.0.1/8"), ['spec.ingress[0].from[0].ipBlock.cidr: Invalid value: "10.0.0.1/8": must not have bits set '
                           "beyond the prefix length"]),
    (block("10.0.0.0/8", "x"), ['spec.ingress[0].from[0].ipBlock.except[0]: Invalid value: "x": must be a valid CIDR '
                                "value, (e.g. 10.9.8.0/24 or 2001:db8::/64)"]),
    (obj("v1", "Endpoints", subsets=[{"addresses": [{"ip": "x", "nodeName": "N_1"}]}]), [
        'subsets[0].addresses[0].ip: Invalid value: "x": must be a valid IP address, (e.g. 10.9.8.7 or 2001:db8::ffff)',
        f'subsets[0].addresses[0].nodeName: Invalid value: "N_1": {TEXT}',
        'subsets[0].addresses[0].ip: Invalid value: "x": must be a valid IP address']),
    (endpoint_slice("IPv6"), ['endpoints[0].addresses[0]: Invalid value: "10.1.2.3": must be an IPv6 address']),
    (endpoint_slice("FQDN", addresses=["local"]), [
        'endpoints[0].addresses[0]: Invalid value: "local": should be a domain with at least two segments separated '
        "by dots"]),
    (endpoint_slice("FQDN", addresses=["a.example.com."]), []),
    (endpoint_slice(hints={"forZones": [{"name": "a"}, {"name": "a"}], "forNodes": [{"name": str(i)} for i in range(9)]}
                    ), ['endpoints[0].hints.forZones[1].name: Duplicate value: "a"',
                        "endpoints[0].hints.forNodes: Too many: 9: must have at most 8 items"]),
    (endpoint_slice(ports=[{"port": 1, "appProtocol": "a b", "protocol": "X"}]), [
        'ports[0].protocol: Unsupported value: "X": supported values: "SCTP", "TCP", "UDP"',
        'ports[0].appProtocol: Invalid value: "a b": name part must consist of']),
    (topologies({"zone": ["a", "a"]}, {"zone": ["a"]}), [
        'allowedTopologies[0].matchLabelExpressions[0].values[1]: Duplicate value: "a"',
        'allowedTopologies[1].matchLabelExpressions: Duplicate value: ""']),
    (obj(STORE, "CSIDriver", spec={"serviceAccountTokenInSecrets": False}), [
        "spec.serviceAccountTokenInSecrets: Invalid value: false: serviceAccountTokenInSecrets is set but no "
        "tokenRequests are specified"]),
    (obj(STORE, "CSIStorageCapacity", storageClassName="s", capacity="-1Gi"), [
        'capacity: Invalid value: "-1Gi": must be greater than or equal to 0']),
]


@pytest.mark.parametrize(("sent", "told"), REFUSED)
def test_what_is_wrong_is_told_whole_and_in_order(sent: dict[str, Any], told: list[str]) -> None:
    """Every cause, each at its field; of a long one the beginning is compared."""
    found = errors(sent)
    assert [text[:len(want)] for text, want in zip(found, told, strict=True)] == told


STAYS = [
    (attachment(), attachment("q"), ['spec: Invalid value: {"Attacher":"a","Source":{"PersistentVolumeName":"q",'
                                     '"InlineVolumeSpec":null},"NodeName":"n"}: field is immutable']),
    (attachment(), attachment(), []),
    (obj(STORE, "VolumeAttributesClass", driverName="d", parameters={"a": "b"}),
     obj(STORE, "VolumeAttributesClass", driverName="e", parameters={"a": "b"}),
     ["driverName: Forbidden: updates to driverName are forbidden."]),
    (obj(NET, "ServiceCIDR", spec={"cidrs": ["10.0.0.0/24"]}),
     obj(NET, "ServiceCIDR", spec={"cidrs": ["10.0.0.0/24", "2001:db8::/64"]}), []),
    (obj(NET, "ServiceCIDR", spec={"cidrs": ["10.0.0.0/24"]}), obj(NET, "ServiceCIDR", spec={}),
     ["spec.cidrs: Invalid value: []: field is immutable"]),
    (obj(NET, "IPAddress", "10.0.0.3", spec={"parentRef": {"resource": "r", "name": "n"}}),
     obj(NET, "IPAddress", "10.0.0.3", spec={}), ["spec.parentRef: Invalid value: null: field is immutable"]),
    (endpoint_slice(addresses=["010.1.2.3"]), endpoint_slice("IPv6", addresses=["010.1.2.3"]), [
        'addressType: Invalid value: "IPv6": field is immutable']),
    (endpoint_slice(addresses=["010.1.2.3"]), endpoint_slice(addresses=["010.1.2.4"]), [
        'endpoints[0].addresses[0]: Invalid value: "010.1.2.4": must not have leading 0s']),
]


@pytest.mark.parametrize(("old", "new", "told"), STAYS)
def test_what_was_stored_may_stay_or_must(old: dict[str, Any], new: dict[str, Any], told: list[str]) -> None:
    """An update is judged by what it changes."""
    assert [str(e) for e in updated(new, old)] == told


def test_a_slice_is_warned_of_unless_a_controller_wrote_it() -> None:
    """Controllers mend what they read."""
    kind = units.by_kind(SLICE, "EndpointSlice")
    assert kind is not None
    bad = endpoint_slice("IPv6", addresses=["2001:DB8::1"])
    assert len(list(kind.warnings(bad, None))) == 1
    bad["metadata"]["labels"] = {"endpointslice.kubernetes.io/managed-by": "endpointslice-controller.k8s.io"}
    assert list(kind.warnings(bad, None)) == []
    assert list(kind.warnings(endpoint_slice("FQDN"), None)) == ["spec.addressType: FQDN endpoints are deprecated"]


def test_a_lease_has_no_strategy_yet() -> None:
    """Coordinated leader election is off by default: its fields are left out."""
    sent = obj("coordination.k8s.io/v1", "Lease", spec={"holderIdentity": "h", "strategy": "X", "preferredHolder": "y"})
    assert complete(sent)["spec"] == {"holderIdentity": "h"}
    assert errors(sent) == []


@pytest.mark.parametrize(("spec", "before", "warned"), [
    ({"tokenRequests": [{"audience": "a"}]}, None, True),
    ({"tokenRequests": [{"audience": "a"}], "serviceAccountTokenInSecrets": False}, None, False),
    ({"tokenRequests": [{"audience": "a"}]}, {"tokenRequests": [{"audience": "a"}]}, False),
    ({"tokenRequests": [{"audience": "a"}]}, {"tokenRequests": [{"audience": "b"}]}, True),
    ({}, {"tokenRequests": [{"audience": "b"}]}, False),
])
def test_a_driver_is_to_say_where_tokens_go(spec: dict[str, Any], before: dict[str, Any] | None, warned: bool) -> None:
    """Whoever asks for tokens anew and says nothing is told that they may be logged."""
    kind = units.by_kind(STORE, "CSIDriver")
    assert kind is not None
    old = None if before is None else obj(STORE, "CSIDriver", spec=before)
    assert bool(list(kind.warnings(obj(STORE, "CSIDriver", spec=spec), old))) is warned
