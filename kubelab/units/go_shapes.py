"""How Go prints what it refuses: a struct with every field that it has, under Go's names and in Go's order.

    {"containers": [...]} ─► {"Volumes":null,"InitContainers":null,"Containers":[{"Name":"c",...}],...}

Invariant: a shape lists the fields of an internal type of Kubernetes in their order, by their names on the wire.
Models:    the internal types of pkg/apis/{core,batch}, as k8s.io/apimachinery's field errors show them
Left out:  the insides of vendors' volumes and of claims: they are shown with what was given
"""

from __future__ import annotations

import difflib
import json
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
         "seLinuxChangePolicy": "SELinuxChangePolicy", "httpGet": "HTTPGet", "tcpSocket": "TCPSocket", "grpc": "GRPC",
         "httpHeaders": "HTTPHeaders", "ip": "IP", "nfs": "NFS", "iscsi": "ISCSI", "rbd": "RBD", "fc": "FC",
         "csi": "CSI", "cephfs": "CephFS", "storageos": "StorageOS", "fsType": "FSType",
         "gcePersistentDisk": "GCEPersistentDisk", "awsElasticBlockStore": "AWSElasticBlockStore",
         "apiVersion": "APIVersion", "apiGroup": "APIGroup"}
PORT = {"name": "", "hostPort": 0, "containerPort": 0, "protocol": "", "hostIP": ""}
KEY_REF = {"name": "", "key": "", "optional": None}
VALUE_FROM = {"fieldRef": {"apiVersion": "", "fieldPath": ""},
              "resourceFieldRef": {"containerName": "", "resource": "", "divisor": "0"},
              "configMapKeyRef": KEY_REF, "secretKeyRef": KEY_REF,
              "fileKeyRef": {"volumeName": "", "path": "", "key": "", "optional": None}}
ENV = {"name": "", "value": "", "valueFrom": VALUE_FROM}
SOURCE_REF = {"name": "", "optional": None}
MOUNT = {"name": "", "readOnly": False, "recursiveReadOnly": None, "mountPath": "", "subPath": "",
         "mountPropagation": None, "subPathExpr": ""}
RESOURCES = {"limits": None, "requests": None, "claims": [{"name": "", "request": ""}]}
SELINUX = {"user": "", "role": "", "type": "", "level": ""}
PROFILE = {"type": "", "localhostProfile": None}
SECURITY = {"capabilities": {"add": None, "drop": None}, "privileged": None, "seLinuxOptions": SELINUX,
            "windowsOptions": GIVEN, "runAsUser": None, "runAsGroup": None, "runAsNonRoot": None,
            "readOnlyRootFilesystem": None, "allowPrivilegeEscalation": None, "procMount": None,
            "seccompProfile": PROFILE, "appArmorProfile": PROFILE}
HTTP = {"path": "", "port": 0, "host": "", "scheme": "", "httpHeaders": [{"name": "", "value": ""}]}
HANDLER = {"exec": {"command": None}, "httpGet": HTTP, "tcpSocket": {"port": 0, "host": ""}}
PROBE = {**HANDLER, "grpc": {"port": 0, "service": None}, "initialDelaySeconds": 0, "timeoutSeconds": 0,
         "periodSeconds": 0, "successThreshold": 0, "failureThreshold": 0, "terminationGracePeriodSeconds": None}
HOOK = {**HANDLER, "sleep": {"seconds": 0}}
RESTART_RULE = {"action": "", "exitCodes": {"operator": "", "values": None}}
CONTAINER = {
    "name": "", "image": "", "command": None, "args": None, "workingDir": "", "ports": [PORT],
    "envFrom": [{"prefix": "", "configMapRef": SOURCE_REF, "secretRef": SOURCE_REF}], "env": [ENV],
    "resources": Embedded(RESOURCES), "resizePolicy": [{"resourceName": "", "restartPolicy": ""}],
    "restartPolicy": None, "restartPolicyRules": [RESTART_RULE], "volumeMounts": [MOUNT],
    "volumeDevices": [{"name": "", "devicePath": ""}], "livenessProbe": PROBE, "readinessProbe": PROBE,
    "startupProbe": PROBE, "lifecycle": {"postStart": HOOK, "preStop": HOOK, "stopSignal": None},
    "terminationMessagePath": "", "terminationMessagePolicy": "",
    "imagePullPolicy": "", "securityContext": SECURITY, "stdin": False, "stdinOnce": False, "tty": False}
EPHEMERAL = {**CONTAINER, "targetContainerName": ""}
KEY_TO_PATH = {"key": "", "path": "", "mode": None}
FIELD_FILE = {"path": "", "fieldRef": VALUE_FROM["fieldRef"], "resourceFieldRef": VALUE_FROM["resourceFieldRef"],
              "mode": None}
NAMED_FILES = {"name": "", "items": [KEY_TO_PATH], "optional": None}
PROJECTION = {
    "secret": NAMED_FILES, "downwardAPI": {"items": [FIELD_FILE]}, "configMap": NAMED_FILES,
    "serviceAccountToken": {"audience": "", "expirationSeconds": 0, "path": ""}, "clusterTrustBundle": GIVEN,
    "podCertificate": GIVEN}
