"""What the kinds of core/v1 other than Pod are refused for: object, and the causes in upstream's order."""

from __future__ import annotations

from typing import Any

import pytest

from kubelab import units
from kubelab.machinery.meta import copy_obj

NAME = {"name": "x", "namespace": "n"}


def of(kind: str, spec: Any = None, **fields: Any) -> dict[str, Any]:
    given = {} if spec is None else {"spec": spec}
    return {"apiVersion": "v1", "kind": kind, "metadata": dict(NAME), **given, **fields}


def service(annotations: dict[str, str] | None = None, **spec: Any) -> dict[str, Any]:
    out = of("Service", {"selector": {"app": "a"}, "ports": [{"port": 80}], **spec})
    return out | {"metadata": {**NAME, "annotations": annotations or {}}}


def volume(**spec: Any) -> dict[str, Any]:
    given = {"capacity": {"storage": "1Gi"}, "accessModes": ["ReadWriteOnce"], "hostPath": {"path": "/x"}}
    return of("PersistentVolume", {key: value for key, value in {**given, **spec}.items() if value is not None})


def claim(**spec: Any) -> dict[str, Any]:
    return of("PersistentVolumeClaim", {"accessModes": ["ReadWriteOnce"], "resources": {"requests": {"storage": "1Gi"}},
                                        **spec})


def limits(**item: Any) -> dict[str, Any]:
    return of("LimitRange", {"limits": [item]})


def complete(obj: dict[str, Any]) -> dict[str, Any]:
    """Return a copy as the server completes it before it looks for errors."""
    kind, out = units.by_kind(obj["apiVersion"], obj["kind"]), copy_obj(obj)
    assert kind is not None
    out["metadata"].setdefault("creationTimestamp", "2026-01-01T00:00:00Z")
    kind.default(out)
    kind.prepare_create(out)
    if "status" in obj:
        out["status"] = obj["status"]
    return out


def updated(old: dict[str, Any], new: dict[str, Any]) -> list[str]:
    """Return what is wrong with an update, in the order in which it is told."""
    kind, before, after = units.by_kind(new["apiVersion"], new["kind"]), complete(old), copy_obj(new)
    assert kind is not None
    kind.default(after)
    kind.prepare_update(after, before)
    after["status"] = before.get("status", {})
    found = [list(kind.validate(after)), list(kind.validate_update(after, before))]
    return [str(error) for errors in (reversed(found) if kind.update_first else found) for error in errors]


