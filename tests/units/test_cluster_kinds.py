"""The kinds around workloads: what is filled in, what is refused in Kubernetes' words, what their columns say."""

from __future__ import annotations

from typing import Any

import pytest

from kubelab import units
from kubelab.machinery.meta import copy_obj

from .test_validation import complete, errors, updated

NET, STORE, ADM = "networking.k8s.io/v1", "storage.k8s.io/v1", "admissionregistration.k8s.io/v1"
FLOW, DRA = "flowcontrol.apiserver.k8s.io/v1", "resource.k8s.io/v1"


def obj(api_version: str, kind: str, name: str = "x", **fields: Any) -> dict[str, Any]:
    return {"apiVersion": api_version, "kind": kind, "metadata": {"name": name, "creationTimestamp": ""}, **fields}


def policy(**spec: Any) -> dict[str, Any]:
    return obj(NET, "NetworkPolicy", spec={"podSelector": {}, **spec})


def hook(**fields: Any) -> dict[str, Any]:
    return obj(ADM, "ValidatingWebhookConfiguration", webhooks=[{
        "name": "a.example.com", "clientConfig": {"url": "https://127.0.0.1/x"}, "admissionReviewVersions": ["v1"],
        "sideEffects": "None", **fields}])


def admission_policy(**spec: Any) -> dict[str, Any]:
    match = {"resourceRules": [{"apiGroups": [""], "apiVersions": ["v1"], "operations": ["CREATE"],
                                "resources": ["pods"]}]}
    return obj(ADM, "ValidatingAdmissionPolicy", spec={
        "matchConstraints": match, "validations": [{"expression": "true"}], **spec})


def level(**limited: Any) -> dict[str, Any]:
    return obj(FLOW, "PriorityLevelConfiguration", spec={
        "type": "Limited", "limited": {"limitResponse": {"type": "Reject"}, **limited}})


def claim(**exactly: Any) -> dict[str, Any]:
    return obj(DRA, "ResourceClaim", spec={"devices": {"requests": [
        {"name": "gpu", "exactly": {"deviceClassName": "gpus", **exactly}}]}})


REFUSED = [
    (policy(ingress=[{"ports": [{"port": 9, "endPort": 8}]}]),
     "spec.ingress[0].ports[0].endPort: Invalid value: 8: must be greater than or equal to `port`"),
    (policy(egress=[{"to": [{}]}]), "spec.egress[0].to[0]: Required value: must specify a peer"),
    (policy(ingress=[{"from": [{"ipBlock": {"cidr": "10.0.0.0/8", "except": ["11.0.0.0/16"]}}]}]),
     'spec.ingress[0].from[0].ipBlock.except[0]: Invalid value: "11.0.0.0/16": must be a strict subset of `cidr`'),
    (obj(NET, "ServiceCIDR", spec={}), "spec.cidrs: Required value: at least one CIDR required"),
    (obj(NET, "ServiceCIDR", spec={"cidrs": ["10.0.0.0/24", "10.1.0.0/24"]}),
     'spec.cidrs: Invalid value: ["10.0.0.0/24","10.1.0.0/24"]: may specify no more than one IP for each IP family, '
     "i.e 192.168.0.0/24 and 2001:db8::/64"),
    (obj(NET, "IPAddress", "10.0.0.300", spec={"parentRef": {"resource": "services", "name": "s"}}),
     'metadata.name: Invalid value: "10.0.0.300": must be a valid IP address, (e.g. 10.9.8.7 or 2001:db8::ffff)'),
    (obj(STORE, "VolumeAttachment", spec={"attacher": "a", "nodeName": "n", "source": {}}),
     "spec.source: Required value: must specify exactly one of inlineVolumeSpec and persistentVolumeName"),
    (obj(STORE, "CSIDriver", spec={"fsGroupPolicy": "X"}), 'spec.fsGroupPolicy: Unsupported value: "X": supported '
     'values: "File", "None", "ReadWriteOnceWithFSType"'),
    (obj(STORE, "CSINode", spec={"drivers": [{"name": "d", "nodeID": ""}]}),
     "spec.drivers[0].nodeID: Required value"),
    (obj(STORE, "VolumeAttributesClass", driverName="d"),
     "parameters: Required value: must contain at least one key/value pair"),
    (obj("scheduling.k8s.io/v1", "PriorityClass", "system-node-critical", value=7),
     "metadata.name: Forbidden: priority class names with 'system-' prefix are reserved for system use only. error: "
     "value of system-node-critical PriorityClass must be 2000001000"),
    (hook(sideEffects=None), "webhooks[0].sideEffects: Required value: must specify one of None, NoneOnDryRun"),
    (hook(name="short.name"), 'webhooks[0].name: Invalid value: "short.name": should be a domain with at least three '
     "segments separated by dots"),
    (hook(clientConfig={}), "webhooks[0].clientConfig: Required value: exactly one of url or service is required"),
    (hook(clientConfig={"url": "http://x"}), 'webhooks[0].clientConfig.url: Invalid value: "http": \'https\' is the '
     "only allowed URL scheme; desired format: https://host[/path]"),
    (hook(timeoutSeconds=31), "webhooks[0].timeoutSeconds: Invalid value: 31: the timeout value must be between 1 and "
     "30 seconds"),
    (hook(rules=[{"operations": ["*"], "apiGroups": ["*"], "apiVersions": ["*"], "resources": ["*", "pods"]}]),
     'webhooks[0].rules[0].resources: Invalid value: ["*","pods"]: if \'*\' is present, must not specify other '
     "resources without subresources"),
    (admission_policy(matchConstraints=None), "spec.matchConstraints: Required value"),
    (admission_policy(validations=[{"expression": "true", "reason": "No"}]),
     'spec.validations[0].reason: Unsupported value: "No": supported values: "Forbidden", "Invalid", '
     '"RequestEntityTooLarge"'),
    (obj(ADM, "ValidatingAdmissionPolicyBinding", spec={"policyName": "p", "validationActions": []}),
     "spec.validationActions: Required value: at least one validation action is required"),
    (obj("apiregistration.k8s.io/v1", "APIService", "v1.b", spec={
        "group": "a", "version": "v1", "groupPriorityMinimum": 1, "versionPriority": 1}),
     'metadata.name: Invalid value: "v1.b": must be `spec.version+"."+spec.group`: "v1.a"'),
    (obj(FLOW, "FlowSchema", spec={"priorityLevelConfiguration": {"name": "a"}, "matchingPrecedence": 1}),
     "spec.matchingPrecedence: Invalid value: 1: only the schema named 'exempt' may have matchingPrecedence 1"),
    (level(limitResponse={"type": "Queue", "queuing": {"queues": 4, "handSize": 8}}),
     "spec.limited.limitResponse.queuing.handSize: Invalid value: 8: should not be greater than queues (4)"),
    (level(lendablePercent=101), "spec.limited.lendablePercent: Invalid value: 101: must be between 0 and 100, "
     "inclusive"),
    (claim(count=-1), "spec.devices.requests[0].exactly.count: Invalid value: -1: must be greater than zero"),
    (claim(deviceClassName=""), "spec.devices.requests[0].exactly.deviceClassName: Required value"),
]


