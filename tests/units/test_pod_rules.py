"""What a pod is refused for, rule by rule: the object, and every cause in upstream's words and order."""

from __future__ import annotations

from typing import Any

import pytest

from kubelab.machinery.meta import copy_obj
from kubelab.units.pod import POD
from kubelab.units.pods import status_validation as pod_status_validation
from kubelab.units.pods.defaults import pull_policy

C = "spec.containers[0]"
V = "spec.volumes[0]"
LABEL = ("a lowercase RFC 1123 label must consist of lower case alphanumeric characters or '-', and must start and end "
         "with an alphanumeric character (e.g. 'my-name',  or '123-abc', regex used for validation is "
         "'[a-z0-9]([-a-z0-9]*[a-z0-9])?')")
SUBDOMAIN = ("a lowercase RFC 1123 subdomain must consist of lower case alphanumeric characters, '-' or '.', and must "
             "start and end with an alphanumeric character (e.g. 'example.com', regex used for validation is "
             "'[a-z0-9]([-a-z0-9]*[a-z0-9])?(\\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*')")


def pod(annotations: dict[str, str] | None = None, **spec: Any) -> dict[str, Any]:
    return {"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "x", "annotations": annotations or {}}, "spec": {
        "containers": [{"name": "c", "image": "nginx"}], "serviceAccountName": "default", **copy_obj(spec)}}


def container(**fields: Any) -> dict[str, Any]:
    return pod(containers=[{"name": "c", "image": "nginx", **fields}])


def volume(**source: Any) -> dict[str, Any]:
    return pod(volumes=[{"name": "v", **source}])


def told(obj: dict[str, Any]) -> list[str]:
    new = copy_obj(obj)
    POD.default(new)
    return [str(error) for error in POD.validate(new)]


