"""Every kind of every group: found by discovery, and goes through each verb of a conformant API over the wire."""

from __future__ import annotations

import base64
from typing import Any

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec

from kubelab.units import CATALOGUE
from kubelab.units.catalogue import Kind
from tests.conformance.conftest import JSON_PATCH, MERGE, STRATEGIC, Api, Obj

POD = {"containers": [{"name": "c", "image": "nginx"}]}
TEMPLATE = {"metadata": {"labels": {"a": "b"}}, "spec": POD}
SELECTED = {"selector": {"matchLabels": {"a": "b"}}, "template": TEMPLATE}
RULES = {"resourceRules": [{"apiGroups": ["a.example.com"], "apiVersions": ["v1"], "operations": ["CREATE"],
                            "resources": ["things"]}]}
HOOKS = [{"name": "a.example.com", "clientConfig": {"url": "https://127.0.0.1:1/x"}, "admissionReviewVersions": ["v1"],
          "sideEffects": "None"}]
DEVICES = {"devices": {"requests": [{"name": "gpu", "exactly": {"deviceClassName": "gpus"}}]}}
JOB = {"template": {"spec": {"restartPolicy": "Never", **POD}}, "suspend": True}
ROLE_REF = {"apiGroup": "rbac.authorization.k8s.io", "kind": "ClusterRole", "name": "view"}
REQUEST = base64.b64encode(x509.CertificateSigningRequestBuilder().subject_name(x509.Name([])).sign(
    ec.generate_private_key(ec.SECP256R1()), hashes.SHA256()).public_bytes(serialization.Encoding.PEM)).decode()
CRD = {"group": "verbs.example.com", "scope": "Namespaced", "names": {"plural": "verbs", "kind": "Verb"},
       "versions": [{"name": "v1", "served": True, "storage": True, "schema": {"openAPIV3Schema": {"type": "object"}}}]}
