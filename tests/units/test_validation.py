"""What is refused, with the field path and the words of Kubernetes; every error at once."""

from __future__ import annotations

from typing import Any

import pytest

from kubelab import units
from kubelab.machinery.errors import FieldError
from kubelab.machinery.meta import copy_obj

POD = {"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "x"}, "spec": {"containers": [
    {"name": "c", "image": "nginx"}]}}


def complete(obj: dict[str, Any]) -> dict[str, Any]:
    """Return a copy as the server completes it before it looks for errors."""
    kind, out = units.by_kind(obj["apiVersion"], obj["kind"]), copy_obj(obj)
    assert kind is not None
    kind.default(out)
    kind.prepare_create(out)
    return out


def errors(obj: dict[str, Any]) -> list[str]:
    kind = units.by_kind(obj["apiVersion"], obj["kind"])
    assert kind is not None
    return [str(e) for e in kind.validate(complete(obj))]


def updated(new: dict[str, Any], old: dict[str, Any]) -> list[FieldError]:
    kind = units.by_kind(new["apiVersion"], new["kind"])
    assert kind is not None
    return list(kind.validate_update(complete(new), complete(old)))


def pod(**spec: Any) -> dict[str, Any]:
    return POD | {"spec": copy_obj(POD["spec"]) | spec}  # type: ignore[arg-type]


def container(**fields: Any) -> dict[str, Any]:
    return pod(containers=[{"name": "c", "image": "nginx", **fields}])


PODS = [
    (pod(containers=[{"name": "c", "image": "a"}, {"name": "c", "image": "b"}]),
     'spec.containers[1].name: Duplicate value: "c"'),
    (container(livenessProbe={}), "spec.containers[0].livenessProbe: Required value: must specify a handler type"),
    (container(env=[{}]), "spec.containers[0].env[0].name: Required value"),
    (container(env=[{"name": "A", "valueFrom": {"fieldRef": {"fieldPath": "spec.restartPolicy"}}}]),
     'spec.containers[0].env[0].valueFrom.fieldRef.fieldPath: Unsupported value: "spec.restartPolicy": supported '
     'values: "metadata.name", "metadata.namespace", "metadata.uid", "spec.nodeName", "spec.serviceAccountName", '
     '"status.hostIP", "status.hostIPs", "status.podIP", "status.podIPs"'),
    (container(resources={"limits": {"example.com/gpu": "2"}, "requests": {"example.com/gpu": "1"}}),
     'spec.containers[0].resources.requests: Invalid value: "1": must be equal to example.com/gpu limit of 2'),
    (pod(volumes=[{"name": "v", "emptyDir": {}}], containers=[{"name": "c", "image": "i", "volumeMounts": [
        {"name": "v", "mountPath": "/a"}, {"name": "v", "mountPath": "/a"}]}]),
     'spec.containers[0].volumeMounts[1].mountPath: Invalid value: "/a": must be unique'),
    (pod(volumes=[{"name": "v", "configMap": {"name": "m", "defaultMode": 1024}}]),
     "spec.volumes[0].configMap.defaultMode: Invalid value: 1024: must be a number between 0 and 0777 (octal), both "
     "inclusive"),
    (pod(activeDeadlineSeconds=0), "spec.activeDeadlineSeconds: Invalid value: 0: must be between 1 and 2147483647, "
                                   "inclusive"),
    (pod(initContainers=[{"name": "i", "image": "i", "readinessProbe": {"exec": {"command": ["a"]}}}]),
     "spec.initContainers[0].readinessProbe: Forbidden: may not be set for init containers without "
     "restartPolicy=Always"),
    (pod(hostNetwork=True, containers=[{"name": "c", "image": "i", "ports": [{"containerPort": 80, "hostPort": 81}]}]),
     "spec.containers[0].ports[0].hostPort: Invalid value: 81: must match `containerPort` when `hostNetwork` is true"),
    (pod(dnsPolicy="None"), "spec.dnsConfig: Required value: must provide `dnsConfig` when `dnsPolicy` is None"),
    (pod(tolerations=[{"operator": "Exists", "value": "v"}]),
     'spec.tolerations[0].operator: Invalid value: "v": value must be empty when `operator` is \'Exists\''),
    (pod(nodeName="n", schedulingGates=[{"name": "a.b/c"}]),
     "spec.nodeName: Forbidden: cannot be set until all schedulingGates have been cleared"),
]