VOLUMES = [
    (volume(gcePersistentDisk={"partition": 300}), [
        f"{V}.persistentDisk.pdName: Required value",
        f"{V}.persistentDisk.partition: Invalid value: 300: must be between 1 and 255, inclusive"]),
    (volume(emptyDir={}, cephfs={"monitors": ["m"]}, downwardAPI={}), [
        f"{V}.cephFS: Forbidden: may not specify more than 1 volume type",
        f"{V}.downwarAPI: Forbidden: may not specify more than 1 volume type"]),
    (volume(hostPath={"path": "", "type": "Odd"}), [f"{V}.hostPath.path: Required value"]),
    (volume(nfs={"server": "s"}), [f"{V}.nfs.path: Required value",
                                   f'{V}.nfs.path: Invalid value: "": must be an absolute path']),
    (volume(downwardAPI={"items": [{"path": "/a"}]}), [
        f'{V}.downwardAPI.path: Invalid value: "/a": must be a relative path',
        f"{V}.downwardAPI: Required value: one of fieldRef and resourceFieldRef is required"]),
    (volume(downwardAPI={"items": [{"path": "a", "fieldRef": {"fieldPath": "metadata.labels['a b']"}}]}), [
        f"{V}.downwardAPI.fieldRef: Invalid value: \"a b\": name part must consist of alphanumeric characters, '-', "
        "'_' or '.', and must start and end with an alphanumeric character (e.g. 'MyName', "
        " or 'my.name',  or '123-abc', regex used for validation is '([A-Za-z0-9][-A-Za-z0-9_.]*)?[A-Za-z0-9]')"]),
    (volume(projected={"sources": [{"secret": {"name": "s", "items": [{"key": "k", "path": "p"}]}, "downwardAPI": {
        "items": [{"path": "p", "fieldRef": {"fieldPath": "metadata.name"}}]}}, {"serviceAccountToken": {
            "expirationSeconds": 5, "path": ""}}]}), [
        f'{V}.projected: Invalid value: "p": conflicting duplicate paths',
        f"{V}.projected.sources[0]: Forbidden: may not specify more than 1 volume type per source",
        f"{V}.projected.sources[1].serviceAccountToken.expirationSeconds: Invalid value: 5: may not specify a duration "
        "less than 10 minutes",
        f"{V}.projected.path: Required value"]),
    (volume(csi={"driver": "", "nodePublishSecretRef": {}}), [
        f"{V}.csi.driver: Required value", f'{V}.csi.driver: Invalid value: "": {SUBDOMAIN}',
        f"{V}.csi.nodePublishSecretRef.name: Required value"]),
    (pod(volumes=[{"name": "v", "ephemeral": {"volumeClaimTemplate": {"metadata": {"name": "n"}, "spec": {
        "resources": {"requests": {"storage": "1Gi"}}}}}},
        {"name": "w", "persistentVolumeClaim": {"claimName": "x-v"}}]), [
        f"{V}.ephemeral.volumeClaimTemplate.metadata.name: Forbidden: cannot be set",
        f"{V}.ephemeral.volumeClaimTemplate.spec.accessModes: Required value: at least 1 access mode is required",
        'spec.volumes[1].persistentVolumeClaim.claimName: Invalid value: "x-v": must not reference a PVC that gets '
        "created for an ephemeral volume"]),
    (volume(image={}), [f"{V}.image.reference: Required value"]),
]
CONTAINERS = [
    (container(env=[{"name": "A", "valueFrom": {"configMapKeyRef": {"key": "a b"}}}], envFrom=[{}]), [
        f'{C}.env[0].valueFrom.configMapKeyRef.name: Invalid value: "": {SUBDOMAIN}',
        f"{C}.env[0].valueFrom.configMapKeyRef.key: Invalid value: \"a b\": a valid config key must consist of "
        "alphanumeric characters, '-', '_' or '.' (e.g. 'key.name',  or 'KEY_NAME',  or 'key-name', regex used for "
        "validation is '[-._a-zA-Z0-9]+')",
        f'{C}.envFrom: Invalid value: "": must specify one of: `configMapRef` or `secretRef`']),
    (container(env=[{"name": "A", "valueFrom": {"resourceFieldRef": {"resource": "limits.cpu", "divisor": "2"}}}]), [
        f'{C}.env[0].valueFrom.resourceFieldRef.divisor: Invalid value: "limits.cpu": only divisor\'s values 1m and 1 '
        "are supported with the cpu resource"]),
    (container(livenessProbe={"httpGet": {"port": "", "httpHeaders": [{"name": "a b"}]}}), [
        f'{C}.livenessProbe.httpGet.port: Invalid value: "": must contain only alpha-numeric characters (a-z, 0-9), '
        "and hyphens (-)",
        f'{C}.livenessProbe.httpGet.port: Invalid value: "": must contain at least one letter (a-z)',
        f"{C}.livenessProbe.httpGet.httpHeaders: Invalid value: \"a b\": a valid HTTP header must consist of "
        "alphanumeric characters or '-' (e.g. 'X-Header-Name', regex used for validation is '[-A-Za-z0-9]+')"]),
    (container(lifecycle={"preStop": {"sleep": {"seconds": 31}}}), [
        f"{C}.lifecycle.preStop.sleep: Invalid value: 31: must be non-negative and less than "
        "terminationGracePeriodSeconds (30)"]),
    (container(readinessProbe={"exec": {"command": ["a"]}, "terminationGracePeriodSeconds": 0}), [
        f"{C}.readinessProbe.terminationGracePeriodSeconds: Invalid value: 0: must be greater than 0",
        f"{C}.readinessProbe.terminationGracePeriodSeconds: Invalid value: 0: must not be set for readinessProbes"]),
    (container(terminationMessagePolicy="Odd", image=" i"), [
        f'{C}.terminationMessagePolicy: Unsupported value: "Odd": supported values: "File", "FallbackToLogsOnError"',
        f'{C}.image: Invalid value: " i": must not have leading or trailing whitespace']),
    (container(restartPolicyRules=[{"action": "Odd"}, {"action": "Restart", "exitCodes": {"operator": "Equals"}}]), [
        f"{C}.restartPolicy: Required value: must specify restartPolicy when restart rules are used",
        f'{C}.restartPolicyRules[0].action: Unsupported value: "Odd": supported values: "Restart", '
        '"RestartAllContainers"',
        f"{C}.restartPolicyRules[0].exitCodes: Required value: must be specified",
        f'{C}.restartPolicyRules[1].exitCodes.operator: Unsupported value: "Equals": supported values: "In", "NotIn"']),
    (container(resources={"requests": {"example.com/gpu": "1500m", "hugepages-2Mi": "3Mi", "cpu": "1"}}), [
        f'{C}.resources.requests[example.com/gpu]: Invalid value: "1500m": must be an integer',
        f"{C}.resources.limits: Required value: Limit must be set for non overcommitable resources",
        f"{C}.resources.limits: Required value: Limit must be set for non overcommitable resources",
        f'{C}.resources.requests[hugepages-2Mi]: Invalid value: "3Mi": 3Mi is not positive integer multiple of '
        "hugepages-2Mi"]),
    (container(resizePolicy=[{"resourceName": "", "restartPolicy": "Odd"}]), [
        f"{C}.resizePolicy: Required value",
        f'{C}.resizePolicy: Unsupported value: "Odd": supported values: "NotRequired", "RestartContainer"']),
    (container(securityContext={"seccompProfile": {"type": "RuntimeDefault", "localhostProfile": "p"},
                                "procMount": "Unmasked", "appArmorProfile": {"type": "Localhost",
                                                                             "localhostProfile": " p"}}), [
        f'{C}.securityContext.procMount: Invalid value: "Unmasked": `hostUsers` must be false to use `Unmasked`',
        f'{C}.securityContext.seccompProfile.localhostProfile: Invalid value: {{"Type":"RuntimeDefault",'
        '"LocalhostProfile":"p"}: can only be set when seccomp type is Localhost',
        f'{C}.securityContext.appArmorProfile.localhostProfile: Invalid value: " p": must not be padded with '
        "whitespace"]),
    (pod(volumes=[{"name": "v", "emptyDir": {}}], containers=[{
        "name": "c", "image": "i", "volumeMounts": [{"name": "v", "mountPath": "/a", "subPath": "/b",
                                                     "recursiveReadOnly": "Enabled"}],
        "volumeDevices": [{"name": "v", "devicePath": "/a"}]}]), [
        f'{C}.volumeMounts[0].name: Invalid value: "v": must not already exist in volumeDevices',
        f'{C}.volumeMounts[0].mountPath: Invalid value: "/a": must not already exist as a path in volumeDevices',
        f'{C}.volumeMounts.subPath: Invalid value: "/b": must be a relative path',
        f"{C}.volumeMounts.recursiveReadOnly: Forbidden: may only be specified when readOnly is true",
        f'{C}.volumeDevices[0].name: Invalid value: "v": can only use volume source type of PersistentVolumeClaim or '
        "Ephemeral for block mode",
        f'{C}.volumeDevices[0].name: Invalid value: "v": must not already exist in volumeMounts',
        f'{C}.volumeDevices[0].devicePath: Invalid value: "/a": must not already exist as a path in volumeMounts']),
    (pod(ephemeralContainers=[{"name": "c", "image": "i", "ports": [{"containerPort": 1}],
                               "targetContainerName": "no"}]), [
        'spec.ephemeralContainers[0].name: Duplicate value: "c"',
        'spec.ephemeralContainers[0].targetContainerName: Not found: "no"',
        "spec.ephemeralContainers[0].ports: Forbidden: cannot be set for an Ephemeral Container",
        "spec.ephemeralContainers: Forbidden: cannot be set on create"]),
]
TERM = "spec.affinity.podAffinity.requiredDuringSchedulingIgnoredDuringExecution[0]"
PODS = [
    (pod(affinity={"podAffinity": {"requiredDuringSchedulingIgnoredDuringExecution": [{
        "topologyKey": "z", "namespaces": ["A"], "matchLabelKeys": ["k"]}]}}), [
        f'{TERM}.namespace: Invalid value: "A": {LABEL}',
        f"{TERM}.matchLabelKeys: Forbidden: must not be specified when labelSelector is not set"]),
    (pod(topologySpreadConstraints=[{"maxSkew": 1, "topologyKey": "z", "whenUnsatisfiable": "DoNotSchedule"}] * 2), [
        'spec.topologySpreadConstraints[0].{topologyKey, whenUnsatisfiable}: Duplicate value: "{z, DoNotSchedule}"']),
    (pod(tolerations=[{"key": "k", "operator": "Exists", "value": "v"}]), [
        'spec.tolerations[0].operator: Invalid value: "v": value must be empty when `operator` is \'Exists\'']),
    (pod(schedulingGates=[{"name": "a b"}, {"name": "g"}, {"name": "g"}]), [
        "spec.schedulingGates[0]: Invalid value: \"a b\": name part must consist of alphanumeric characters, '-', '_' "
        "or '.', and must start and end with an alphanumeric character (e.g. 'MyName',  or 'my.name',  or '123-abc', "
        "regex used for validation is '([A-Za-z0-9][-A-Za-z0-9_.]*)?[A-Za-z0-9]')",
        'spec.schedulingGates[2]: Duplicate value: "g"']),
    (pod(dnsConfig={"searches": ["_ok.example.com", "-no"]}), [
        "spec.dnsConfig.searches[1]: Invalid value: \"-no\": a lowercase RFC 1123 subdomain must consist of lower case "
        "alphanumeric characters, '_', '-' or '.', and must start and end with an alphanumeric character (e.g. "
        "'example.com', regex used for validation is "
        "'_?[a-z0-9]([-_a-z0-9]*[a-z0-9])?(\\._?[a-z0-9]([-_a-z0-9]*[a-z0-9])?)*')"]),
    (pod(hostPID=True, shareProcessNamespace=True, hostUsers=False), [
        "spec.securityContext.shareProcessNamespace: Invalid value: true: ShareProcessNamespace and HostPID cannot "
        "both be enabled", "spec.HostPID: Forbidden: when `pod.Spec.HostUsers` is false"]),
    (pod(hostNetwork=True, securityContext={"sysctls": [{"name": "net.ipv4.tcp_syncookies", "value": "1"}]}), [
        'spec.securityContext.sysctls[0].name: Invalid value: "net.ipv4.tcp_syncookies": may not be specified when '
        "'hostNetwork' is true"]),
    (pod(os={"name": "windows"}, securityContext={"runAsUser": 1}), [
        "spec.securityContext.runAsUser: Forbidden: cannot be set for a windows pod"]),
    (pod(resourceClaims=[{"name": "r"}]), [
        'spec.resourceClaims[0]: Invalid value: {"Name":"r","ResourceClaimName":null,"ResourceClaimTemplateName":null}'
        ": must specify one of: `resourceClaimName`, `resourceClaimTemplateName`"]),
    (pod(resources={"requests": {"cpu": "1", "storage": "1"}}, containers=[
        {"name": "c", "image": "i", "resources": {"requests": {"cpu": "2"}}}]), [
        'spec.resources.requests[storage]: Unsupported value: "storage": supported values: "cpu", "hugepages-", '
        '"memory"',
        'spec.resources.requests[cpu]: Invalid value: "1": must be greater than or equal to aggregate container '
        "requests of 2"]),
    (pod(annotations={"controller.kubernetes.io/pod-deletion-cost": "+1", "kubernetes.io/config.mirror": "m"}), [
        'metadata.annotations[kubernetes.io/config.mirror]: Invalid value: "m": must set spec.nodeName if mirror pod '
        "annotation is set",
        'metadata.annotations[controller.kubernetes.io/pod-deletion-cost]: Invalid value: "+1": must be a 32bit '
        "integer"]),
]