ONLY_BALANCER = "Forbidden: may only be used when `type` is 'LoadBalancer'"
CIDR = "must be a valid CIDR value, (e.g. 10.9.8.0/24 or 2001:db8::/64)"
IP = "must be a valid IP address, (e.g. 10.9.8.7 or 2001:db8::ffff)"
REFUSED: list[tuple[dict[str, Any], list[str]]] = [
    (service(clusterIP="10.0.0.1", clusterIPs=["10.0.0.2"]),
     ['spec.clusterIPs: Invalid value: ["10.0.0.2"]: first value must match `clusterIP`']),
    (service(clusterIPs=["10.0.0.2"]),
     ['spec.clusterIPs: Invalid value: ["10.0.0.2"]: must be empty when `clusterIP` is not specified']),
    (service(ipFamilies=["IPv4", "IPv4"]), ['spec.ipFamilies[1]: Duplicate value: "IPv4"']),
    (service(ipFamilies=["X"], ports=[]), ['spec.ipFamilies[0]: Unsupported value: "X": supported values: "IPv4", '
                                           '"IPv6"']),
    (service(ipFamilies=["IPv4", "IPv6"]), ['spec.ipFamilyPolicy: Invalid value: "SingleStack": must be '
     "'RequireDualStack' or 'PreferDualStack' when multiple IP families are specified"]),
    (service(ipFamilies=["IPv6"]), ['spec.ipFamilies[0]: Invalid value: "IPv6": not configured on this cluster']),
    (service(ipFamilyPolicy="RequireDualStack"), ['spec.ipFamilyPolicy: Invalid value: "RequireDualStack": this '
                                                  "cluster is not configured for dual-stack services"]),
    (service(clusterIP="fd00::1"), ['spec.clusterIPs[0]: Invalid value: ["fd00::1"]: IPv6 is not configured on this '
                                    "cluster"]),
    (service(clusterIP="fd00::1", ipFamilies=["IPv4"]), ['spec.clusterIPs[0]: Invalid value: "fd00::1": expected an '
                                                         "IPv4 value as indicated by `ipFamilies[0]`"]),
    (service(clusterIP="10.0.0.1", clusterIPs=["10.0.0.1", "10.0.0.2"]),
     ['spec.clusterIPs: Invalid value: ["10.0.0.1","10.0.0.2"]: may specify no more than one IP for each IP family']),
    (service({"service.kubernetes.io/topology-mode": "Auto", "service.kubernetes.io/topology-aware-hints": "x"}),
     ['metadata.annotations[service.kubernetes.io/topology-mode]: Invalid value: "Auto": must match '
      "annotations[service.kubernetes.io/topology-aware-hints] when both are specified"]),
    (service(type="LoadBalancer", loadBalancerSourceRanges=[" 10.0.0.0/8 ", "10.0.0.0/x"]),
     [f'spec.LoadBalancerSourceRanges[1]: Invalid value: "10.0.0.0/x": {CIDR}']),
    (service({"service.beta.kubernetes.io/load-balancer-source-ranges": "10.0.0.0/8, y"}),
     [f"metadata.annotations[service.beta.kubernetes.io/load-balancer-source-ranges]: {text}"
      for text in (ONLY_BALANCER, f'Invalid value: "y": {CIDR}')]),
    (service(loadBalancerClass="a b"), [f"spec.loadBalancerClass: {ONLY_BALANCER}"]),
    (service(healthCheckNodePort=30000), ["spec.healthCheckNodePort: Invalid value: 30000: may only be set when `type` "
                                          "is 'LoadBalancer' and `externalTrafficPolicy` is 'Local'"]),
    (service(type="ExternalName", externalName="e.com", internalTrafficPolicy="X"),
     ['spec.internalTrafficPolicy: Unsupported value: "X": supported values: "Cluster", "Local"']),
    (service(trafficDistribution=""), ['spec.trafficDistribution: Unsupported value: "": supported values: '
                                       '"PreferClose", "PreferSameNode", "PreferSameZone"']),
    (of("Endpoints", subsets=[{"addresses": [{"ip": "x", "nodeName": "N"}], "ports": [{"port": 1,
        "appProtocol": "/"}]}]),
     [f'subsets[0].addresses[0].ip: Invalid value: "x": {IP}',
      'subsets[0].addresses[0].nodeName: Invalid value: "N": a lowercase RFC 1123 subdomain must consist of lower case '
      "alphanumeric characters, '-' or '.', and must start and end with an alphanumeric character (e.g. 'example.com', "
      r"regex used for validation is '[a-z0-9]([-a-z0-9]*[a-z0-9])?(\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*')",
      'subsets[0].addresses[0].ip: Invalid value: "x": must be a valid IP address',
      'subsets[0].ports[0].appProtocol: Invalid value: "/": prefix part must be non-empty',
      'subsets[0].ports[0].appProtocol: Invalid value: "/": name part must be non-empty',
      "subsets[0].ports[0].appProtocol: Invalid value: \"/\": name part must consist of alphanumeric characters, '-', "
      "'_' or '.', and must start and end with an alphanumeric character (e.g. 'MyName',  or 'my.name',  or '123-abc', "
      "regex used for validation is '([A-Za-z0-9][-A-Za-z0-9_.]*)?[A-Za-z0-9]')"]),
    (of("Node", {"podCIDRs": ["10.0.0.0/24", "10.0.0.0/24"]}),
     ['spec.podCIDRs: Invalid value: ["10.0.0.0/24","10.0.0.0/24"]: may specify no more than one CIDR for each IP '
      'family',
      'spec.podCIDRs[1]: Duplicate value: "10.0.0.0/24"']),
    (of("Node", {}, status={"capacity": {"pods": "1.5"}, "allocatable": {"a.com/b": "500m"}}),
     ['status.capacity.pods: Invalid value: "1.5": must be an integer',
      'status.allocatable.a.com/b: Invalid value: "500m": must be an integer']),
    (volume(accessModes=[], capacity=None), [
        "spec.accessModes: Required value", "spec.capacity: Required value",
        'spec.capacity: Unsupported value: null: supported values: "storage"']),
    (volume(capacity={"storage": "-1"}), ["spec.capacity[storage]: Invalid value: -1: must be a valid resource "
                                          "quantity",
                                          'spec.capacity[storage]: Invalid value: "-1": must be greater than zero']),
    (volume(accessModes=["ReadWriteOncePod", "X"]), [
        'spec.accessModes: Unsupported value: "X": supported values: "ReadOnlyMany", "ReadWriteMany", "ReadWriteOnce", '
        '"ReadWriteOncePod"']),
    (volume(nfs={"server": "s"}), ["spec.nfs: Forbidden: may not specify more than 1 volume type"]),
    (volume(hostPath=None, local={"path": "/a/../b"}), [
        'spec.local.path: Invalid value: "/a/../b": must not contain \'..\'',
        "spec.nodeAffinity: Required value: Local volume requires node affinity"]),
    (volume(hostPath=None, csi={"driver": "d", "nodePublishSecretRef": {"name": "s"}}), [
        "spec.csi.volumeHandle: Required value", "spec.csi.nodePublishSecretRef.namespace: Required value"]),
    (volume(hostPath=None, gcePersistentDisk={"pdName": "", "partition": 300}), [
        "spec.persistentDisk.pdName: Required value",
        "spec.persistentDisk.partition: Invalid value: 300: must be between 1 and 255, inclusive"]),
    (volume(nodeAffinity={"required": {"nodeSelectorTerms": []}}), [
        "spec.nodeAffinity.required.nodeSelectorTerms: Required value: must have at least one node selector term"]),
    (volume(volumeAttributesClassName=""), [
        "spec.volumeAttributesClassName: Required value: an empty string is disallowed",
        "spec.csi: Required value: has to be specified when using volumeAttributesClassName"]),
    (volume(hostPath={"path": "//"}, persistentVolumeReclaimPolicy="Recycle"), [
        "spec.persistentVolumeReclaimPolicy: Forbidden: may not be 'recycle' for a hostPath mount of '/'"]),
    (claim(dataSourceRef={"kind": "X", "name": ""}), [
        *(f"spec.{key}{text}" for key in ("dataSource", "dataSourceRef") for text in (
            ".name: Required value", ': Invalid value: "X": must be \'PersistentVolumeClaim\' when referencing the '
                                     'default '
                                     "apiGroup"))]),
    (claim(dataSource={"kind": "PersistentVolumeClaim", "name": "a"}, dataSourceRef={"kind": "PersistentVolumeClaim",
                                                                                 "name": "b"}),
     ['spec: Invalid value: "spec.dataSource": must match dataSourceRef']),
    (of("Secret", type="kubernetes.io/ssh-auth", data={"ssh-privatekey": ""}),
     ["data[ssh-privatekey]: Required value"]),
    (of("Secret", type="kubernetes.io/dockerconfigjson", data={".dockerconfigjson": "W10="}),
     ['data[.dockerconfigjson]: Invalid value: "<secret contents redacted>": json: cannot unmarshal array into Go '
      'value '
      "of type map[string]interface {}"]),
    (of("ResourceQuota", {"hard": {"requests.a.com/x": "1.5", "a.com/x": "1.5"}}),
     ['spec.hard[a.com/x]: Invalid value: "1.5": must be an integer']),
    (of("ResourceQuota", {"hard": {"services": "1"}, "scopeSelector": {"matchExpressions": [
        {"scopeName": "BestEffort", "operator": "In", "values": ["a"]}, {"scopeName": "NotBestEffort"}]}}), [
        'spec.scopeSelector.matchExpressions: Invalid value: {"MatchExpressions":[{"ScopeName":"BestEffort","Operator":'
        '"In","Values":["a"]},{"ScopeName":"NotBestEffort","Operator":"","Values":null}]}: unsupported scope '
        'applied to '
        "resource",
        'spec.scopeSelector.matchExpressions.operator: Invalid value: "In": must be \'Exists\' when scope is any of '
        "ResourceQuotaScopeTerminating, ResourceQuotaScopeNotTerminating, ResourceQuotaScopeBestEffort, "
        "ResourceQuotaScopeNotBestEffort or ResourceQuotaScopeCrossNamespacePodAffinity",
        'spec.scopeSelector.matchExpressions: Invalid value: {"MatchExpressions":[{"ScopeName":"BestEffort","Operator":'
        '"In","Values":["a"]},{"ScopeName":"NotBestEffort","Operator":"","Values":null}]}: unsupported scope '
        'applied to '
        "resource",
        'spec.scopeSelector.matchExpressions.operator: Invalid value: "": must be \'Exists\' when scope is any of '
        "ResourceQuotaScopeTerminating, ResourceQuotaScopeNotTerminating, ResourceQuotaScopeBestEffort, "
        "ResourceQuotaScopeNotBestEffort or ResourceQuotaScopeCrossNamespacePodAffinity",
        'spec.scopeSelector.matchExpressions.operator: Invalid value: "": not a valid selector operator',
        "spec.scopes: Invalid value: null: conflicting scopes"]),
    (limits(type="Container", max={"storage": "1"}), [
        f'spec.limits[0].{key}[storage]: Invalid value: "storage": must be a standard resource for containers'
        for key in ("max", "default", "defaultRequest")]),
    (limits(type="PersistentVolumeClaim"), ["spec.limits[0].limits: Required value: either minimum or maximum storage "
                                            "value is required, but neither was provided"]),
    (limits(type="x", default={"a.com/b": "2"}, defaultRequest={"a.com/b": "1"}),
     ['spec.limits[0].type: Invalid value: "x": must be a standard limit type or fully qualified',
      'spec.limits[0].defaultRequest[a.com/b]: Invalid value: "1": default value 2 must equal to defaultRequest '
      'value 1 '
      "in a.com/b"]),
    (of("Event", involvedObject={"namespace": "m"}),
     ['involvedObject.namespace: Invalid value: "m": does not match event.namespace']),
    (of("Event", involvedObject={"namespace": "m"}, eventTime="2026-01-01T00:00:00.000000Z", reportingComponent="c",
        reason="r", action="a"), ["reportingInstance: Required value"]),
    (of("Namespace", {"finalizers": ["x"]}), ['spec.finalizers: Invalid value: "x": name is neither a standard '
                                              'finalizer '
                                              "name nor is it fully qualified"]),
]