@pytest.mark.parametrize(("obj", "message"), PODS, ids=lambda x: x[:60] if isinstance(x, str) else "")
def test_a_bad_pod_is_refused(obj: dict[str, Any], message: str) -> None:
    """One thing wrong gives exactly one error, at its field."""
    assert errors(obj) == [message]


def test_a_sound_pod_is_not_refused() -> None:
    """Probes, hooks, volumes of each kind and affinity in their right form pass."""
    assert errors(pod(
        volumes=[{"name": "a"}, {"name": "b", "secret": {"secretName": "s", "items": [{"key": "k", "path": "p"}]}},
                 {"name": "d", "downwardAPI": {"items": [{"path": "l", "fieldRef": {
                     "fieldPath": "metadata.labels['app']"}}]}}],
        containers=[{"name": "c", "image": "i", "volumeMounts": [{"name": "a", "mountPath": "/a", "subPath": "b/c"}],
                     "ports": [{"containerPort": 80, "name": "http"}],
                     "readinessProbe": {"httpGet": {"port": "http"}, "successThreshold": 2},
                     "lifecycle": {"preStop": {"sleep": {"seconds": 5}}},
                     "resources": {"requests": {"cpu": "100m"}, "limits": {"cpu": "1", "memory": "1Gi"}}}],
        affinity={"podAntiAffinity": {"preferredDuringSchedulingIgnoredDuringExecution": [
            {"weight": 1, "podAffinityTerm": {"topologyKey": "zone", "labelSelector": {}}}]}})) == []


def test_every_error_is_told_at_once() -> None:
    """Somebody with three mistakes learns of all three."""
    found = errors(pod(restartPolicy="X", containers=[{"name": "", "image": ""}]))
    assert [f.partition(":")[0] for f in found] == [
        "spec.containers[0].name", "spec.containers[0].image", "spec.restartPolicy"]


def service(**spec: Any) -> dict[str, Any]:
    return {"apiVersion": "v1", "kind": "Service", "metadata": {"name": "x"},
            "spec": {"selector": {"app": "a"}, "ports": [{"port": 80}]} | spec}


@pytest.mark.parametrize(("obj", "message"), [
    (service(ports=[{"name": "a", "port": 80}, {"name": "b", "port": 80}]),
     'spec.ports[1]: Duplicate value: {"Name":"","Protocol":"TCP","AppProtocol":null,"Port":80,"TargetPort":0,'
     '"NodePort":0}'),
    (service(sessionAffinity="X"),
     'spec.sessionAffinity: Unsupported value: "X": supported values: "ClientIP", "None"'),
    (service(ipFamilies=["IPv6"]), 'spec.ipFamilies[0]: Invalid value: "IPv6": not configured on this cluster'),
    (service(externalIPs=["169.254.1.1"]), 'spec.externalIPs[0]: Invalid value: "169.254.1.1": may not be in the '
                                           "link-local range (169.254.0.0/16, fe80::/10)"),
    (service(clusterIP="None", type="NodePort"),
     "spec.clusterIPs[0]: Invalid value: \"None\": may not be set to 'None' for NodePort services"),
    ({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "x"}, "data": {"a": "x" * 1_048_577}},
     "[]: Too long: may not be more than 1048576 bytes"),
    ({"apiVersion": "v1", "kind": "Secret", "metadata": {"name": "x"}, "type": "kubernetes.io/dockerconfigjson"},
     "data[.dockerconfigjson]: Required value"),
    ({"apiVersion": "v1", "kind": "Event", "metadata": {"name": "x", "namespace": "a"},
      "involvedObject": {"namespace": "b"}}, 'involvedObject.namespace: Invalid value: "b": does not match '
                                             "event.namespace"),
    ({"apiVersion": "v1", "kind": "Endpoints", "metadata": {"name": "x"}, "subsets": [{}]},
     "subsets[0]: Required value: must specify `addresses` or `notReadyAddresses`"),
    (units.Node("n", taints=[{"key": "a", "effect": ""}]), "metadata.taints[0].effect: Required value"),
    ({"apiVersion": "networking.k8s.io/v1", "kind": "Ingress", "metadata": {"name": "x"}, "spec": {}},
     "spec: Invalid value: null: either `defaultBackend` or `rules` must be specified"),
    (units.Ingress("web", host="10.0.0.1"), 'spec.rules[0].host: Invalid value: "10.0.0.1": must be a DNS name, not an '
                                            "IP address"),
    ({"apiVersion": "rbac.authorization.k8s.io/v1", "kind": "ClusterRoleBinding", "metadata": {"name": "x"},
      "roleRef": {"kind": "ClusterRole", "name": "r"}, "subjects": [{"kind": "ServiceAccount", "name": "s"}]},
     "subjects[0].namespace: Required value"),
], ids=lambda x: x[:60] if isinstance(x, str) else "")
def test_a_bad_object_is_refused(obj: dict[str, Any], message: str) -> None:
    """Each kind has its own rules, told in the same way."""
    assert errors(obj) == [message]