@pytest.mark.parametrize(("obj", "causes"), [*VOLUMES, *CONTAINERS, *PODS])
def test_a_pod_is_refused_in_the_words_of_kubernetes(obj: dict[str, Any], causes: list[str]) -> None:
    """Every error at once, with the paths as upstream writes them, slips included."""
    assert told(obj) == causes


def changed(old: dict[str, Any], **spec: Any) -> list[str]:
    before, after = (copy_obj(o) for o in (old, {**old, "spec": {**old["spec"], **spec}}))
    for one in (before, after):
        POD.default(one)
    return [str(error).partition("\n")[0] for error in POD.validate_update(after, before)]


def test_a_pod_that_is_held_back_is_only_narrowed_down() -> None:
    """What its selector and its affinity ask for stays asked for."""
    rule = {"key": "k", "operator": "In", "values": ["v"]}
    held = pod(schedulingGates=[{"name": "g"}], nodeSelector={"a": "b"}, affinity={"nodeAffinity": {
        "requiredDuringSchedulingIgnoredDuringExecution": {"nodeSelectorTerms": [{"matchExpressions": [rule]}]}}})
    assert changed(held, nodeSelector={"a": "b", "c": "d"}) == []
    assert changed(held, nodeSelector={"a": "x"}) == [
        'spec.nodeSelector: Invalid value: {"a":"x"}: only additions to spec.nodeSelector are allowed (no mutations or '
        "deletions)"]
    found = changed(held, affinity=None)
    assert found == ["spec.affinity.nodeAffinity.requiredDuringSchedulingIgnoredDuringExecution.nodeSelectorTerms: "
                     "Invalid value: null: no additions/deletions to non-empty NodeSelectorTerms list are allowed"]