# What stands in the smallest object of each kind beside its metadata; None: the name is told by the fields.
FIELDS: dict[str, Obj] = {
    "pods": {"spec": {"nodeName": "elsewhere", **POD}}, "services": {"spec": {"ports": [{"port": 80}]}},
    "nodes": {"spec": {"taints": [{"key": "no", "effect": "NoSchedule"}]}},
    "events": {"involvedObject": {"namespace": "{ns}", "kind": "Pod", "name": "p"}},
    "replicationcontrollers": {"spec": {"replicas": 0, "selector": {"a": "b"}, "template": TEMPLATE}},
    "persistentvolumes": {"spec": {"accessModes": ["ReadWriteOnce"], "capacity": {"storage": "1Gi"},
                                   "hostPath": {"path": "/x"}}},
    "persistentvolumeclaims": {"spec": {"accessModes": ["ReadWriteOnce"], "storageClassName": "none",
                                        "resources": {"requests": {"storage": "1Gi"}}}},
    "limitranges": {"spec": {"limits": []}}, "podtemplates": {"template": TEMPLATE},
    "deployments": {"spec": {"replicas": 0, **SELECTED}}, "replicasets": {"spec": {"replicas": 0, **SELECTED}},
    "statefulsets": {"spec": {"replicas": 0, "serviceName": "s", **SELECTED}},
    "daemonsets": {"spec": {"selector": {"matchLabels": {"a": "b"}}, "template": {
        "metadata": {"labels": {"a": "b"}}, "spec": {"nodeSelector": {"no": "where"}, **POD}}}},
    "controllerrevisions": {"revision": 1, "data": {}}, "jobs": {"spec": JOB},
    "cronjobs": {"spec": {"schedule": "0 0 1 1 *", "suspend": True, "jobTemplate": {"spec": JOB}}},
    "horizontalpodautoscalers": {"spec": {"maxReplicas": 2, "scaleTargetRef": {
        "apiVersion": "apps/v1", "kind": "Deployment", "name": "d"}}},
    "poddisruptionbudgets": {"spec": {"minAvailable": 1, "selector": {"matchLabels": {"a": "b"}}}},
    "ingresses": {"spec": {"defaultBackend": {"service": {"name": "s", "port": {"number": 80}}}}},
    "ingressclasses": {"spec": {"controller": "example.com/c"}}, "networkpolicies": {"spec": {"podSelector": {}}},
    "servicecidrs": {"spec": {"cidrs": ["10.112.0.0/24"]}},
    "ipaddresses": {"spec": {"parentRef": {"resource": "services", "namespace": "{ns}", "name": "s"}}},
    "endpointslices": {"addressType": "IPv4", "endpoints": []}, "roles": {"rules": []}, "clusterroles": {"rules": []},
    "rolebindings": {"roleRef": ROLE_REF}, "clusterrolebindings": {"roleRef": ROLE_REF},
    "storageclasses": {"provisioner": "example.com/p"}, "csidrivers": {"spec": {}},
    "csinodes": {"spec": {"drivers": []}},
    "volumeattachments": {"spec": {"attacher": "a", "nodeName": "n", "source": {"persistentVolumeName": "p"}}},
    "volumeattributesclasses": {"driverName": "example.com", "parameters": {"a": "b"}},
    "csistoragecapacities": {"storageClassName": "fast"}, "priorityclasses": {"value": 5},
    "runtimeclasses": {"handler": "h"}, "validatingwebhookconfigurations": {"webhooks": HOOKS},
    "mutatingwebhookconfigurations": {"webhooks": HOOKS},
    "validatingadmissionpolicies": {"spec": {"matchConstraints": RULES, "validations": [{"expression": "true"}]}},
    "validatingadmissionpolicybindings": {"spec": {"policyName": "p", "validationActions": ["Deny"]}},
    "mutatingadmissionpolicies": {"spec": {"matchConstraints": RULES, "reinvocationPolicy": "Never", "mutations": [
        {"patchType": "JSONPatch", "jsonPatch": {"expression": "[]"}}]}},
    "mutatingadmissionpolicybindings": {"spec": {"policyName": "p"}},
    "flowschemas": {"spec": {"priorityLevelConfiguration": {"name": "global-default"}}},
    "prioritylevelconfigurations": {"spec": {"type": "Limited", "limited": {"limitResponse": {"type": "Reject"}}}},
    "certificatesigningrequests": {"spec": {"request": REQUEST, "signerName": "example.com/s", "usages": ["any"]}},
    "customresourcedefinitions": {"spec": CRD},
    "apiservices": {"spec": {"group": "away.example.com", "version": "v1", "groupPriorityMinimum": 10,
                             "versionPriority": 10, "service": {"namespace": "default", "name": "no"}}},
    "resourceclaims": {"spec": DEVICES}, "resourceclaimtemplates": {"spec": {"spec": DEVICES}},
    "deviceclasses": {"spec": {}}, "resourceslices": {"spec": {
        "driver": "a.example.com", "nodeName": "n", "pool": {"name": "p", "resourceSliceCount": 1, "generation": 1}}},
}
NAMES = {"ipaddresses": "10.112.0.9", "customresourcedefinitions": "verbs.verbs.example.com",
         "apiservices": "v1.away.example.com"}
KINDS = [kind for kind in CATALOGUE if "create" in kind.verbs and kind.plural not in ("namespaces", "bindings")]


def object_of(kind: Kind, ns: str) -> Obj:
    def placed(value: Any) -> Any:
        if isinstance(value, dict):
            return {k: placed(v) for k, v in value.items()}
        return ns if value == "{ns}" else value

    name = NAMES.get(kind.plural, "x")
    return {"apiVersion": kind.api_version, "kind": kind.kind, "metadata": {"name": name, "labels": {"story": ns}},
            **placed(FIELDS.get(kind.plural, {}))}