VOLUME = {
    "name": "", "hostPath": {"path": "", "type": None}, "emptyDir": {"medium": "", "sizeLimit": None},
    "gcePersistentDisk": GIVEN, "awsElasticBlockStore": GIVEN, "gitRepo": GIVEN,
    "secret": {"secretName": "", "items": [KEY_TO_PATH], "defaultMode": None, "optional": None},
    "nfs": {"server": "", "path": "", "readOnly": False}, "iscsi": GIVEN, "glusterfs": GIVEN,
    "persistentVolumeClaim": {"claimName": "", "readOnly": False}, "rbd": GIVEN, "quobyte": GIVEN, "flexVolume": GIVEN,
    "cinder": GIVEN, "cephfs": GIVEN, "flocker": GIVEN, "downwardAPI": {"items": [FIELD_FILE], "defaultMode": None},
    "fc": GIVEN, "azureFile": GIVEN,
    "configMap": {"name": "", "items": [KEY_TO_PATH], "defaultMode": None, "optional": None}, "vsphereVolume": GIVEN,
    "azureDisk": GIVEN, "photonPersistentDisk": GIVEN, "projected": {"sources": [PROJECTION], "defaultMode": None},
    "portworxVolume": GIVEN, "scaleIO": GIVEN, "storageos": GIVEN,
    "csi": {"driver": "", "readOnly": None, "fsType": None, "volumeAttributes": None,
            "nodePublishSecretRef": {"name": ""}},
    "ephemeral": GIVEN, "image": {"reference": "", "pullPolicy": ""}}
NODE_RULE = {"key": "", "operator": "", "values": None}
NODE_TERM = {"matchExpressions": [NODE_RULE], "matchFields": [NODE_RULE]}
POD_TERM = {"labelSelector": None, "namespaces": None, "topologyKey": "", "namespaceSelector": None,
            "matchLabelKeys": None, "mismatchLabelKeys": None}
MUST, SHOULD = (f"{how}DuringSchedulingIgnoredDuringExecution" for how in ("required", "preferred"))
POD_AFFINITY = {MUST: [POD_TERM], SHOULD: [{"weight": 0, "podAffinityTerm": Embedded(POD_TERM)}]}
AFFINITY = {
    "nodeAffinity": {MUST: {"nodeSelectorTerms": [NODE_TERM]},
                     SHOULD: [{"weight": 0, "preference": Embedded(NODE_TERM)}]},
    "podAffinity": POD_AFFINITY, "podAntiAffinity": POD_AFFINITY}
SPREAD = {"maxSkew": 0, "topologyKey": "", "whenUnsatisfiable": "", "labelSelector": None, "minDomains": None,
          "nodeAffinityPolicy": None, "nodeTaintsPolicy": None, "matchLabelKeys": None}
DNS = {"nameservers": None, "searches": None, "options": [{"name": "", "value": None}]}
CLAIM = {"name": "", "resourceClaimName": None, "resourceClaimTemplateName": None}
TOLERATION = {"key": "", "operator": "", "value": "", "effect": "", "tolerationSeconds": None}
POD_SECURITY = {
    "hostNetwork": False, "hostPID": False, "hostIPC": False, "shareProcessNamespace": None, "hostUsers": None,
    "seLinuxOptions": SELINUX, "windowsOptions": GIVEN, "runAsUser": None, "runAsGroup": None, "runAsNonRoot": None,
    "supplementalGroups": None, "supplementalGroupsPolicy": None, "fsGroup": None, "fsGroupChangePolicy": None,
    "sysctls": [{"name": "", "value": ""}], "seccompProfile": PROFILE, "appArmorProfile": PROFILE,
    "seLinuxChangePolicy": None}
OF_HOST = ("hostNetwork", "hostPID", "hostIPC", "shareProcessNamespace", "hostUsers")  # on the wire beside it
POD = {
    "volumes": [VOLUME], "initContainers": [CONTAINER], "containers": [CONTAINER],
    "ephemeralContainers": [EPHEMERAL],
    "restartPolicy": "", "terminationGracePeriodSeconds": None, "activeDeadlineSeconds": None, "dnsPolicy": "",
    "nodeSelector": None, "serviceAccountName": "", "automountServiceAccountToken": None, "nodeName": "",
    "securityContext": POD_SECURITY, "imagePullSecrets": [{"name": ""}], "hostname": "", "subdomain": "",
    "setHostnameAsFQDN": None, "affinity": AFFINITY, "schedulerName": "", "tolerations": [TOLERATION],
    "hostAliases": [{"ip": "", "hostnames": None}], "priorityClassName": "", "priority": None,
    "preemptionPolicy": None, "dnsConfig": DNS, "readinessGates": [{"conditionType": ""}], "runtimeClassName": None,
    "overhead": None, "enableServiceLinks": None, "topologySpreadConstraints": [SPREAD], "os": {"name": ""},
    "schedulingGates": [{"name": ""}], "resourceClaims": [CLAIM], "resources": RESOURCES, "hostnameOverride": None,
    "schedulingGroup": {"podGroupName": None}}
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


def difference(old: Obj, new: Obj) -> str:
    """Write what differs between two printed values, in the lines of their JSON."""
    before, after = (json.dumps(value, indent=1, ensure_ascii=False).splitlines() for value in (old, new))
    return "\n".join(list(difflib.unified_diff(before, after, lineterm="", n=3))[2:]) + "\n"


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