@pytest.mark.parametrize(("obj", "told"), REFUSED)
def test_an_object_is_refused_with_every_cause(obj: dict[str, Any], told: list[str]) -> None:
    """Field paths, order and words are those of upstream."""
    kind = units.by_kind(obj["apiVersion"], obj["kind"])
    assert kind is not None
    assert [str(error) for error in kind.validate(complete(obj))] == told


BOUND = {"phase": "Bound", "capacity": {"storage": "1Gi"}}
FROZEN = ("Forbidden: spec is immutable after creation except resources.requests and volumeAttributesClassName for "
          "bound claims\n")
NODE_ADDRESS = {"type": "InternalIP", "address": "10.0.0.1"}
CHANGED: list[tuple[dict[str, Any], dict[str, Any], list[str]]] = [
    (service(clusterIP="10.0.0.1"), service(clusterIP="10.0.0.2"),
     ['spec.clusterIPs[0]: Invalid value: ["10.0.0.2"]: may not change once set']),
    (service(clusterIP="10.0.0.1"), service(ports=[{"port": 0, "targetPort": 1}], clusterIP="10.0.0.2"),
     ['spec.clusterIPs[0]: Invalid value: ["10.0.0.2"]: may not change once set',
      "spec.ports[0].port: Invalid value: 0: must be between 1 and 65535, inclusive"]),
    (service(type="LoadBalancer", externalTrafficPolicy="Local", healthCheckNodePort=30000),
     service(type="LoadBalancer", externalTrafficPolicy="Local", healthCheckNodePort=30001),
     ["spec.healthCheckNodePort: Forbidden: field is immutable"]),
    (of("ConfigMap", data={"a": "b"}, immutable=True), of("ConfigMap", data={"a b": "b"}), [
        "immutable: Forbidden: field is immutable when `immutable` is set",
        "data: Forbidden: field is immutable when `immutable` is set",
        "data[a b]: Invalid value: \"a b\": a valid config key must consist of alphanumeric characters, '-', '_' or "
        "'.' (e.g. 'key.name',  or 'KEY_NAME',  or 'key-name', regex used for validation is '[-._a-zA-Z0-9]+')"]),
    (of("Node", {"podCIDR": "10.0.0.0/24", "podCIDRs": ["10.0.0.0/24"]}, status={"addresses": [NODE_ADDRESS] * 2}),
     of("Node", {"podCIDR": "10.0.1.0/24", "podCIDRs": ["10.0.0.0/24"], "externalID": "e"}), [
        'status.addresses[1]: Duplicate value: {"Type":"InternalIP","Address":"10.0.0.1"}',
        'spec.podCIDRs: Forbidden: node updates may not change podCIDR except from "" to valid',
        "spec.externalID: Forbidden: may not be updated"]),
    (volume(volumeMode="Block"), volume(hostPath={"path": "/y"}), [
        "spec.persistentvolumesource: Forbidden: spec.persistentvolumesource is immutable after creation\n"
        '@@ -2,7 +2,7 @@\n  "GCEPersistentDisk": null,\n  "AWSElasticBlockStore": null,\n  "HostPath": {\n'
        '-  "Path": "/x",\n+  "Path": "/y",\n   "Type": ""\n  },\n  "Glusterfs": null,\n',
        'volumeMode: Invalid value: "Filesystem": field is immutable']),
    (volume(nodeAffinity={"required": {"nodeSelectorTerms": [{"matchExpressions": [
        {"key": "beta.kubernetes.io/os", "operator": "Exists"}]}]}}),
     volume(nodeAffinity={"required": {"nodeSelectorTerms": [{"matchExpressions": [
         {"key": "kubernetes.io/os", "operator": "Exists"}]}]}}), []),
    (claim() | {"status": BOUND}, claim(resources={"requests": {"storage": "2Gi"}}), []),
    (claim(resources={"requests": {"storage": "2Gi"}}) | {"status": BOUND}, claim(), [
        "spec.resources.requests.storage: Forbidden: field can not be less than status.capacity"]),
    (claim(), claim(resources={"requests": {"storage": "2Gi"}}), [
        f'spec: {FROZEN}@@ -6,7 +6,7 @@\n  "Resources": {{\n   "Limits": null,\n   "Requests": {{\n'
        '-   "storage": "1Gi"\n+   "storage": "2Gi"\n   }\n  },\n  "VolumeName": "",\n']),
    (claim(storageClassName="a"), claim(storageClassName="b", volumeName="v"), [
        f'spec: {FROZEN}@@ -10,7 +10,7 @@\n   }}\n  }},\n  "VolumeName": "v",\n- "StorageClassName": "a",\n'
        '+ "StorageClassName": "b",\n  "VolumeMode": "Filesystem",\n  "DataSource": null,\n'
        '  "DataSourceRef": null,\n']),
    (of("ResourceQuota", {"scopes": ["BestEffort"]}), of("ResourceQuota", {}),
     ["spec.scopes: Invalid value: null: field is immutable"]),
]


