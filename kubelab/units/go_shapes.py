"""How Go prints what it refuses: a struct with every field that it has, under Go's names and in Go's order.

    {"containers": [...]} ─► {"Volumes":null,"InitContainers":null,"Containers":[{"Name":"c",...}],...}

Invariant: a shape lists the fields of an internal type of Kubernetes in their order, by their names on the wire.
Models:    the internal types of pkg/apis/{core,batch}, as k8s.io/apimachinery's field errors show them
Left out:  the insides of volumes, affinity, probes and life-cycle hooks: they are shown with what was given
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from kubelab.machinery.request import Obj


@dataclass(frozen=True, slots=True)
class Embedded:
    """A struct that is always there, other than one behind a pointer."""

    shape: Mapping[str, Any]


GIVEN = object()  # whatever was given, with capital letters
# A field is "" or 0 or False where that is its zero, None where it is null, a shape, or a list of one.
NAMES = {"dnsPolicy": "DNSPolicy", "dnsConfig": "DNSConfig", "tty": "TTY", "os": "OS", "cel": "CEL",
         "fsGroup": "FSGroup", "fsGroupChangePolicy": "FSGroupChangePolicy", "seLinuxOptions": "SELinuxOptions",
         "seLinuxChangePolicy": "SELinuxChangePolicy"}
PORT = {"name": "", "hostPort": 0, "containerPort": 0, "protocol": "", "hostIP": ""}
KEY_REF = {"name": "", "key": "", "optional": None}
VALUE_FROM = {"fieldRef": {"apiVersion": "", "fieldPath": ""},
              "resourceFieldRef": {"containerName": "", "resource": "", "divisor": "0"},
              "configMapKeyRef": KEY_REF, "secretKeyRef": KEY_REF, "fileKeyRef": GIVEN}
ENV = {"name": "", "value": "", "valueFrom": VALUE_FROM}
SOURCE_REF = {"name": "", "optional": None}
MOUNT = {"name": "", "readOnly": False, "recursiveReadOnly": None, "mountPath": "", "subPath": "",
         "mountPropagation": None, "subPathExpr": ""}
RESOURCES = {"limits": None, "requests": None, "claims": [{"name": "", "request": ""}]}
SECURITY = {"capabilities": {"add": None, "drop": None}, "privileged": None, "seLinuxOptions": GIVEN,
            "windowsOptions": GIVEN, "runAsUser": None, "runAsGroup": None, "runAsNonRoot": None,
            "readOnlyRootFilesystem": None, "allowPrivilegeEscalation": None, "procMount": None,
            "seccompProfile": GIVEN, "appArmorProfile": GIVEN}
CONTAINER = {
    "name": "", "image": "", "command": None, "args": None, "workingDir": "", "ports": [PORT],
    "envFrom": [{"prefix": "", "configMapRef": SOURCE_REF, "secretRef": SOURCE_REF}], "env": [ENV],
    "resources": Embedded(RESOURCES), "resizePolicy": [{"resourceName": "", "restartPolicy": ""}],
    "restartPolicy": None, "restartPolicyRules": GIVEN, "volumeMounts": [MOUNT],
    "volumeDevices": [{"name": "", "devicePath": ""}], "livenessProbe": GIVEN, "readinessProbe": GIVEN,
    "startupProbe": GIVEN, "lifecycle": GIVEN, "terminationMessagePath": "", "terminationMessagePolicy": "",
    "imagePullPolicy": "", "securityContext": SECURITY, "stdin": False, "stdinOnce": False, "tty": False}
TOLERATION = {"key": "", "operator": "", "value": "", "effect": "", "tolerationSeconds": None}
POD_SECURITY = {
    "hostNetwork": False, "hostPID": False, "hostIPC": False, "shareProcessNamespace": None, "hostUsers": None,
    "seLinuxOptions": GIVEN, "windowsOptions": GIVEN, "runAsUser": None, "runAsGroup": None, "runAsNonRoot": None,
    "supplementalGroups": None, "supplementalGroupsPolicy": None, "fsGroup": None, "fsGroupChangePolicy": None,
    "sysctls": [{"name": "", "value": ""}], "seccompProfile": GIVEN, "appArmorProfile": GIVEN,
    "seLinuxChangePolicy": None}
OF_HOST = ("hostNetwork", "hostPID", "hostIPC", "shareProcessNamespace", "hostUsers")  # on the wire beside it
POD = {
    "volumes": GIVEN, "initContainers": [CONTAINER], "containers": [CONTAINER], "ephemeralContainers": GIVEN,
    "restartPolicy": "", "terminationGracePeriodSeconds": None, "activeDeadlineSeconds": None, "dnsPolicy": "",
    "nodeSelector": None, "serviceAccountName": "", "automountServiceAccountToken": None, "nodeName": "",
    "securityContext": POD_SECURITY, "imagePullSecrets": [{"name": ""}], "hostname": "", "subdomain": "",
    "setHostnameAsFQDN": None, "affinity": GIVEN, "schedulerName": "", "tolerations": [TOLERATION],
    "hostAliases": GIVEN, "priorityClassName": "", "priority": None, "preemptionPolicy": None, "dnsConfig": GIVEN,
    "readinessGates": [{"conditionType": ""}], "runtimeClassName": None, "overhead": None,
    "enableServiceLinks": None, "topologySpreadConstraints": GIVEN, "os": {"name": ""},
    "schedulingGates": [{"name": ""}], "resourceClaims": GIVEN, "resources": RESOURCES, "hostnameOverride": None,
    "schedulingGroup": GIVEN}
FAILURE_POLICY = {"rules": [{
    "action": "", "onExitCodes": {"containerName": None, "operator": "", "values": None},
    "onPodConditions": [{"type": "", "status": ""}]}]}
SUCCESS_POLICY = {"rules": [{"succeededIndexes": None, "succeededCount": None}]}


def pod_spec(spec: Obj) -> Obj:
    """Print a pod's spec."""
    context = spec.get("securityContext")
    if context is not None:
        context = {**context, **{key: spec[key] for key in OF_HOST if key in spec}}
    return printed(POD, {**spec, "securityContext": context})


def pod_template(template: Obj) -> Obj:
    """Print a pod's template: its metadata is embedded, and has the names of the wire."""
    return {**(template.get("metadata") or {}), "Spec": pod_spec(template.get("spec") or {})}


def printed(shape: Mapping[str, Any], value: Obj) -> Obj:
    """Print a struct of this shape."""
    return {_name(key): _field(kind, value.get(key)) for key, kind in shape.items()}


def _field(kind: Any, given: Any) -> Any:
    if isinstance(kind, Embedded):
        return printed(kind.shape, given or {})
    if given is None:
        return None if kind is GIVEN or isinstance(kind, (dict, list)) else kind
    if isinstance(kind, list):
        return [printed(kind[0], one) for one in given]
    if isinstance(kind, dict):
        return printed(kind, given)
    return _capital(given) if kind is GIVEN else given


def _capital(value: Any) -> Any:
    if isinstance(value, dict):
        return {_name(key): _capital(one) for key, one in value.items()}
    return [_capital(one) for one in value] if isinstance(value, list) else value


def _name(key: str) -> str:
    return NAMES.get(key) or key[:1].upper() + key[1:]