@pytest.mark.parametrize("kind", KINDS, ids=lambda k: f"{k.group or 'core'}/{k.version}/{k.plural}")
def test_a_kind_goes_through_every_verb(api: Api, ns: str, kind: Kind) -> None:
    """Discovery names it; create, get, list, patch, update, status, watch and delete collection do what they say."""
    listed = _discovered(api, kind)
    assert set(listed[kind.plural]["verbs"]) >= {"create", "get", "list", "watch", "update", "patch", "delete",
                                                  "deletecollection"}
    everywhere = kind.path(None)
    base, sent = kind.path(ns if kind.namespaced else None), object_of(kind, ns)
    chosen, one = f"{base}?labelSelector=story={ns}", f"{base}/{sent['metadata']['name']}"
    made = api.made(base, sent)
    uid, since = made["metadata"]["uid"], made["metadata"]["resourceVersion"]
    assert api.get(one)["metadata"]["uid"] == uid
    for path in (chosen, f"{everywhere}?labelSelector=story={ns}"):
        assert [item["metadata"]["uid"] for item in api.get(path)["items"]] == [uid]
    assert api.patch(one, {"metadata": {"annotations": {"a": "1"}}}, MERGE)["metadata"]["annotations"]["a"] == "1"
    assert api.patch(one, {"metadata": {"labels": {"b": "2"}}}, STRATEGIC)["metadata"]["labels"]["b"] == "2"
    added = [{"op": "add", "path": "/metadata/annotations/c", "value": "3"}]
    patched = api.patch(one, added, JSON_PATCH).body
    assert patched["metadata"]["annotations"]["c"] == "3", patched
    updated = _update(api, one, "d")
    assert updated["metadata"]["annotations"]["d"] == "4" and updated["metadata"]["uid"] == uid
    if "status" in kind.subresources:
        assert {"get", "patch", "update"} <= set(listed[f"{kind.plural}/status"]["verbs"])
        assert api.get(f"{one}/status")["metadata"]["uid"] == uid
        assert api.patch(f"{one}/status", {"metadata": {"annotations": {"e": "5"}}, "status": {}})[
            "metadata"]["annotations"]["e"] == "5"
        assert _update(api, f"{one}/status", "f")["metadata"]["annotations"]["f"] == "4"
    stale = api.put(one, made)
    assert (stale.status, stale.body["reason"]) == (409, "Conflict"), stale
    again = api.post(base, sent)
    assert (again.status, again.body["reason"]) == (409, "AlreadyExists"), again
    removed = api.delete(chosen, {"gracePeriodSeconds": 0})
    assert removed.status == 200, removed
    api.gone(one)
    told = api.events(f"{everywhere}?labelSelector=story={ns}&resourceVersion={since}",
                      lambda type_, _: type_ == "DELETED")
    assert {obj["metadata"]["uid"] for _, obj in told} == {uid} and {type_ for type_, _ in told[:-1]} == {"MODIFIED"}


def _discovered(api: Api, kind: Kind) -> dict[str, Obj]:
    """Return the resources of the kind's version, which must be found from the top."""
    if not kind.group:
        return {r["name"]: r for r in api.get("/api/v1")["resources"]}
    groups = {g["name"]: g for g in api.get("/apis")["groups"]}
    assert kind.version in {v["version"] for v in groups[kind.group]["versions"]}
    group = api.get(f"/apis/{kind.group}").body
    assert kind.api_version in {v["groupVersion"] for v in group["versions"]}
    return {r["name"]: r for r in api.get(f"/apis/{kind.api_version}")["resources"]}


def _update(api: Api, path: str, key: str) -> Obj:
    """Replace an object as clients do: read, change, write, and once more when another was faster."""
    while True:
        read = api.get(path).body
        read["metadata"].setdefault("annotations", {})[key] = "4"
        answer = api.put(path, read)
        if answer.status != 409:
            assert answer.status == 200, answer
            return dict(answer.body)