@pytest.mark.parametrize(("old", "new", "told"), CHANGED)
def test_a_change_is_refused_with_every_cause(old: dict[str, Any], new: dict[str, Any], told: list[str]) -> None:
    """What may not change is told beside what is wrong anyhow, in upstream's order."""
    assert updated(old, new) == told


STATUSES: list[tuple[dict[str, Any], dict[str, Any], str, list[str]]] = [
    (of("Namespace"), {"phase": "Terminating"}, "status",
     ['status.Phase: Invalid value: "Terminating": may only be \'Active\' if `deletionTimestamp` is empty']),
    (of("Node", {}), {"capacity": {"cpu": "-1"}, "addresses": [NODE_ADDRESS] * 2}, "status", [
        'status.capacity.cpu: Invalid value: "-1": must be greater than or equal to 0',
        'status.addresses[1]: Duplicate value: {"Type":"InternalIP","Address":"10.0.0.1"}']),
    (of("ResourceQuota", {}), {"hard": {"bogus": "-1"}}, "status", [
        'status.hard[bogus]: Invalid value: "bogus": must be a standard resource type or fully qualified',
        'status.hard[bogus]: Invalid value: "bogus": must be a standard resource for quota',
        'status.hard[bogus]: Invalid value: "-1": must be greater than or equal to 0']),
    (claim(), {"capacity": {"storage": "-1"}, "allocatedResources": {"cpu": "1"},
               "allocatedResourceStatuses": {"storage": "X"}}, "status", [
        "status.capacity[storage]: Invalid value: -1: must be a valid resource quantity",
        'status.allocatedResourceStatus: Unsupported value: "storage": supported values: "ControllerResizeInProgress", '
        '"ControllerResizeInfeasible", "NodeResizeInProgress", "NodeResizeInfeasible", "NodeResizePending"',
        'status.allocatedResources: Unsupported value: "cpu": supported values: "storage"']),
    (service(type="LoadBalancer"), {"loadBalancer": {"ingress": [
        {"ip": "10.0.0.1", "ipMode": "X"}, {"hostname": "10.0.0.1", "ipMode": "VIP"}]}}, "status", [
        'status.loadBalancer.ingress[0].ipMode: Unsupported value: "X": supported values: "Proxy", "VIP"',
        "status.loadBalancer.ingress[1].ipMode: Forbidden: may not be specified when `ip` is not set",
        'status.loadBalancer.ingress[1].hostname: Invalid value: "10.0.0.1": must be a DNS name, not an IP address']),
    (service(), {"loadBalancer": {"ingress": [{"ip": "10.0.0.1"}]}}, "status",
     ["status.loadBalancer.ingress: Forbidden: may only be used when `spec.type` is 'LoadBalancer'"]),
    (of("Namespace", {"finalizers": ["a b"]}), {}, "finalize", [
        f'spec.finalizers[0]: Invalid value: "a b": {text}' for text in (
            "name part must consist of alphanumeric characters, '-', '_' or '.', and must start and end with an "
            "alphanumeric character (e.g. 'MyName',  or 'my.name',  or '123-abc', regex used for validation is "
            "'([A-Za-z0-9][-A-Za-z0-9_.]*)?[A-Za-z0-9]')",
            "name is neither a standard finalizer name nor is it fully qualified")]),
]