@pytest.mark.parametrize(("sent", "said"), REFUSED, ids=lambda v: v if isinstance(v, str) else v["kind"])
def test_what_is_refused(sent: dict[str, Any], said: str) -> None:
    """The field and the words are Kubernetes'."""
    sent = copy_obj(sent)
    for part in (sent.get("spec") or {}, *(sent.get("webhooks") or ())):
        for key in [key for key, value in part.items() if value is None]:
            del part[key]
    assert said in errors(sent)


@pytest.mark.parametrize("sent", [
    policy(ingress=[{"from": [{"namespaceSelector": {}, "podSelector": {}}], "ports": [{"port": "http"}]}]),
    obj(STORE, "CSIDriver", spec={}), hook(), admission_policy(), level(), claim(),
    obj(FLOW, "FlowSchema", spec={"priorityLevelConfiguration": {"name": "a"}}),
])
def test_what_is_sound_is_taken(sent: dict[str, Any]) -> None:
    """The smallest objects are valid once they are completed."""
    assert errors(sent) == []


@pytest.mark.parametrize(("old", "change", "said"), [
    (obj(NET, "ServiceCIDR", spec={"cidrs": ["10.0.0.0/24"]}), {"spec": {"cidrs": ["10.0.1.0/24"]}},
     'spec.cidrs[0]: Invalid value: "10.0.1.0/24": field is immutable'),
    (obj(STORE, "StorageClass", provisioner="p", parameters={"a": "b"}), {"parameters": {"a": "c"}},
     'parameters: Invalid value: {"a":"c"}: field is immutable'),
    (obj("scheduling.k8s.io/v1", "PriorityClass", value=1), {"value": 2},
     "value: Forbidden: may not be changed in an update."),
    (obj(STORE, "CSIDriver", spec={}), {"spec": {"attachRequired": False}},
     "spec.attachedRequired: Invalid value: false: field is immutable"),
])
def test_what_stays_as_it_is(old: dict[str, Any], change: dict[str, Any], said: str) -> None:
    """Immutable fields are named."""
    assert said in [str(e) for e in updated(old | change, old)]


@pytest.mark.parametrize(("sent", "cells"), [
    (policy(), ["x", "<none>"]),
    (obj(STORE, "StorageClass", provisioner="p"), ["x", "p", "Delete", "Immediate", False]),
    (level(), ["x", "Limited", 30, "<none>", "<none>", "<none>"]),
    (claim(), ["x", "pending"]),
    (obj(NET, "IPAddress", "10.0.0.3", spec={"parentRef": {
        "resource": "services", "namespace": "shop", "name": "s"}}), ["10.0.0.3", "services/shop/s"]),
    (admission_policy(paramKind={"apiVersion": "v1", "kind": "ConfigMap"}), ["x", 1, "v1/ConfigMap"]),
])
def test_what_columns_say(sent: dict[str, Any], cells: list[Any]) -> None:
    """Cells read as kubectl prints them; the age is left to others."""
    kind = units.by_kind(sent["apiVersion"], sent["kind"])
    assert kind is not None
    assert [c.cell(complete(sent), 0.0) for c in kind.columns if c.name != "Age"] == cells