def test_what_means_the_same_has_not_changed() -> None:
    """An amount that is written in another way, a list that is empty."""
    old = container(resources={"limits": {"cpu": "1"}})
    new = [{"name": "c", "image": "other", "resources": {"limits": {"cpu": "1000m"}}}]
    assert changed(old, containers=new, tolerations=[]) == []


@pytest.mark.parametrize(("new", "causes"), [
    ({"limits": {"cpu": "2"}, "requests": {"cpu": "1"}}, []),
    ({"requests": {"cpu": "1"}}, ["spec.containers[0].resources.limits: Forbidden: resource limits cannot be removed"]),
    ({"limits": {"cpu": "2", "example.com/a": "1"}, "requests": {"cpu": "1"}},
     ["spec: Forbidden: only cpu and memory resources are mutable"]),
    ({"limits": {"cpu": "2", "memory": "1Gi"}, "requests": {"cpu": "2", "memory": "1Gi"}},
     ['spec: Invalid value: "Burstable": Pod QOS Class may not change as a result of resizing']),
])
def test_a_resize_changes_cpu_and_memory_alone(new: dict[str, Any], causes: list[str]) -> None:
    """Nothing that was asked for is taken back, and the quality of service stays."""
    old = container(resources={"limits": {"cpu": "3"}, "requests": {"cpu": "1"}})
    after = container(resources=new)
    assert [str(error) for error in pod_status_validation.validate_part(after, old, "resize")] == causes