@pytest.mark.parametrize(("obj", "status", "subresource", "told"), STATUSES)
def test_a_part_is_refused_with_every_cause(obj: dict[str, Any], status: dict[str, Any], subresource: str,
                                            told: list[str]) -> None:
    """A status that cannot be is refused, and so are finalizers that nobody takes off."""
    kind, old = units.by_kind(obj["apiVersion"], obj["kind"]), complete(obj)
    assert kind is not None
    assert [str(e) for e in kind.validate_part({**old, "status": status}, old, subresource)] == told


WARNED: list[tuple[dict[str, Any], list[str]]] = [
    (volume(nodeAffinity={"required": {"nodeSelectorTerms": [{"matchExpressions": [
        {"key": "node-role.kubernetes.io/master", "operator": "Exists"}]}]}}), [
        "spec.nodeAffinity.required.nodeSelectorTerms[0].matchExpressions[0].key: node-role.kubernetes.io/master is "
        "use "
        '"node-role.kubernetes.io/control-plane" instead']),
    (claim(resources={"requests": {"storage": "1500m"}, "limits": {"storage": "1500m"}}), [
        f'spec.resources.{part}[storage]: fractional byte value "1500m" is invalid, must be an integer'
        for part in ("requests", "limits")]),
    (service(externalIPs=["010.0.0.1"]), [
        'spec.externalIPs[0]: non-standard IP address "010.0.0.1" will be considered invalid in a future Kubernetes '
        'release: use "10.0.0.1"', "spec.externalIPs is deprecated and may no longer be implemented in some clusters"]),
    (service(clusterIP="None", externalIPs=["10.0.0.1"], sessionAffinity="ClientIP"), [
        "spec.externalIPs is ignored for headless services", "spec.SessionAffinity is ignored for headless services"]),
    (service(type="LoadBalancer", loadBalancerSourceRanges=["10.0.0.8/24", "2001:db8:0::/64", "10.0.0.0/08"]), [
        'spec.loadBalancerSourceRanges[0]: CIDR value "10.0.0.8/24" is ambiguous in this context (should be '
        '"10.0.0.0/24" or "10.0.0.8/32"?)',
        'spec.loadBalancerSourceRanges[1]: IPv6 CIDR value "2001:db8:0::/64" should be in RFC 5952 canonical format '
        '("2001:db8::/64")',
        'spec.loadBalancerSourceRanges[2]: non-standard CIDR value "10.0.0.0/08" will be considered invalid in a '
        'future Kubernetes release: use "10.0.0.0/8"']),
    (service(trafficDistribution="PreferClose"), ['spec.trafficDistribution: "PreferClose" is deprecated; use '
                                                  '"PreferSameZone"']),
    (of("Endpoints", subsets=[{"addresses": [{"ip": "::ffff:10.0.0.1"}]}]), [
        'subsets[0].addresses[0].ip: non-standard IP address "::ffff:10.0.0.1" will be considered invalid in a future '
        'Kubernetes release: use "10.0.0.1"']),
    (of("ServiceAccount", metadata={**NAME, "annotations": {"kubernetes.io/enforce-mountable-secrets": "true"}}), [
        "metadata.annotations[kubernetes.io/enforce-mountable-secrets]: deprecated in v1.32+; prefer separate "
        "namespaces to isolate access to mounted secrets"]),
]