def test_a_pod_of_a_process_may_be_an_endpoint() -> None:
    """Loopback addresses are refused, except where kubelab's own pods live."""
    subset = {"addresses": [{"ip": "127.64.16.2"}], "ports": [{"port": 80}]}
    assert errors({"apiVersion": "v1", "kind": "Endpoints", "metadata": {"name": "x"}, "subsets": [subset]}) == []


@pytest.mark.parametrize(("change", "field"), [
    ({"containers": [{"name": "c", "image": "httpd"}]}, []),
    ({"activeDeadlineSeconds": 5}, []),
    ({"tolerations": [{"key": "a", "operator": "Exists"}]}, []),
    ({"nodeSelector": {"a": "b"}}, ["spec"]),
    ({"containers": [{"name": "c", "image": "nginx", "args": ["x"]}]}, ["spec"]),
    ({"containers": [{"name": "c", "image": "nginx"}, {"name": "d", "image": "d"}]}, ["spec.containers"]),
])
def test_of_a_running_pod_only_a_few_fields_may_change(change: dict[str, Any], field: list[str]) -> None:
    """Image, deadline and added tolerations: everything else needs a new pod."""
    assert [e.field for e in updated(pod(**change), POD)] == field


def test_a_gated_pod_may_still_be_narrowed_down() -> None:
    """While gates hold a pod back, its node selector may change; gates only go."""
    gated = pod(schedulingGates=[{"name": "a.b/c"}])
    assert updated(pod(schedulingGates=[{"name": "a.b/c"}], nodeSelector={"a": "b"}), gated) == []
    assert updated(POD, gated) == []
    assert [e.field for e in updated(gated, POD)] == ["spec.schedulingGates[0].name"]


@pytest.mark.parametrize(("new", "old", "field"), [
    (units.Deployment("a", image="i", labels={"b": "c"}), units.Deployment("a", image="i"), "spec.selector"),
    (units.ReplicaSet("a", image="i", labels={"b": "c"}), units.ReplicaSet("a", image="i"), "spec.selector"),
    (service(clusterIP="10.0.0.2"), service(clusterIP="10.0.0.1"), "spec.clusterIPs[0]"),
    (units.ConfigMap("c", {"a": "2"}) | {"immutable": True}, units.ConfigMap("c", {"a": "1"}) | {"immutable": True},
     "data"),
    (units.Secret("s", type="b"), units.Secret("s", type="a"), "type"),
])
def test_what_is_immutable_stays(new: dict[str, Any], old: dict[str, Any], field: str) -> None:
    """An immutable field is named when somebody tries to change it."""
    assert [e.field for e in updated(new, old)] == [field]


def of(api_version: str, kind: str, **fields: Any) -> dict[str, Any]:
    return {"apiVersion": api_version, "kind": kind, "metadata": {"name": "x"}, **fields}


def job(**spec: Any) -> dict[str, Any]:
    template = {"spec": {"restartPolicy": "Never", "containers": [{"name": "c", "image": "i"}]}}
    return of("batch/v1", "Job", spec={"template": template, "manualSelector": True, **spec})


def crd(*fields: str) -> dict[str, Any]:
    schema = {"type": "object", "properties": {"spec": {"type": "object", "properties": {"size": {"type": "integer"}}}}}
    return {**of("apiextensions.k8s.io/v1", "CustomResourceDefinition", spec={
        "group": "example.com", "scope": "Namespaced", "names": {"plural": "widgets", "kind": "Widget"},
        "versions": [{"name": "v1", "served": True, "storage": True, "schema": {"openAPIV3Schema": schema},
                      "selectableFields": [{"jsonPath": field} for field in fields]}]}),
        "metadata": {"name": "widgets.example.com"}}