@pytest.mark.parametrize(("status", "causes"), [
    ({"conditions": [{"type": "a b"}], "qosClass": "Guaranteed"}, ["metadata.conditions[0].Type", "status.qosClass"]),
    ({"podIPs": [{"ip": "10.0.0.1"}, {"ip": "10.0.0.1"}]}, ["status.podIPs", "status.podIPs[1]"]),
    ({"hostIP": "10.0.0.2", "hostIPs": [{"ip": "10.0.0.1"}]}, ["status.hostIPs[0].ip"]),
])
def test_a_status_that_cannot_be_is_refused(status: dict[str, Any], causes: list[str]) -> None:
    """Conditions have names, addresses are ones of two families at most, the class of service is what it was."""
    old = pod() | {"status": {"qosClass": "BestEffort"}}
    new = old | {"status": {"qosClass": "BestEffort", **status}}
    assert [error.field for error in pod_status_validation.validate_part(new, old, "status")] == causes


@pytest.mark.parametrize(("image", "policy"), [
    ("nginx", "Always"), ("nginx:latest", "Always"), ("nginx:1", "IfNotPresent"), ("", "IfNotPresent"),
    ("Nginx", "IfNotPresent"), ("host:5000/a/b", "Always"), ("a@sha256:" + 64 * "0", "IfNotPresent")])
def test_a_tag_that_moves_is_pulled_each_time(image: str, policy: str) -> None:
    """What is no image's name has no tag that could."""
    assert pull_policy(image) == policy