@pytest.mark.parametrize(("obj", "told"), WARNED)
def test_a_writer_is_warned(obj: dict[str, Any], told: list[str]) -> None:
    """What is taken but should have been written in another way is said in a header."""
    kind = units.by_kind(obj["apiVersion"], obj["kind"])
    assert kind is not None
    assert list(kind.warnings(complete(obj), None)) == told


def test_a_claim_says_in_both_fields_what_it_is_filled_from() -> None:
    """The older field knows claims and snapshots only; what else it names is dropped, and so is another namespace."""
    source = {"kind": "PersistentVolumeClaim", "name": "a"}
    assert complete(claim(dataSource=source))["spec"]["dataSourceRef"] == source
    assert complete(claim(dataSourceRef=source))["spec"]["dataSource"] == source
    other = {"apiGroup": "x.io", "kind": "X", "name": "a"}
    assert "dataSource" not in complete(claim(dataSource=other))["spec"]
    assert complete(claim(dataSourceRef=other))["spec"]["dataSource"] == other
    assert "dataSourceRef" not in complete(claim(dataSourceRef={**source, "namespace": "m"}))["spec"]


def test_a_node_has_one_range_under_two_names() -> None:
    """`podCIDR` is the first of `podCIDRs`, and counts where they differ."""
    kind = units.find("nodes")
    for given in ({"podCIDR": "10.0.0.0/24"}, {"podCIDRs": ["10.0.0.0/24"]},
                  {"podCIDR": "10.0.0.0/24", "podCIDRs": ["10.0.1.0/24"]}):
        node = of("Node", dict(given))
        kind.default(node)
        assert node["spec"] == {"podCIDR": "10.0.0.0/24", "podCIDRs": ["10.0.0.0/24"]}


def test_the_time_of_a_phase_is_noted() -> None:
    """A volume's status says since when, unless its writer did."""
    kind, old = units.find("persistentvolumes"), complete(volume())
    bound = {**old, "status": {**old["status"], "phase": "Bound"}}
    kind.prepare_status(bound, old, "now")
    assert bound["status"]["lastPhaseTransitionTime"] == "now"
    told = {**old, "status": {"phase": "Released", "lastPhaseTransitionTime": "then"}}
    kind.prepare_status(told, old, "now")
    assert told["status"]["lastPhaseTransitionTime"] == "then"


def test_a_limit_range_needs_no_name() -> None:
    """It is given one that no other has."""
    assert len(complete({"apiVersion": "v1", "kind": "LimitRange", "metadata": {}})["metadata"]["name"]) == 36