INDEXED = {"completionMode": "Indexed", "completions": 3}
OTHERS = [
    (pod(volumes=[{"name": "v", "nfs": {"path": "x"}}]), ["spec.volumes[0].nfs.server: Required value",
     'spec.volumes[0].nfs.path: Invalid value: "x": must be an absolute path']),
    (container(envFrom=[{"prefix": "a=", "configMapRef": {"name": "m"}}]),
     ['spec.containers[0].envFrom[0].prefix: Invalid value: "a=": a valid environment variable name must consist only '
      "of printable ASCII characters other than '='"]),
    (container(resizePolicy=[{"resourceName": "cpu", "restartPolicy": "X"}]),
     ['spec.containers[0].resizePolicy: Unsupported value: "X": supported values: "NotRequired", "RestartContainer"']),
    (container(resources={"claims": [{"name": "gpu"}]}), ['spec.containers[0].resources.claims[0]: Not found: "gpu": '
                                                          "must be one of the names in pod.spec.resourceClaims which "
                                                          "is empty"]),
    (container(volumeDevices=[{"name": "v"}]), ['spec.containers[0].volumeDevices[0].name: Not found: "v"',
                                                "spec.containers[0].volumeDevices[0].devicePath: Required value"]),
    (pod(volumes=[{"name": "v", "emptyDir": {}}], containers=[{"name": "c", "image": "i", "volumeMounts": [
        {"name": "v", "mountPath": "/a", "mountPropagation": "Bidirectional"}]}]),
     ["spec.containers[0].volumeMounts.mountPropagation: Forbidden: Bidirectional mount propagation is available "
      "only to privileged containers"]),
    (pod(securityContext={"appArmorProfile": {"type": "Localhost"}, "seLinuxChangePolicy": "X"}),
     ["spec.securityContext.appArmorProfile.localhostProfile: Required value: must be set when AppArmor type is "
      'Localhost', 'spec.securityContext.seLinuxChangePolicy: Unsupported value: "X": supported values: "MountOption", '
      '"Recursive"']),
    (pod(volumes=[{"name": "v", "image": {"reference": ""}}]), ["spec.volumes[0].image.reference: Required value"]),
    (pod(os={"name": "mac"}), ['spec.os: Unsupported value: "mac": supported values: "linux", "windows"']),
    (of("v1", "Node", spec={"podCIDRs": ["10.0.0.0/24", "10.0.1.0/24"]}), ["spec.podCIDRs: Invalid value: "
     '["10.0.0.0/24","10.0.1.0/24"]: may specify no more than one CIDR for each IP family']),
    (of("v1", "Node", status={"capacity": {"cpu": "-1"}}),
     [f'status.{key}.cpu: Invalid value: "-1": must be greater than or equal to 0' for key in
      ("capacity", "allocatable")]),
    (job(managedBy="x"),
     ['spec.managedBy: Invalid value: "x": must be a domain-prefixed path (such as "acme.io/foo")']),
    (job(successPolicy={"rules": []}), ['spec.successPolicy: Invalid value: {"Rules":[]}: requires indexed completion '
                                        "mode"]),
    (job(**INDEXED, successPolicy={"rules": [{"succeededIndexes": "0,2-1"}]}),
     ['spec.successPolicy.rules[0].succeededIndexes: Invalid value: "0,2-1": error parsing succeededIndexes: '
      "non-increasing order, previous: 2, current: 1"]),
    (job(**INDEXED, successPolicy={"rules": [{"succeededIndexes": "0-1", "succeededCount": 3}]}),
     ["spec.successPolicy.rules[0].succeededCount: Invalid value: 3: must be less than or equal to 2 (the number of "
      "indexes in the specified succeededIndexes field)"]),
    (crd(".spec.nope", ".spec.size", ".spec", ".metadata.name"),
     ['spec.selectableFields[0].jsonPath: Invalid value: ".spec.nope": is an invalid path: does not refer to a valid '
      "field", 'spec.selectableFields[2].jsonPath: Invalid value: ".spec": must point to a field of type string, '
      "boolean or integer. Enum string fields and strings with formats are allowed.",
      'spec.selectableFields[3].jsonPath: Invalid value: ".metadata.name": is an invalid path: does not refer to a '
      "valid field"]),
]


@pytest.mark.parametrize(("obj", "told"), OTHERS)
def test_what_other_kinds_are_refused_for(obj: dict[str, Any], told: list[str]) -> None:
    """Rules that few manifests meet, each in the words of Kubernetes."""
    assert [error for error in errors(obj) if "selector" not in error] == told
